"""`loftr-ros convert`: make a ROS 2 bag of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loftr_ros.commands.arguments import (
    CALIBRATION_FILE,
    add_calibration,
    add_parameters,
    calibration_files,
)

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
    add_parameters(parser)
    add_calibration(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from loftr_ros.data.convert import ConvertCommand
    from loftr_ros.evaluation.replay.inputs import input_options
    from loftr_ros.settings.files import read_parameters

    parameters = read_parameters(None, options.parameter)
    if files := calibration_files(options):
        parameters = parameters.with_values({CALIBRATION_FILE: files})
    names = 'dataset output storage compressed mode camera frames'
    values = {name: getattr(options, name) for name in names.split()}
    ConvertCommand(**values, options=input_options(parameters)).run()
    return 0
