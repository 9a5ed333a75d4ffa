"""`loftr-ros evaluate`: run every frame of bags and datasets through the tracker, and measure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loftr_ros.commands.arguments import add_tracking, tracking

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('inputs', nargs='*', type=Path, help='bags and folders of datasets')
    parser.add_argument('--bags', type=Path, help='file that lists more of them, one a line')
    parser.add_argument('-o', '--output', type=Path, required=True, help='folder for the results')
    parser.add_argument('--resume', action='store_true', help='go on with what is in the folder')
    add_tracking(parser)
    parser.add_argument('--camera', help='camera of a dataset, such as cam1')
    parser.add_argument('--frames', type=int, help='of each input; default: all')
    parser.add_argument(
        '--rate',
        type=float,
        metavar='HZ',
        help='simulate a camera of this rate, and a computer that has no time to match every frame',
    )
    parser.add_argument(
        '--cores', type=int, default=2, help='of that computer; with 1 alignment delays matching'
    )
    parser.add_argument(
        '--match-time', type=float, metavar='S', help='of that computer for a matched frame, s'
    )
    parser.add_argument(
        '--places', type=Path, metavar='FILE', help='find the camera in these saved places'
    )
    parser.add_argument(
        '--save-places', type=Path, metavar='FILE', help='save the places of the only input'
    )
    parser.add_argument('--worst', type=int, default=6, help='frames whose matches are kept')
    parser.add_argument('--jobs', type=int, help='inputs side by side; default: one per CPU')
    parser.add_argument(
        '--rerun', action='store_true', help='write a recording of each input for the Rerun viewer'
    )
    parser.add_argument(
        '--ray',
        nargs='?',
        const='local',
        metavar='ADDRESS',
        help='run on a Ray cluster; without an address start one here',
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from loftr_ros.evaluation.replay.command import EvaluateCommand
    from loftr_ros.evaluation.replay.inputs import read_list
    from loftr_ros.evaluation.replay.schedule import MATCH_SECONDS, Pace
    from loftr_ros.evaluation.replay.task import InputChoice, ReplayOptions

    arguments = tracking(options)

    pace = None
    if options.rate is not None:
        seconds = MATCH_SECONDS if options.match_time is None else options.match_time
        align = arguments['parameters'].every_frame == 'aligned'
        pace = Pace(options.rate, options.cores, seconds, align)
    listed = [] if options.bags is None else read_list(options.bags)
    return EvaluateCommand(
        inputs=(*options.inputs, *listed),
        output=options.output,
        parameters=arguments.pop('parameters'),
        choice=InputChoice(**arguments, camera=options.camera, frames=options.frames),
        options=ReplayOptions(
            worst=options.worst,
            resume=options.resume,
            rerun=options.rerun,
            pace=pace,
            places=options.places,
            save_places=options.save_places,
        ),
        jobs=options.jobs,
        ray=options.ray,
    ).run()
