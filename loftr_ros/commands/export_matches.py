"""`loftr-ros export-matches`: write matches and tracks as a database of COLMAP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loftr_ros.commands.arguments import add_tracking, tracking

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('input', type=Path, help='bag or dataset')
    parser.add_argument('-o', '--output', type=Path, required=True, help='the new database')
    parser.add_argument('--images', type=Path, help='folder to write the images to as PNG')
    parser.add_argument('--frames', type=int, help='default: all')
    add_tracking(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from loftr_ros.evaluation.replay.export_matches import ExportCommand

    values = {name: getattr(options, name) for name in ('output', 'images', 'frames')}
    ExportCommand(path=options.input, **values, **tracking(options)).run()
    return 0
