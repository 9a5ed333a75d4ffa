"""Arguments that several commands take."""

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
    'imu': 'topic of the gyroscope (input.gyroscope)',
}

SHORTCUTS = {
    'mode': 'mode',
    'reference': 'reference',
    'weights': 'matcher.weights',
    'device': 'matcher.device',
}
"""Options of the command line that are parameters of the node."""


def add_tracking(parser: argparse.ArgumentParser) -> None:
    """Add what is tracked, and how."""
    parser.add_argument('--mode', choices=('mono', 'stereo', 'rgbd'), help='default: mono')
    parser.add_argument('--reference', choices=('keyframe', 'previous'))
    parser.add_argument('--weights', help='a name (`loftr-ros weights`) or a file')
    parser.add_argument('--device', help='auto, cpu, cuda or cuda:N')
    parser.add_argument('--parameters', type=Path, help="file of the node's parameters")
    add_parameters(parser)
    add_calibration(parser)
    for name, text in TOPICS.items():
        option = name if name == 'ground_truth_frame' else f'{name}_topic'
        parser.add_argument(f'--{option.replace("_", "-")}', dest=name, metavar='NAME', help=text)


CALIBRATION_FILE = 'input.calibration_file'


def add_calibration(parser: argparse.ArgumentParser) -> None:
    """Add the files of calibrations."""
    parser.add_argument(
        '--calibration',
        nargs='+',
        metavar='FILE',
        help='calibration of a bag without camera_info (ROS, Kalibr, EuRoC), then of the right '
        'camera',
    )


def calibration_files(options: argparse.Namespace) -> tuple[str, ...] | None:
    """Return the files of `add_calibration`; None for none."""
    files = [str(Path(file).expanduser().absolute()) for file in options.calibration or ()]
    return tuple(files) or None


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """Add single parameters of the node."""
    parser.add_argument(
        '-p',
        '--parameter',
        action='append',
        default=[],
        metavar='NAME:=VALUE',
        help='any other parameter of the node',
    )


def tracking(options: argparse.Namespace) -> dict[str, Any]:
    """Return what `add_tracking` asks for."""
    from loftr_ros.data.bags.topics import TopicNames
    from loftr_ros.settings.files import read_parameters

    parameters = read_parameters(options.parameters, options.parameter)
    given = {name: getattr(options, short) for short, name in SHORTCUTS.items()}
    given |= {CALIBRATION_FILE: calibration_files(options)}
    given = {name: value for name, value in given.items() if value is not None}
    parameters = parameters.with_values(given)
    return {
        'parameters': parameters,
        'mode': parameters.mode,
        'topics': TopicNames(**{name: getattr(options, name) for name in TOPICS}),
    }


def add_pair_arguments(parser: argparse.ArgumentParser, max_pairs: int) -> None:
    """Add what all commands take that measure matchers side by side on pairs."""
    parser.add_argument('--data', type=Path, required=True, help='folder of one or more datasets')
    parser.add_argument('--json', type=Path, help='file for all figures')
    parser.add_argument('--out', type=Path, help='folder for pictures')
    parser.add_argument('--sets', nargs='+', default=[], help='names of sets, with wildcards')
    parser.add_argument('--weights', nargs='*', default=['lite'], help='names or files')
    parser.add_argument('--peers', nargs='*', default=['rootsift', 'orb'])
    parser.add_argument('--max-pairs', type=int, default=max_pairs, help='of each set; 0 for all')
    parser.add_argument(
        '--try-views', action='store_true', help='LoFTR once more, with rotated and zoomed queries'
    )
    parser.add_argument('--longer-side', type=int, default=640, help='of the resized images, px')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')


def add_backend_arguments(parser: argparse.ArgumentParser, backend: bool = True) -> None:
    """Add the choice of what computes the network."""
    if backend:
        parser.add_argument(
            '--backend',
            default='torch',
            help='torch, or onnxruntime: --weights is the folder that `export` wrote',
        )
    parser.add_argument(
        '--providers',
        default='CPUExecutionProvider',
        help='of onnxruntime, separated by commas, the preferred one first',
    )
