"""Commands of `loftr-ros` that replay bags and datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

TOPICS = {
    'image': 'topic of the images',
    'camera_info': 'topic of their calibration',
    'ground_truth': 'topic of true poses (Odometry, PoseStamped, TransformStamped, TFMessage)',
    'ground_truth_frame': 'child frame of the true poses, of several in /tf',
    'depth': 'topic of the depth images',
    'right_image': 'topic of the right camera',
    'right_camera_info': 'topic of its calibration',
}


def add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `evaluate`."""
    parser = commands.add_parser(
        'evaluate', help='run every frame of bags and datasets through the tracker, and measure'
    )
    parser.set_defaults(run=_evaluate)
    parser.add_argument('inputs', nargs='*', type=Path, help='bags and folders of datasets')
    parser.add_argument('--bags', type=Path, help='file that lists more of them, one a line')
    parser.add_argument('-o', '--output', type=Path, required=True, help='folder for the results')
    parser.add_argument('--resume', action='store_true', help='go on with what is in the folder')
    parser.add_argument('--mode', choices=('mono', 'stereo', 'rgbd'), default='mono')
    parser.add_argument('--reference', choices=('keyframe', 'previous'))
    parser.add_argument('--weights', help='lite, outdoor, indoor, or a file')
    parser.add_argument('--device', help='auto, cpu, cuda or cuda:N')
    parser.add_argument('--parameters', type=Path, help="file of the node's parameters")
    parser.add_argument(
        '-p',
        '--parameter',
        action='append',
        default=[],
        metavar='NAME:=VALUE',
        help='any other parameter of the node',
    )
    for name, text in TOPICS.items():
        option = name if name == 'ground_truth_frame' else f'{name}_topic'
        parser.add_argument(f'--{option.replace("_", "-")}', dest=name, metavar='NAME', help=text)
    parser.add_argument('--camera', help='camera of a dataset, such as cam1')
    parser.add_argument('--frames', type=int, help='of each input; default: all')
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


def _evaluate(options: argparse.Namespace) -> int:
    from loftr_ros.evaluation.bag_topics import TopicNames
    from loftr_ros.evaluation.evaluate_command import EvaluateCommand
    from loftr_ros.evaluation.inputs import read_list
    from loftr_ros.evaluation.parameter_values import read_parameters, with_values

    parameters = read_parameters(options.parameters, options.parameter)
    names = 'mode reference weights device'
    shortcuts = {name: getattr(options, name) for name in names.split()}
    listed = [] if options.bags is None else read_list(options.bags)
    names = 'output mode camera frames worst resume jobs ray rerun'
    return EvaluateCommand(
        (*options.inputs, *listed),
        parameters=with_values(parameters, shortcuts),
        topics=TopicNames(**{name: getattr(options, name) for name in TOPICS}),
        **{name: getattr(options, name) for name in names.split()},
    ).run()


def add_convert(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `convert`."""
    parser = commands.add_parser('convert', help='make a ROS 2 bag of a dataset')
    parser.set_defaults(run=_convert)
    parser.add_argument('dataset', type=Path, help='KITTI, EuRoC, TUM or 7-Scenes folder, or bag')
    parser.add_argument('-o', '--output', type=Path, required=True, help='the new bag')
    parser.add_argument('--storage', choices=('mcap', 'sqlite3'), default='mcap')
    parser.add_argument('--compressed', action='store_true', help='write images as PNG')
    parser.add_argument(
        '--mode', choices=('mono', 'stereo', 'rgbd'), help='default: all that the dataset has'
    )
    parser.add_argument('--camera', help='camera of the dataset, such as cam1')
    parser.add_argument('--frames', type=int, help='default: all')


def _convert(options: argparse.Namespace) -> int:
    from loftr_ros.evaluation.convert import ConvertCommand

    names = 'dataset output storage compressed mode camera frames'
    ConvertCommand(**{name: getattr(options, name) for name in names.split()}).run()
    return 0
