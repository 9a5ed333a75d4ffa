"""How fast LoFTR is here, beside kornia, in one interleaved run.

    python benchmarks/speed.py --json speed.json

Every subject is a process of its own, as its users would run it; the processes take turns, so that
what else the machine does hits all of them alike. The full model has the same random weights
everywhere and a threshold at which it finds the same number of matches.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from loftr_ros.allocator import keep_freed_memory
from loftr_ros.matching.coarse_matching import CoarseMatches, inner_cells, mutual_matches
from loftr_ros.matching.config import OUTDOOR
from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.network import LoFTR
from loftr_ros.matching.transformer import pointwise
from loftr_ros.matching.weights import load_weights, save_weights

Image = NDArray[np.uint8]
Run = Callable[[], int]


@dataclass(frozen=True)
class Subject:
    """What is measured: a package with weights, on whole pairs or in a stream.

    Attributes:
        package: ``kornia`` or ``loftr_ros``.
        weights: ``full`` or ``lite``.
        mode: ``pair``: two new images; ``stream``: a new image against a cached reference.
        device: ``cpu`` or ``cuda``.
        precision: ``float32``, ``float16`` or ``bfloat16``.
    """

    package: str
    weights: str
    mode: str
    device: str = 'cpu'
    precision: str = 'float32'

    def __str__(self) -> str:
        return f'{self.package} {self.weights} {self.mode} {self.device} {self.precision}'


@dataclass
class Row:
    """Measured figures of a subject.

    Attributes:
        subject: What was measured.
        milliseconds: Of each run.
        matches: Number found.
        peak_mb: Greatest resident memory of the process, MB.
    """

    subject: Subject
    milliseconds: list[float] = field(default_factory=list)
    matches: int = 0
    peak_mb: float = 0.0


def subjects(cuda: bool) -> list[Subject]:
    """All rows of the table, the reference of all ratios first."""
    rows = [Subject('kornia', 'full', 'pair'), Subject('kornia', 'full', 'stream')]
    for weights in ('full', 'lite'):
        rows += [Subject('loftr_ros', weights, mode) for mode in ('pair', 'stream')]
    if cuda:
        rows += [Subject('kornia', 'full', mode, 'cuda') for mode in ('pair', 'stream')]
        rows += [
            Subject('loftr_ros', weights, mode, 'cuda', precision)
            for weights in ('full', 'lite')
            for precision in ('float32', 'float16', 'bfloat16')
            for mode in ('pair', 'stream')
        ]
    return rows


def noise_pair(width: int, height: int) -> tuple[Image, Image]:
    """Noise and the same with more noise: random weights match it in thousands of places."""
    generator = np.random.default_rng(0)
    first = generator.integers(0, 244, (height, width), np.uint8)
    return first, first + generator.integers(0, 12, (height, width), np.uint8)


# --- in the process of a subject ---


def prepare(subject: Subject, weights: Path, threshold: float, size: tuple[int, int]) -> Run:
    """Load everything; return what is timed, which returns the number of matches."""
    images = noise_pair(*size)
    if subject.package == 'kornia':
        return _prepare_kornia(subject, weights, threshold, images)
    keep_freed_memory()
    full = subject.weights == 'full'
    matcher = Matcher(
        weights if full else 'lite',
        device=subject.device,
        precision=subject.precision,
        longer_side=None,
        confidence_threshold=threshold if full else None,
    )
    if subject.mode == 'pair':
        return lambda: len(matcher.match_images(*images))
    reference = matcher.encode(images[0])
    return lambda: len(matcher.match(reference, matcher.encode(images[1])))


def _prepare_kornia(
    subject: Subject, weights: Path, threshold: float, images: tuple[Image, Image]
) -> Run:
    from kornia.feature import LoFTR as Peer

    peer = Peer(None).eval()
    peer.load_state_dict(load_weights(weights).network.state_dict())
    peer.to(subject.device)
    peer.coarse_matching.thr = threshold

    def tensor(image: Image) -> torch.Tensor:
        return (torch.from_numpy(image)[None, None].float() / 255).to(subject.device)

    def count(data: dict[str, Any]) -> int:
        return len(peer(data)['keypoints0'].cpu())

    def pair() -> int:
        return count({'image0': tensor(images[0]), 'image1': tensor(images[1])})

    if subject.mode == 'pair':
        return pair
    reference = peer.extract_features(tensor(images[0]))
    return lambda: count({'features0': reference, 'image1': tensor(images[1])})


def serve(subject: Subject, weights: Path, threshold: float, size: tuple[int, int]) -> None:
    """Run once for each line of standard input and answer with what was measured."""
    with torch.inference_mode():
        run = prepare(subject, weights, threshold, size)
        for _ in sys.stdin:
            started = time.perf_counter()
            matches = run()
            milliseconds = 1e3 * (time.perf_counter() - started)
            answer = {'milliseconds': milliseconds, 'matches': matches, 'peak_mb': peak_memory()}
            print(json.dumps(answer), flush=True)


def peak_memory() -> float:
    """Greatest resident memory of this process, MB; rusage would count its parent's, too."""
    status = Path('/proc/self/status').read_text(encoding='ascii')
    line = next(line for line in status.splitlines() if line.startswith('VmHWM:'))
    return float(line.split()[1]) / 1024


# --- in the process of the benchmark ---


class Worker:
    """A subject in a process of its own."""

    def __init__(self, subject: Subject, options: Sequence[str]) -> None:
        self.row = Row(subject)
        command = [sys.executable, __file__, '--serve', json.dumps(asdict(subject)), *options]
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
            raise RuntimeError(f'{self.row.subject}: the process ended; its error is above')
        answer = json.loads(line)
        if keep:
            self.row.milliseconds.append(answer['milliseconds'])
        self.row.matches, self.row.peak_mb = answer['matches'], answer['peak_mb']

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def random_weights(folder: Path, size: tuple[int, int], matches: int) -> tuple[Path, float]:
    """File of the full model's random weights and the threshold for that many matches."""
    torch.manual_seed(0)
    path = folder / 'random.safetensors'
    save_weights(LoFTR(OUTDOOR), path)
    matcher = Matcher(
        path,
        longer_side=None,
        device='cpu',
        confidence_threshold=0.0,
        max_matches=matches + 1,
    )
    confidence = np.sort(matcher.match_images(*noise_pair(*size)).confidence)[::-1]
    if len(confidence) <= matches:
        return path, 0.0
    return path, float(confidence[matches - 1 : matches + 1].mean())


def measure_stages(weights: Path, threshold: float, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Time, operations and speed of the full model's stages beside the machine's ceiling."""
    matcher = Matcher(weights, longer_side=None, device='cpu', confidence_threshold=threshold)
    network = matcher.network
    image0, image1 = noise_pair(*size)
    with torch.inference_mode():
        maps0, maps1 = matcher.encode(image0).maps, matcher.encode(image1).maps
        coarse0, coarse1 = network.transform(maps0, maps1)
        inner = inner_cells(maps0.grid, 2, None, coarse0.device)
        temperature = network.config.temperature

        def match() -> CoarseMatches:
            return mutual_matches(coarse0, coarse1, temperature, threshold, (inner, inner))

        cells = match()
        windows = network.fine_windows(coarse0, coarse1, maps0, maps1, cells)
        large = torch.randn(4096, 2048)
        stages: dict[str, Callable[[], object]] = {
            'ceiling: matrix product, MKL': lambda: large @ large.T,
            'ceiling: matrix product, oneDNN': lambda: pointwise(large, large),
            'backbone, one image': lambda: matcher.encode(image1),
            'coarse transformer': lambda: network.transform(maps0, maps1),
            'coarse matching': match,
            'fine windows': lambda: network.fine_windows(coarse0, coarse1, maps0, maps1, cells),
            'fine transformer': lambda: network.loftr_fine(*windows),
        }
        return [_measure_stage(name, stage) for name, stage in stages.items()]


def _measure_stage(name: str, stage: Callable[[], object], runs: int = 5) -> dict[str, Any]:
    with FlopCounterMode(display=False) as counter:
        stage()
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        stage()
        seconds.append(time.perf_counter() - started)
    gflop = counter.get_total_flops() / 1e9
    median = float(np.median(seconds))
    return {
        'stage': name,
        'milliseconds': 1e3 * median,
        'gflop': gflop,
        'gflop_per_s': gflop / median,
    }


def row_table(rows: Sequence[Row], size: tuple[int, int]) -> Table:
    """Subjects side by side."""
    table = Table(title=f'LoFTR at {size[0]}x{size[1]}')
    for name in ('package', 'weights', 'mode', 'device', 'precision'):
        table.add_column(name)
    for name in ('matches', 'ms', 'p10-p90', 'Hz', 'x kornia pair', 'peak MB', 'x peak'):
        table.add_column(name, justify='right')
    base = next((row for row in rows if row.subject == subjects(cuda=False)[0]), None)
    for row in rows:
        low, median, high = np.percentile(row.milliseconds, (10, 50, 90))
        table.add_row(
            *asdict(row.subject).values(),
            str(row.matches),
            f'{median:.0f}',
            f'{low:.0f}-{high:.0f}',
            f'{1e3 / median:.2f}',
            f'{np.median(base.milliseconds) / median:.2f}' if base else '-',
            f'{row.peak_mb:.0f}',
            f'{row.peak_mb / base.peak_mb:.2f}' if base else '-',
        )
    return table


def stage_table(stages: Sequence[dict[str, Any]]) -> Table:
    """Stages of the full model."""
    table = Table(title='Stages of the full model, float32')
    for name in ('stage', 'ms', 'GFLOP', 'GFLOP/s', 'of the ceiling'):
        table.add_column(name, justify='left' if name == 'stage' else 'right')
    ceiling = max(stage['gflop_per_s'] for stage in stages[:2])
    for stage in stages:
        table.add_row(
            stage['stage'],
            f'{stage["milliseconds"]:.0f}',
            f'{stage["gflop"]:.0f}',
            f'{stage["gflop_per_s"]:.0f}',
            f'{stage["gflop_per_s"] / ceiling:.2f}',
        )
    return table


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0] if __doc__ else None)
    parser.add_argument('--size', default='640x480', help='width x height of the images, px')
    parser.add_argument('--rounds', type=int, default=7, help='runs of each subject')
    parser.add_argument('--matches', type=int, default=1500, help='of the full model')
    parser.add_argument('--only', default='', help='subjects whose name contains this')
    parser.add_argument('--json', type=Path, help='file for all figures')
    parser.add_argument('--serve', help=argparse.SUPPRESS)
    parser.add_argument('--weights', type=Path, help=argparse.SUPPRESS)
    parser.add_argument('--threshold', type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(options: argparse.Namespace, size: tuple[int, int], console: Console) -> None:
    """Run all subjects in turn; print and write what came out."""
    cuda = torch.cuda.is_available()
    chosen = [subject for subject in subjects(cuda) if options.only in str(subject)]
    if importlib.util.find_spec('kornia') is None:
        console.print('kornia is not installed: the rows without it have no peer')
        chosen = [subject for subject in chosen if subject.package != 'kornia']
    with tempfile.TemporaryDirectory() as folder:
        weights, threshold = random_weights(Path(folder), size, options.matches)
        arguments = ['--size', options.size, '--weights', str(weights)]
        arguments += ['--threshold', repr(threshold)]
        workers = [Worker(subject, arguments) for subject in chosen]
        for number in range(options.rounds + 1):
            for worker in workers:
                worker.run(keep=number > 0)
            console.print(f'round {number} of {options.rounds}' if number else 'warm-up')
        for worker in workers:
            worker.close()
        rows = [worker.row for worker in workers]
        stages = [] if options.only else measure_stages(weights, threshold, size)
    console.print(row_table(rows, size))
    if stages:
        console.print(stage_table(stages))
    if not cuda:
        console.print('GPU rows: not measured, there is none here.')
    machine = {
        'cpus': os.cpu_count(),
        'threads': torch.get_num_threads(),
        'machine': platform.machine(),
        'torch': torch.__version__,
        'gpu': torch.cuda.get_device_name() if cuda else None,
    }
    console.print(', '.join(f'{name} {value}' for name, value in machine.items()))
    if options.json:
        figures = {'machine': machine, 'rows': [asdict(row) for row in rows], 'stages': stages}
        options.json.write_text(json.dumps(figures, indent=1) + '\n', encoding='utf-8')


def main() -> None:
    """Measure, or serve as one of the processes that are measured."""
    options = parse()
    width, height = map(int, options.size.split('x'))
    if options.serve:
        subject = Subject(**json.loads(options.serve))
        serve(subject, options.weights, options.threshold, (width, height))
    else:
        measure(options, (width, height), Console(width=140))


if __name__ == '__main__':
    main()
