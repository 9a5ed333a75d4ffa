"""How fast the backends are, beside each other, in one interleaved run on the CPU.

    python benchmarks/backends.py --threads 1

Each is a process of its own that holds its weights ready; the processes take turns, so that what
else the machine does hits all alike. Time of the processor does not count what others take from
it: with one thread it shows the work of each even on a busy machine. The full model has random
weights and a threshold at which it finds 1,500 matches; `lite` has its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from loftr_ros.allocator import keep_freed_memory
from loftr_ros.matching.config import OUTDOOR
from loftr_ros.matching.export import export
from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.network import LoFTR
from loftr_ros.matching.weights import save_weights

MATCHES = 1500
COLUMNS = ('pair', 'pair, processor', 'stream', 'stream, processor')


@dataclass
class Subject:
    """A backend with weights.

    Attributes:
        name: Of the row.
        arguments: Of `Matcher`.
        milliseconds: Of each run, by the clock and of the processor, for a pair of new images and
            for a new image against a kept one.
        matches: Number found.
    """

    name: str
    arguments: dict[str, object]
    milliseconds: dict[str, list[float]] = field(default_factory=dict)
    matches: int = 0


def noise_pair(width: int, height: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Noise and the same with more noise: it is matched in thousands of places."""
    generator = np.random.default_rng(0)
    first = generator.integers(0, 244, (height, width), np.uint8)
    return first, first + generator.integers(0, 12, (height, width), np.uint8)


def serve(arguments: dict[str, object], size: tuple[int, int], threads: int) -> None:
    """Run once for each line of standard input and answer with what was measured."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    matcher = Matcher(**arguments)  # type: ignore[arg-type]
    image0, image1 = noise_pair(*size)
    reference = matcher.encode(image0)
    for _ in sys.stdin:
        times = [now()]
        matches = matcher.match_images(image0, image1)
        times.append(now())
        matcher.match(reference, matcher.encode(image1))
        times.append(now())
        pair, stream = 1e3 * np.diff(times, axis=0)
        milliseconds = dict(zip(COLUMNS, (*pair, *stream), strict=True))
        print(json.dumps({'milliseconds': milliseconds, 'matches': len(matches)}), flush=True)


def now() -> tuple[float, float]:
    """Seconds of the clock and of the processor."""
    return time.perf_counter(), time.process_time()


class Worker:
    """A subject in a process of its own."""

    def __init__(self, subject: Subject, options: Sequence[str]) -> None:
        self.subject = subject
        command = [sys.executable, __file__, '--serve', json.dumps(subject.arguments), *options]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, keep: bool) -> None:
        """Run once; warm-up runs are not kept.

        Raises:
            RuntimeError: The process ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f'{self.subject.name}: the process ended; its error is above')
        answer = json.loads(line)
        self.subject.matches = answer['matches']
        if keep:
            for name, value in answer['milliseconds'].items():
                self.subject.milliseconds.setdefault(name, []).append(value)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def subjects(
    folder: Path, size: tuple[int, int], weights: Sequence[str], providers: Sequence[str]
) -> list[Subject]:
    """Export what is asked for; all rows of the table."""
    found = []
    for name in weights:
        source: str | Path = name
        common: dict[str, object] = {'device': 'cpu', 'longer_side': None}
        if name == 'full':
            torch.manual_seed(0)
            source = folder / 'full.safetensors'
            save_weights(LoFTR(OUTDOOR), source)
            common |= {'confidence_threshold': threshold(source, size)}
        by_torch = {'weights': str(source), 'precision': 'float32', **common}
        found.append(Subject(f'{name}, torch', by_torch))
        for layout, exported in (('any size', None), ('fixed size', size)):
            target = folder / f'{name} {layout}'
            export(source, target, size=exported)
            for provider in providers:
                arguments = {'weights': str(target), 'backend': 'onnxruntime', **common}
                short = provider.removesuffix('ExecutionProvider')
                found.append(
                    Subject(
                        f'{name}, onnxruntime {short}, {layout}',
                        {**arguments, 'providers': provider},
                    )
                )
    return found


def threshold(weights: Path, size: tuple[int, int]) -> float:
    """Confidence above which the random weights find that many matches."""
    matcher = Matcher(
        weights, device='cpu', longer_side=None, confidence_threshold=0.0, max_matches=MATCHES + 1
    )
    confidence = np.sort(matcher.match_images(*noise_pair(*size)).confidence)[::-1]
    return float(confidence[MATCHES - 1 : MATCHES + 1].mean()) if len(confidence) > MATCHES else 0.0


def table(rows: Sequence[Subject], size: str) -> Table:
    """Subjects side by side: medians, and from the 10th to the 90th percentile."""
    result = Table(title=f'Backends at {size} on the CPU, ms')
    for column in ('weights and backend', 'matches', *COLUMNS):
        result.add_column(column, justify='left' if column[0] == 'w' else 'right')
    for row in rows:
        cells = []
        for values in row.milliseconds.values():
            low, median, high = np.percentile(values, (10, 50, 90))
            cells.append(f'{median:.0f} ({low:.0f}-{high:.0f})')
        result.add_row(row.name, str(row.matches), *cells)
    return result


def main() -> None:
    """Measure, or serve as one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0] if __doc__ else None)
    parser.add_argument('--size', default='640x480', help='width x height of the images, px')
    parser.add_argument('--rounds', type=int, default=7, help='runs of each subject')
    parser.add_argument('--weights', nargs='+', default=['lite', 'full'], choices=['lite', 'full'])
    parser.add_argument('--providers', nargs='+', default=['CPUExecutionProvider'])
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--json', type=Path, help='file for all figures')
    parser.add_argument('--serve', help=argparse.SUPPRESS)
    options = parser.parse_args()
    width, height = map(int, options.size.split('x'))
    if options.serve:
        serve(json.loads(options.serve), (width, height), options.threads)
        return
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as folder:
        rows = subjects(Path(folder), (width, height), options.weights, options.providers)
        arguments = ['--size', options.size, '--threads', str(options.threads)]
        workers = [Worker(subject, arguments) for subject in rows]
        for number in range(options.rounds + 1):
            for worker in workers:
                worker.run(keep=number > 0)
        for worker in workers:
            worker.close()
    console.print(table(rows, options.size))
    console.print(f'torch {torch.__version__}, {options.threads} threads')
    if options.json:
        figures = [{**vars(row), 'arguments': None} for row in rows]
        options.json.write_text(json.dumps(figures, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
