"""How fast LoFTR is here, beside kornia and EfficientLoFTR, in one interleaved run.

    python benchmarks/speed.py --json speed.json

Every subject is a process of its own, as its users would run it; the processes take turns, so that
what else the machine does hits all of them alike. The full model has the same random weights
everywhere and a threshold at which it finds the same number of matches. EfficientLoFTR has the same
random weights here and in `transformers` (requirements/dev.txt), which refines every cell, whatever
its threshold, so that its matches are all cells; here at most the number of the full model is.
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
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from stages import measure_stages, stage_table
from timing import gflop_of, has_bfloat16, peak_memory

from loftr_ros.allocator import keep_freed_memory
from loftr_ros.matching.config import EFFICIENT, OUTDOOR
from loftr_ros.matching.efficient import EfficientLoFTR
from loftr_ros.matching.efficient_names import from_transformers
from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.network import LoFTR
from loftr_ros.matching.weights import load_weights, save_weights
from loftr_ros.settings.parameters import NodeParameters

Image = NDArray[np.uint8]
Run = Callable[[], int]


@dataclass(frozen=True)
class Subject:
    """What is measured: a package with weights, on whole pairs or in a stream.

    Attributes:
        package: ``kornia``, ``transformers`` or ``loftr_ros``.
        weights: ``full``, ``lite`` or ``efficient``.
        mode: ``pair``: two new images; ``stream``: a new image against a cached reference.
        device: ``cpu`` or ``cuda``.
        precision: ``float32``, ``tf32``, ``float16`` or ``bfloat16``.
        graphs: Whether CUDA graphs are replayed.
    """

    package: str
    weights: str
    mode: str
    device: str = 'cpu'
    precision: str = 'float32'
    graphs: bool = False

    def __str__(self) -> str:
        return ' '.join(self.columns())

    def columns(self) -> tuple[str, ...]:
        """What distinguishes a row from the others."""
        weights = self.weights if self.weights == 'lite' else f'{self.weights} (random)'
        numbers = f'{self.precision} graphs' if self.graphs else self.precision
        return self.package, weights, self.mode, self.device, numbers


@dataclass
class Row:
    """Measured figures of a subject.

    Attributes:
        subject: What was measured.
        milliseconds: Of each run.
        matches: Number found.
        peak_mb: Greatest memory, MB: of the process, or on the GPU.
        gflop: Operations of one run, 10^9; None where they cannot be counted.
    """

    subject: Subject
    milliseconds: list[float] = field(default_factory=list)
    matches: int = 0
    peak_mb: float = 0.0
    gflop: float | None = None


MODES = ('pair', 'stream')
EFFICIENT_FILE = 'efficient.safetensors'
"""Beside the weights of the full model."""
REFERENCE = Subject('kornia', 'full', 'pair')
"""All ratios are to this one."""


def subjects() -> list[Subject]:
    """All rows of the table."""
    rows = [REFERENCE, Subject('kornia', 'full', 'stream')]
    rows += [Subject('transformers', 'efficient', 'pair')]
    rows += [Subject('loftr_ros', 'efficient', mode) for mode in MODES]
    for precision in ('float32', 'bfloat16') if has_bfloat16() else ('float32',):
        for weights in ('full', 'lite'):
            rows += [Subject('loftr_ros', weights, mode, 'cpu', precision) for mode in MODES]
    rows += [Subject('kornia', 'full', mode, 'cuda') for mode in MODES]
    rows += [Subject('transformers', 'efficient', 'pair', 'cuda')]
    for precision, graphs in (('float32', False), ('float16', False), ('float16', True)):
        rows += [
            Subject('loftr_ros', 'efficient', mode, 'cuda', precision, graphs) for mode in MODES
        ]
    for precision in ('float32', 'tf32', 'float16', 'bfloat16'):
        rows += [Subject('loftr_ros', 'full', mode, 'cuda', precision) for mode in MODES]
    for weights in ('full', 'lite'):
        rows += [Subject('loftr_ros', weights, mode, 'cuda', 'float16', True) for mode in MODES]
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
    if subject.package == 'transformers':
        return _prepare_efficient(subject, weights.with_name(EFFICIENT_FILE), images)
    keep_freed_memory()
    chosen: dict[str, tuple[str | Path, float | None, int | None]] = {
        'full': (weights, threshold, None),
        'efficient': (weights.with_name(EFFICIENT_FILE), 0.0, NodeParameters().matcher.max_matches),
        'lite': ('lite', None, NodeParameters().matcher.max_matches),
    }
    file, least, most = chosen[subject.weights]
    matcher = Matcher(
        file,
        device=subject.device,
        precision=subject.precision,
        longer_side=None,
        confidence_threshold=least,
        max_matches=most,
        cuda_graphs=subject.graphs,
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


def _prepare_efficient(subject: Subject, weights: Path, images: tuple[Image, Image]) -> Run:
    from transformers import EfficientLoFTRConfig, EfficientLoFTRForKeypointMatching

    peer = EfficientLoFTRForKeypointMatching(EfficientLoFTRConfig()).eval()
    state = load_weights(weights).network.state_dict()
    names = dict(
        zip(from_transformers(peer.state_dict(), EFFICIENT), peer.state_dict(), strict=True)
    )
    peer.load_state_dict({names[name]: value for name, value in state.items()})
    peer.to(subject.device)

    def pair() -> int:
        grey = torch.from_numpy(np.stack(images)).to(subject.device).float() / 255
        # It takes colour images and looks at their first channel.
        return peer(grey[None, :, None].expand(-1, -1, 3, -1, -1)).keypoints.cpu().shape[-2]

    return pair


def serve(subject: Subject, weights: Path, threshold: float, size: tuple[int, int]) -> None:
    """Run once for each line of standard input and answer with what was measured."""
    with torch.inference_mode():
        run = prepare(subject, weights, threshold, size)
        for _ in sys.stdin:
            started = time.perf_counter()
            matches = run()
            milliseconds = 1e3 * (time.perf_counter() - started)
            peak = peak_memory(subject.device)
            answer = {'milliseconds': milliseconds, 'matches': matches, 'peak_mb': peak}
            print(json.dumps(answer), flush=True)
        # Last, since counting takes memory; recordings are replayed without what could be counted.
        print(json.dumps(None if subject.graphs else gflop_of(run)))


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
        with suppress(BrokenPipeError):
            print(file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f'{self.row.subject}: the process ended; its error is above')
        answer = json.loads(line)
        if keep:
            self.row.milliseconds.append(answer['milliseconds'])
        self.row.matches, self.row.peak_mb = answer['matches'], answer['peak_mb']

    def close(self) -> None:
        """End the process, which counts its operations last."""
        self.row.gflop = json.loads(self._process.communicate()[0])


def random_weights(folder: Path, size: tuple[int, int], matches: int) -> tuple[Path, float]:
    """File of the full model's random weights and the threshold for that many matches."""
    torch.manual_seed(0)
    path = folder / 'random.safetensors'
    save_weights(LoFTR(OUTDOOR), path)
    save_weights(EfficientLoFTR(EFFICIENT), folder / EFFICIENT_FILE)
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


def row_table(rows: Sequence[Row], size: tuple[int, int]) -> Table:
    """Subjects side by side."""
    table = Table(title='LoFTR on a pair of images and in a stream')
    for name in ('package', 'weights', 'mode', 'device', 'precision', 'size'):
        table.add_column(name)
    for name in ('matches', 'ms', 'p10-p90', 'Hz', 'x kornia', 'GFLOP', 'peak MB', 'x peak'):
        table.add_column(name, justify='right')
    bases = {
        row.subject.device: row for row in rows if replace(row.subject, device='cpu') == REFERENCE
    }
    for row in rows:
        names = (*row.subject.columns(), f'{size[0]}x{size[1]}')
        if row.milliseconds:
            table.add_row(*names, *_figures(row, bases.get(row.subject.device)))
        else:
            table.add_row(*names, '', 'not measured')
    return table


def _figures(row: Row, base: Row | None) -> list[str]:
    low, median, high = np.percentile(row.milliseconds, (10, 50, 90))
    digits = 0 if row.subject.device == 'cpu' else 1
    known = base is not None and base.milliseconds
    return [
        str(row.matches),
        f'{median:.{digits}f}',
        f'{low:.{digits}f}-{high:.{digits}f}',
        f'{1e3 / median:.2f}',
        f'{np.median(base.milliseconds) / median:.2f}' if base and known else '-',
        '-' if row.gflop is None else f'{row.gflop:.0f}',
        f'{row.peak_mb:.0f}',
        f'{row.peak_mb / base.peak_mb:.2f}' if base and known else '-',
    ]


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


def measurable(subject: Subject, size: tuple[int, int]) -> bool:
    """Whether what a subject needs is here; EfficientLoFTR needs sides of multiples of 32 px."""
    here = subject.device == 'cpu' or torch.cuda.is_available()
    fits = subject.weights != 'efficient' or not any(side % 32 for side in size)
    return here and fits and importlib.util.find_spec(subject.package) is not None


def run_in_turn(subjects: Sequence[Subject], arguments: Sequence[str], rounds: int) -> list[Row]:
    """Start a process for each subject and let them run in turn, a warm-up round first."""
    workers = [Worker(subject, arguments) for subject in subjects]
    for number in range(rounds + 1):
        for worker in workers:
            worker.run(keep=number > 0)
        print(f'round {number} of {rounds}' if number else 'warm-up', file=sys.stderr)
    for worker in workers:
        worker.close()
    return [worker.row for worker in workers]


def measure(options: argparse.Namespace, size: tuple[int, int], console: Console) -> None:
    """Run all subjects in turn; print and write what came out."""
    cuda = torch.cuda.is_available()
    chosen = [subject for subject in subjects() if options.only in str(subject)]
    with tempfile.TemporaryDirectory() as folder:
        weights, threshold = random_weights(Path(folder), size, options.matches)
        arguments = ['--size', options.size, '--weights', str(weights)]
        arguments += ['--threshold', repr(threshold)]
        measured = run_in_turn(
            [s for s in chosen if measurable(s, size)], arguments, options.rounds
        )
        done = {row.subject: row for row in measured}
        rows = [done.get(subject, Row(subject)) for subject in chosen]
        # Printed at once: stages take minutes on a machine that has other work.
        console.print(row_table(rows, size))
        places = [('cpu', 'float32'), *([('cuda', 'float32'), ('cuda', 'float16')] if cuda else [])]
        stages = []
        for place in [] if options.only else places:
            stages.append(measure_stages(weights, threshold, noise_pair(*size), *place))
            console.print(stage_table(stages[-1]))
    machine = {
        'cpus': os.cpu_count(),
        'threads': torch.get_num_threads(),
        'machine': platform.machine(),
        'torch': torch.__version__,
        'gpu': torch.cuda.get_device_name() if cuda else None,
    }
    console.print(', '.join(f'{name} {value}' for name, value in machine.items()))
    if not cuda:
        console.print('Rows of cuda are not measured: there is no GPU here.')
    if options.json:
        figures = {
            'machine': machine,
            'rows': [{**asdict(row), 'size': options.size} for row in rows],
            'stages': [asdict(stage) for group in stages for stage in group],
        }
        options.json.write_text(json.dumps(figures, indent=1) + '\n', encoding='utf-8')


def main() -> None:
    """Measure, or serve as one of the processes that are measured."""
    options = parse()
    width, height = map(int, options.size.split('x'))
    if options.serve:
        subject = Subject(**json.loads(options.serve))
        serve(subject, options.weights, options.threshold, (width, height))
    else:
        keep_freed_memory()  # for the stages; the processes set what their users would
        measure(options, (width, height), Console(width=160))


if __name__ == '__main__':
    main()
