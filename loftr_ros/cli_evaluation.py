"""Commands of `loftr-ros` that replay bags and datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    _add_tracking(parser)
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


def add_evaluate_live(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `evaluate-live`."""
    parser = commands.add_parser(
        'evaluate-live', help='play a bag to the real node, over DDS, and compare with evaluate'
    )
    parser.set_defaults(run=_evaluate_live)
    parser.add_argument('bag', type=Path, help='ROS 2 bag; `convert` makes one of a dataset')
    parser.add_argument('-o', '--output', type=Path, required=True, help='folder for the results')
    parser.add_argument(
        '--rate', type=float, default=1.0, help='how many times faster than recorded to play it'
    )
    parser.add_argument('--loops', type=int, default=1, help='how often to play it')
    parser.add_argument(
        '--replay', type=Path, metavar='RUN', help='results of evaluate of the same bag, to reuse'
    )
    _add_tracking(parser)


def _add_tracking(parser: argparse.ArgumentParser) -> None:
    """Add what is matched, and how."""
    parser.add_argument('--mode', choices=('mono', 'stereo', 'rgbd'), default='mono')
    parser.add_argument('--reference', choices=('keyframe', 'previous'))
    parser.add_argument('--weights', help='a name (`loftr-ros weights`) or a file')
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


def _evaluate(options: argparse.Namespace) -> int:
    from loftr_ros.evaluation.evaluate_command import EvaluateCommand
    from loftr_ros.evaluation.inputs import read_list

    listed = [] if options.bags is None else read_list(options.bags)
    names = 'output mode camera frames worst resume jobs ray rerun'
    return EvaluateCommand(
        (*options.inputs, *listed),
        **_tracking(options),
        **{name: getattr(options, name) for name in names.split()},
    ).run()


def _evaluate_live(options: argparse.Namespace) -> int:
    from loftr_ros.evaluation.live_command import LiveCommand

    names = 'bag output rate loops replay mode'
    values = {name: getattr(options, name) for name in names.split()}
    return LiveCommand(**values, **_tracking(options)).run()


def _tracking(options: argparse.Namespace) -> dict[str, Any]:
    """Return what `_add_tracking` asks for."""
    from loftr_ros.evaluation.bag_topics import TopicNames
    from loftr_ros.evaluation.parameter_values import read_parameters, with_values

    parameters = read_parameters(options.parameters, options.parameter)
    names = 'mode reference weights device'
    shortcuts = {name: getattr(options, name) for name in names.split()}
    return {
        'parameters': with_values(parameters, shortcuts),
        'topics': TopicNames(**{name: getattr(options, name) for name in TOPICS}),
    }


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
