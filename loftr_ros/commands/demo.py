"""`loftr-ros demo`: run the node on an image sequence, over DDS, and report what it did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loftr_ros.commands.arguments import (
    CALIBRATION_FILE,
    SHORTCUTS,
    add_calibration,
    add_parameters,
    calibration_files,
)

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('--data', type=Path, help='dataset or bag; default: a rendered room')
    parser.add_argument('-o', '--output', '--out', type=Path, default=Path('demo_output'))
    parser.add_argument('--frames', type=int, help='number of images; default: up to a minute')
    parser.add_argument('--rate', type=float, help='images per second; default: as recorded')
    parser.add_argument('--mode', choices=('mono',), default='mono')
    parser.add_argument('--reference', choices=('keyframe', 'previous'), default='keyframe')
    parser.add_argument('--weights', default='lite', help='a name (`loftr-ros weights`) or a file')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')
    parser.add_argument(
        '--save-bag',
        type=Path,
        help='only write what the node would receive, as a bag; needs no ROS',
    )
    add_parameters(parser)
    add_calibration(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from loftr_ros.evaluation.demo.command import DemoOptions, run_demo, save_bag
    from loftr_ros.evaluation.replay.inputs import input_options
    from loftr_ros.settings.files import read_parameters

    parameters = {name: str(getattr(options, short)) for short, name in SHORTCUTS.items()}
    for assignment in options.parameter:
        name, separator, value = assignment.partition(':=')
        if not separator:
            raise ValueError(f'{assignment!r} is no parameter: write NAME:=VALUE')
        parameters[name] = value
    inputs = read_parameters(None, [f'{name}:={value}' for name, value in parameters.items()])
    if files := calibration_files(options):
        inputs = inputs.with_values({CALIBRATION_FILE: files})
    values = {name: getattr(options, name) for name in ('data', 'output', 'frames', 'rate')}
    demo = DemoOptions(**values, parameters=parameters, inputs=input_options(inputs))
    if options.save_bag is None:
        run_demo(demo)
    else:
        save_bag(demo, options.save_bag)
    return 0
