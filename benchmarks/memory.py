"""Greatest memory of each stage of a pair, beside the estimate that `max_memory` goes by.

    python benchmarks/memory.py --sizes 640x480 2000x2000 --weights full lite

Every row is a process of its own, on one pair of images and after the settings of the node and the
command line. The full model has random weights: what it holds does not depend on their values.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from loftr_ros.allocator import keep_freed_memory
from loftr_ros.matching.config import OUTDOOR
from loftr_ros.matching.limits import pair_megabytes
from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.network import LoFTR
from loftr_ros.matching.weights import save_weights

STAGES = ('encode 0', 'encode 1', 'coarse transformer', 'coarse matching', 'fine level')


class Peaks:
    """Greatest memory between the calls of :meth:`close`, MB."""

    def __init__(self, device: str) -> None:
        self._cuda = device != 'cpu'
        self.megabytes: dict[str, float] = {}
        self._reset()

    def close(self, stage: str) -> None:
        """End a stage; the next one begins."""
        peak = torch.cuda.max_memory_allocated() / 1e6 if self._cuda else status('VmHWM')
        self.megabytes[stage] = max(peak, self.megabytes.get(stage, 0.0))
        self._reset()

    def _reset(self) -> None:
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        else:
            Path('/proc/self/clear_refs').write_text('5', encoding='ascii')


def status(name: str) -> float:
    """Memory of this process that the kernel counts under a name, MB."""
    lines = Path('/proc/self/status').read_text(encoding='ascii').splitlines()
    line = next(line for line in lines if line.startswith(f'{name}:'))
    return float(line.split()[1]) * 1024 / 1e6


def serve(options: argparse.Namespace) -> None:
    """Match one pair and print what each stage held at most."""
    width, height = parse_size(options.sizes[0])
    keep_freed_memory()
    matcher = Matcher(
        options.file or 'lite',
        device=options.device,
        precision='float32' if options.device == 'cpu' else 'auto',
        longer_side=None,
        confidence_threshold=0.0 if options.file else None,
        max_matches=options.matches,
    )
    generator = np.random.default_rng(0)
    first = generator.integers(0, 244, (height, width), np.uint8)
    second = first + generator.integers(0, 12, first.shape, np.uint8)
    network, peaks = matcher.network, Peaks(matcher.device)
    network.loftr_coarse.register_forward_hook(lambda *_: peaks.close(STAGES[2]))
    network.loftr_fine.register_forward_pre_hook(lambda *_: peaks.close(STAGES[3]))
    before = status('VmRSS') if matcher.device == 'cpu' else torch.cuda.memory_allocated() / 1e6
    reference = matcher.encode(first)
    peaks.close(STAGES[0])
    query = matcher.encode(second)
    peaks.close(STAGES[1])
    matches = len(matcher.match(reference, query))
    peaks.close(STAGES[4])
    estimate = pair_megabytes((height, width), (height, width), network.config)
    figures = {'before': before, 'matches': matches, 'estimate': before + estimate}
    print(json.dumps({**figures, **peaks.megabytes}))


def parse_size(size: str) -> tuple[int, int]:
    """Width and height, px, of 640x480."""
    width, height = map(int, size.split('x'))
    return width, height


def measure(weights: str, size: str, options: argparse.Namespace, file: Path) -> dict[str, Any]:
    """Figures of one pair in a process of its own."""
    command = [sys.executable, __file__, '--serve', '--sizes', size, '--device', options.device]
    command += ['--matches', str(options.matches), *(['--file', str(file)] * (weights == 'full'))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures = json.loads(done.stdout)
    figures['peak'] = max(figures[stage] for stage in STAGES if stage in figures)
    return {'weights': weights, 'size': size, **figures}


def table(rows: list[dict[str, Any]]) -> Table:
    """All pairs."""
    columns = ('before', *STAGES, 'peak', 'estimate', 'matches')
    found = Table(title='Greatest memory, MB')
    for name in ('weights', 'size', *columns):
        found.add_column(name, justify='left' if name == 'weights' else 'right')
    for row in rows:
        found.add_row(row['weights'], row['size'], *(f'{row.get(name, 0):.0f}' for name in columns))
    return found


def main() -> None:
    """Measure all sizes, or serve as the process of one."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0] if __doc__ else None)
    parser.add_argument('--sizes', nargs='+', default=['640x480', '2000x2000'])
    parser.add_argument('--weights', nargs='+', default=['lite', 'full'], choices=('lite', 'full'))
    parser.add_argument('--device', default='cpu', help='cpu, cuda or cuda:N')
    parser.add_argument('--matches', type=int, default=1500, help='refined at most')
    parser.add_argument('--json', type=Path, help='file for all figures')
    parser.add_argument('--serve', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--file', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'random.safetensors'
        torch.manual_seed(0)
        save_weights(LoFTR(OUTDOOR), file)
        rows = [measure(w, size, options, file) for w in options.weights for size in options.sizes]
    Console(width=150).print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
