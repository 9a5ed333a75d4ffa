"""What a process holds while it runs, once a second: memory, threads, files, processor time."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use('Agg')

import matplotlib.pyplot as plt
import numpy as np

PERIOD_S = 1.0


@dataclass(frozen=True)
class Sample:
    """What a process held at a time.

    Attributes:
        seconds: Since the beginning, s.
        memory: Resident, MB.
        threads: Threads.
        files: Open files and sockets.
        cores: Cores at work since the sample before.
    """

    seconds: float
    memory: float
    threads: int
    files: int
    cores: float


LABELS = {'memory': 'memory, MB', 'threads': 'threads', 'files': 'open files', 'cores': 'cores'}


class Watch:
    """Takes samples of processes, one after the other, until it is stopped."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.start = time.perf_counter()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, pid: int) -> None:
        """Watch a process."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(pid,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Watch no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def seconds(self) -> float:
        """Return the time since the beginning, s."""
        return time.perf_counter() - self.start

    def _run(self, pid: int) -> None:
        before = self.seconds(), processor_seconds(pid)
        while not self._stop.wait(PERIOD_S):
            try:
                now = self.seconds(), processor_seconds(pid)
                cores = (now[1] - before[1]) / (now[0] - before[0])
                self.samples.append(Sample(now[0], *_held(pid), cores))
            except (OSError, LookupError):  # the process has ended
                return
            before = now


def processor_seconds(pid: int) -> float:
    """Return how long the cores have worked for a process so far, s."""
    words = Path(f'/proc/{pid}/stat').read_text(encoding='utf-8').rpartition(')')[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf('SC_CLK_TCK')


def _held(pid: int) -> tuple[float, int, int]:
    lines = Path(f'/proc/{pid}/status').read_text(encoding='utf-8').splitlines()
    values = dict(line.partition(':')[::2] for line in lines)
    files = len(list(Path(f'/proc/{pid}/fd').iterdir()))
    return int(values['VmRSS'].split()[0]) * 1024 / 1e6, int(values['Threads']), files


def growth(samples: list[Sample], name: str) -> float:
    """Return by how much a value has grown from the second fifth to the last, by their medians.

    The first fifth is left out: memory comes with the first of everything.
    """
    values = np.array([getattr(sample, name) for sample in samples], np.float64)
    fifth = len(values) // 5
    if not fifth:
        return float('nan')
    return float(np.median(values[-fifth:]) - np.median(values[fifth : 2 * fifth]))


def growths(samples: list[Sample]) -> dict[str, float]:
    """Return the growth of each value by its label."""
    return {f'growth: {label}': growth(samples, name) for name, label in LABELS.items()}


def write_json(path: Path, figures: dict[str, Any], samples: list[Sample], **more: object) -> None:
    """Write figures, samples and whatever else was measured, with the machine."""
    machine = {'python': platform.python_version(), 'cores': os.cpu_count() or 0}
    content = {'figures': figures, 'machine': machine, **more}
    content['samples'] = [asdict(sample) for sample in samples]
    path.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')


def draw(
    path: Path,
    title: str,
    samples: list[Sample],
    latencies: list[tuple[float, float]],
    marks: list[tuple[float, str]] = [],  # noqa: B006 - only read
) -> None:
    """Draw each value and the latency over time.

    Args:
        path: Picture to write.
        title: Its title.
        samples: What was held.
        latencies: Time, s, and latency, s.
        marks: Time, s, and name of what began then.
    """
    names = [field.name for field in fields(Sample) if field.name != 'seconds']
    figure, axes = plt.subplots(len(names) + 1, sharex=True, figsize=(9, 9), layout='constrained')
    times = np.array([sample.seconds for sample in samples])
    ends = np.flatnonzero(np.diff(times) > 3 * PERIOD_S) + 1  # of one process, before the next
    for axis, name in zip(axes, names, strict=False):
        values = np.array([getattr(sample, name) for sample in samples], np.float64)
        line = np.insert(times, ends, np.nan), np.insert(values, ends, np.nan)
        axis.plot(*line, '.-', markersize=2)
        axis.set_ylabel(LABELS[name])
        axis.set_ylim(bottom=0)
    at, seconds = np.array(latencies, np.float64).reshape(-1, 2).T
    axes[-1].plot(at, 1e3 * seconds, '.', markersize=2)
    axes[-1].set(ylabel='latency, ms', xlabel='time, s')
    axes[-1].set_ylim(bottom=0)
    for axis in axes:
        axis.grid(alpha=0.3)
        for mark, _ in marks:
            axis.axvline(mark, color='0.5', linewidth=0.8)
    for mark, name in marks:
        place = {'xycoords': ('data', 'axes fraction'), 'va': 'bottom', 'rotation': 15}
        axes[0].annotate(name, (mark, 1.0), **place)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    plt.close(figure)
