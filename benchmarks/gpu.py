"""Everything that a GPU should show, in about ten minutes and one command.

    python benchmarks/gpu.py --data ../shared/data --output gpu.md

Parity with a CPU in each precision, waits, CUDA graphs; speed of all rows; memory; rigs; a short
training. Each part is the command that the documents name, in a
process of its own with a limit of time; one that fails is reported and the others go on. The tables
that are printed are written to one file, from which docs/performance.md takes its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

LIMIT_S = 240.0
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Part:
    """A command and what it shows.

    Attributes:
        title: Of its section.
        command: Arguments of Python.
    """

    title: str
    command: tuple[str, ...]


def parts(work: Path) -> list[Part]:
    """In the order in which they are worth most."""

    def benchmark(name: str, *options: str) -> tuple[str, ...]:
        return str(FOLDER / name), *options

    tests = ('test/matching/test_gpu.py', 'test/matching/test_runner.py')
    return [
        Part('Parity, waits and graphs', ('-m', 'pytest', '-q', '-s', *tests)),
        Part('Speed', benchmark('speed.py', '--rounds', '20', '--only', 'cuda')),
        Part('Memory', benchmark('memory.py', '--device', 'cuda')),
        Part('Rigs', benchmark('batches.py', '--device', 'cuda')),
        Part(
            'Training, 200 steps',
            (
                *('-m', 'loftr_ros.commands.main', 'train', '--output', str(work / 'training')),
                *('--steps', '200', '--device', 'cuda'),
            ),
        ),
    ]


def run(part: Part, data: Path) -> str:
    """Section of the report: the command, how it ended, and what it printed."""
    started = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, *part.command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            cwd=FOLDER.parent,
            env={**os.environ, 'LOFTR_ROS_DATA': str(data.resolve())},
            check=False,
        )
        printed = done.stdout
        end = 'done' if done.returncode == 0 else f'FAILED ({done.returncode})'
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b''
        printed = output.decode(errors='replace') if isinstance(output, bytes) else output
        end = f'STOPPED after {LIMIT_S:.0f} s'
    seconds = time.perf_counter() - started
    print(f'{part.title}: {end}, {seconds:.0f} s', file=sys.stderr, flush=True)
    command = ' '.join(('python', *part.command))
    return (
        f'## {part.title}\n\n`{command}`: {end}, {seconds:.0f} s\n\n```\n{printed.strip()}\n```\n'
    )


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0] if __doc__ else None)
    parser.add_argument('--data', type=Path, default=Path('../shared/data'), help='public data')
    parser.add_argument('--output', type=Path, default=Path('gpu.md'), help='file of the report')
    parser.add_argument('--list', action='store_true', help='print the commands alone')
    return parser.parse_args()


def main() -> int:
    """Run all parts; 1 if one failed or there is no GPU."""
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        chosen = parts(Path(folder))
        if options.list:
            print('\n'.join(' '.join(('python', *part.command)) for part in chosen))
            return 0
        if not torch.cuda.is_available():
            print('benchmarks/gpu.py: no CUDA device is available here', file=sys.stderr)
            return 1
        name, capability = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
        report = f'# {name}, compute capability {capability}, torch {torch.__version__}\n'
        for part in chosen:
            report += '\n' + run(part, options.data)
            # After each part: what was measured is not lost with the machine.
            options.output.write_text(report, encoding='utf-8')
    return int('FAILED' in report or 'STOPPED' in report)


if __name__ == '__main__':
    sys.exit(main())
