"""Let the threads of a network sleep soon where they wait: a robot's cores are busy."""

from __future__ import annotations

import os
import sys

_VARIABLES = 'OMP_WAIT_POLICY', 'GOMP_SPINCOUNT', 'KMP_BLOCKTIME'
"""Whoever sets one of these has chosen how threads wait."""

SPINS = 6000
"""Rounds before a waiting thread sleeps, some 50 us; benchmarks/waiting.py compares them."""


def wait_briefly() -> bool:
    """Ask OpenMP for threads that soon sleep where they wait for the others of their team.

    By default they spin for milliseconds, and take the core from the very thread that they wait for
    where other processes compute, too. For programs to call at their start: OpenMP asks once, when
    PyTorch is loaded.

    Returns:
        Whether it was done: not where the environment says how, and not once PyTorch is loaded.
    """
    if any(name in os.environ for name in _VARIABLES) or 'torch' in sys.modules:
        return False
    os.environ['GOMP_SPINCOUNT'] = str(SPINS)
    return True
