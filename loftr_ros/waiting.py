"""Let the threads of a network sleep where they wait for each other: a robot's cores are busy."""

from __future__ import annotations

import os
import sys

_VARIABLES = 'OMP_WAIT_POLICY', 'GOMP_SPINCOUNT', 'KMP_BLOCKTIME'
"""Whoever sets one of these has chosen how threads wait."""


def wait_passively() -> bool:
    """Ask OpenMP for threads that sleep while they wait for the others of their team.

    By default they spin, and take the core from the very thread that they wait for where other
    processes compute, too. For programs to call at their start: OpenMP asks once, when PyTorch is
    loaded.

    Returns:
        Whether it was done: not where the environment says how, and not once PyTorch is loaded.
    """
    if any(name in os.environ for name in _VARIABLES) or 'torch' in sys.modules:
        return False
    os.environ['OMP_WAIT_POLICY'] = 'passive'
    return True
