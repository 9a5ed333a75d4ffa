"""Keep freed memory in the process: a third of a network's time on a CPU can be page faults."""

from __future__ import annotations

import ctypes
import os

_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

_VARIABLES = ('GLIBC_TUNABLES', 'LD_PRELOAD')
"""Whoever sets one of these, or one that begins with MALLOC_, has chosen an allocator already."""

MMAP_THRESHOLD = 2**28
"""Larger blocks, of images of several megapixels, come and go: they would leave large holes."""

TOP_PAD = 64 * 2**20


def keep_freed_memory() -> bool:
    """Set glibc not to give large blocks back to the kernel after each layer.

    For programs to call at their start, before threads: it changes the whole process, which an
    import must not. All threads share one arena, since only the main one grows without mmap.

    Returns:
        Whether it was done: not without glibc, and not where the environment configures malloc.
    """
    if any(name in _VARIABLES or name.startswith('MALLOC_') for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return False
    settings = (
        (_M_MMAP_THRESHOLD, MMAP_THRESHOLD),
        (_M_TRIM_THRESHOLD, 2**31 - 1),
        (_M_TOP_PAD, TOP_PAD),
        (_M_ARENA_MAX, 1),
    )
    return all(mallopt(parameter, value) for parameter, value in settings)
