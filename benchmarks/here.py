"""How fast the node is on this computer: `python benchmarks/here.py`, two minutes.

Plays a rendered sequence into the real node at the rate of a camera, by `latency.py`, once for each
of some settings, and prints a table and which of them keeps up. What else the computer does counts.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

LATENCY = Path(__file__).with_name('latency.py')
LATE_MS = 250.0
"""Poses older than this at the 95th percentile are of little use to a robot that drives by them."""
KEPT_SHARE = 0.9
"""Share of the images that need a pose for a setting to keep up."""


@dataclass(frozen=True)
class Setting:
    """What differs from the defaults of the node.

    Attributes:
        longer_side: At which images are matched, px.
        every_frame: 'matched' or 'aligned'.
    """

    longer_side: int
    every_frame: str

    @property
    def parameters(self) -> list[str]:
        """As arguments of the node."""
        return [
            f'matcher.longer_side:={self.longer_side}',
            f'every_frame:={self.every_frame}',
        ]


SETTINGS = tuple(
    Setting(side, every) for side in (640, 480, 320) for every in ('matched', 'aligned')
)


def measure(setting: Setting, rate: float, seconds: float) -> dict[str, Any]:
    """Return the figures of `latency.py`.

    Raises:
        RuntimeError: It ended without any.
    """
    command = [sys.executable, str(LATENCY), '--json', '--rate', str(rate)]
    command += ['--seconds', str(seconds), *setting.parameters]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith('{')]
    if not lines:
        raise RuntimeError(f'{" ".join(command)}: {done.stderr.strip() or "no figures"}')
    return dict(json.loads(lines[-1]))


def advice(found: dict[Setting, dict[str, Any]], rate: float) -> str:
    """Say which setting to take: the finest that keeps up, or else the one with most poses."""
    for setting, figures in found.items():
        if figures['rate [Hz]'] >= KEPT_SHARE * rate and figures['p95 [ms]'] < LATE_MS:
            return f'This computer keeps up with {rate:g} Hz: {" ".join(setting.parameters)}'
    best = max(found, key=lambda setting: float(found[setting]['rate [Hz]']))
    return (
        f'Nothing keeps up with {rate:g} Hz here. Most poses, {found[best]["rate [Hz]"]:.1f} a '
        f'second, come with {" ".join(best.parameters)}'
    )


def table_of(found: dict[Setting, dict[str, Any]]) -> Table:
    """Return the figures as a table."""
    table = Table(title=f'{processor()}, {len(os.sched_getaffinity(0))} cores')
    for name in ('longer side', 'every_frame', 'poses/s', 'of them matched/s', 'p50 ms', 'p95 ms'):
        table.add_column(name, justify='right')
    for name in ('cores at work', 'load average'):
        table.add_column(name, justify='right')
    for setting, figures in found.items():
        rate = figures['rate [Hz]']
        matched = rate * figures['matched'] / max(figures['poses'], 1)
        names = 'p50 [ms]', 'p95 [ms]', 'cores at work', 'load average'
        values = [rate, matched, *(figures[name] for name in names)]
        shown = ['-' if math.isnan(value) else f'{value:.1f}' for value in values]
        table.add_row(str(setting.longer_side), setting.every_frame, *shown)
    return table


def processor() -> str:
    """Return the name of the processor."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text(encoding='utf-8').splitlines() if info.is_file() else []
    names = (line.partition(':')[2].strip() for line in lines if line.startswith('model name'))
    return next(names, platform.machine())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rate', type=float, default=30.0, help='images per second, Hz')
    parser.add_argument('--seconds', type=float, default=8.0, help='for each setting')
    parser.add_argument('--json', type=Path, help='file for the figures')
    arguments = parser.parse_args()
    found = {}
    for setting in SETTINGS:
        print(f'{" ".join(setting.parameters)} ...', file=sys.stderr, flush=True)
        found[setting] = measure(setting, arguments.rate, arguments.seconds)
    Console().print(table_of(found))
    print(advice(found, arguments.rate))
    if arguments.json:
        rows = [{**vars(setting), **figures} for setting, figures in found.items()]
        arguments.json.write_text(json.dumps(rows, indent=1) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
