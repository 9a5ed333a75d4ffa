"""What to do when the device has not enough memory for an image."""

from __future__ import annotations

import sys

from loftr_ros.matching.memory import is_out_of_memory

__all__ = ['free_memory', 'is_out_of_memory', 'smaller_side']

SMALLEST_SIDE = 64


def free_memory() -> None:
    """Give back the memory of the device that torch keeps for later, if it is in use."""
    torch = sys.modules.get('torch')
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def smaller_side(size: tuple[int, int]) -> int:
    """Return half the longer side, px, of the size (height, width) that images are matched at."""
    return max(SMALLEST_SIDE, max(size) // 2)
