"""`loftr-ros evaluate-live`: play a bag to the real node, over DDS, and compare with evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loftr_ros.commands.arguments import add_tracking, tracking

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('bag', type=Path, help='ROS 2 bag; `convert` makes one of a dataset')
    parser.add_argument('-o', '--output', type=Path, required=True, help='folder for the results')
    parser.add_argument(
        '--rate', type=float, default=1.0, help='how many times faster than recorded to play it'
    )
    parser.add_argument('--loops', type=int, default=1, help='how often to play it')
    parser.add_argument(
        '--replay', type=Path, metavar='RUN', help='results of evaluate of the same bag, to reuse'
    )
    add_tracking(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from loftr_ros.evaluation.live.command import LiveCommand

    names = 'bag output rate loops replay'
    values = {name: getattr(options, name) for name in names.split()}
    return LiveCommand(**values, **tracking(options)).run()
