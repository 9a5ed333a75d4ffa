"""What the speed benchmarks share: time, operations, memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode


def milliseconds_of(work: Callable[[], object], runs: int, device: str) -> list[float]:
    """Time of each run, once the device is done with it; a run before does not count."""
    work()
    times = []
    for _ in range(runs):
        wait_for(device)
        started = time.perf_counter()
        work()
        wait_for(device)
        times.append(1e3 * (time.perf_counter() - started))
    return times


def gflop_of(work: Callable[[], object]) -> float:
    """Operations of products and convolutions, 10^9; a multiplication and an addition are two."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e9


def wait_for(device: str) -> None:
    """Wait until a GPU has done all it was given."""
    if device != 'cpu':
        torch.cuda.synchronize(device)


def peak_memory(device: str) -> float:
    """Greatest memory of this process so far, MB: resident, or allocated on the GPU."""
    if device != 'cpu':
        return torch.cuda.max_memory_allocated(device) / 2**20
    # rusage would count the parent's, too.
    status = Path('/proc/self/status').read_text(encoding='ascii')
    line = next(line for line in status.splitlines() if line.startswith('VmHWM:'))
    return float(line.split()[1]) / 1024


def has_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16; without, it takes a hundred times longer."""
    flags = Path('/proc/cpuinfo').read_text(encoding='ascii', errors='replace').split()
    return bool({'avx512_bf16', 'amx_bf16', 'bf16'} & set(flags))
