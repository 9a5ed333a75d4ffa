"""What to do when the device has not enough memory for an image."""

from __future__ import annotations

import sys

SMALLEST_SIDE = 64
# What the allocator of torch says on a CPU, where it raises a mere RuntimeError.
CPU_SIGNS = ("can't allocate memory", 'not enough memory')


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, on a GPU or in the machine."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get('torch')
    if torch is not None and isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in CPU_SIGNS)


def free_memory() -> None:
    """Give back the memory of the device that torch keeps for later, if it is in use."""
    torch = sys.modules.get('torch')
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def smaller_side(size: tuple[int, int]) -> int:
    """Return half the longer side, px, of the size (height, width) that images are matched at."""
    return max(SMALLEST_SIDE, max(size) // 2)
