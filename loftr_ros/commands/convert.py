"""`loftr-ros convert`: make a ROS 2 bag of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('dataset', type=Path, help='KITTI, EuRoC, TUM or 7-Scenes folder, or bag')
    parser.add_argument('-o', '--output', type=Path, required=True, help='the new bag')
    parser.add_argument('--storage', choices=('mcap', 'sqlite3'), default='mcap')
    parser.add_argument('--compressed', action='store_true', help='write images as PNG')
    parser.add_argument(
        '--mode', choices=('mono', 'stereo', 'rgbd'), help='default: all that the dataset has'
    )
    parser.add_argument('--camera', help='camera of the dataset, such as cam1')
    parser.add_argument('--frames', type=int, help='default: all')


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from loftr_ros.data.convert import ConvertCommand

    names = 'dataset output storage compressed mode camera frames'
    ConvertCommand(**{name: getattr(options, name) for name in names.split()}).run()
    return 0
