"""The command line `loftr-ros`: parse, call, print."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from loftr_ros import __version__
from loftr_ros.allocator import keep_freed_memory
from loftr_ros.cli_evaluation import add_convert, add_evaluate, add_evaluate_live
from loftr_ros.cli_export import add_backend_arguments, add_export
from loftr_ros.cli_reports import add_compare, add_explain, add_report
from loftr_ros.cli_training import (
    add_evaluate_calibration,
    add_evaluate_conditions,
    add_pair_arguments,
    add_reconstruct,
    add_train,
    add_training_curves,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 on success, 1 on an error that the text explains."""
    options = _parser().parse_args(arguments)
    keep_freed_memory()
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except (ValueError, OSError) as error:
        print(f'loftr-ros {options.command}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'loftr-ros {options.command}: interrupted', file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='loftr-ros', description='LoFTR matching for ROS 2.')
    parser.add_argument('--version', action='version', version=f'loftr_ros {__version__}')
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    _add_match(commands)
    add_explain(commands)
    add_report(commands)
    add_compare(commands)
    add_train(commands)
    add_reconstruct(commands)
    add_training_curves(commands)
    add_evaluate(commands)
    add_evaluate_live(commands)
    add_convert(commands)
    _add_evaluate_pairs(commands)
    add_evaluate_conditions(commands)
    add_evaluate_calibration(commands)
    add_export(commands)
    _add_demo(commands)
    return parser


def _add_match(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser('match', help='match two pictures and draw the matches')
    parser.set_defaults(run=_match)
    parser.add_argument('image0', type=Path, help='reference picture')
    parser.add_argument('image1', type=Path, help='query picture')
    parser.add_argument('-o', '--output', type=Path, default=Path('matches.png'))
    parser.add_argument('--weights', default='lite', help='lite, outdoor, indoor, or a file')
    parser.add_argument('--configuration', help='of a weights file that does not carry its own')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')
    parser.add_argument('--longer-side', type=int, default=640, help='px; 0 keeps the size')
    parser.add_argument('--max-pixels', type=int, help='greatest number of pixels matched')
    parser.add_argument('--max-memory', type=int, help='MB for a pair, besides the process')
    parser.add_argument('--threshold', type=float, help='smallest confidence')
    parser.add_argument(
        '--try-rotations', action='store_true', help='also by 90, 180 and 270 degrees'
    )
    parser.add_argument('--mask0', default='', help='picture, dark where IMAGE0 may not match')
    parser.add_argument('--mask1', default='', help='the same for IMAGE1')
    add_backend_arguments(parser)


def _match(options: argparse.Namespace) -> int:
    import cv2

    from loftr_ros.evaluation.images import read_image
    from loftr_ros.matching.matcher import Matcher
    from loftr_ros.ros.masks import read_mask
    from loftr_ros.visualization.matches import draw_matches

    images = [read_image(options.image0), read_image(options.image1)]
    masks = [read_mask(name, getattr(options, name)) for name in ('mask0', 'mask1')]
    matcher = Matcher(
        options.weights,
        configuration=options.configuration,
        device=options.device,
        longer_side=options.longer_side or None,
        max_pixels=options.max_pixels,
        max_memory=options.max_memory,
        confidence_threshold=options.threshold,
        try_rotations=options.try_rotations,
        backend=options.backend,
        providers=options.providers,
    )
    for shape in dict.fromkeys(image.shape[:2] for image in images):
        size = matcher.network_size(*shape)
        if size.limit in ('max_pixels', 'max_memory'):
            print(size, file=sys.stderr)
    features = [matcher.encode(*pair) for pair in zip(images, masks, strict=True)]
    matches = matcher.match(features[0], features[1])
    picture = draw_matches(images[0], images[1], matches)
    if not cv2.imwrite(str(options.output), picture[..., ::-1]):
        raise OSError(f'could not write {options.output}')
    median = f', median confidence {float(sorted(matches.confidence)[len(matches) // 2]):.2f}'
    rotated = f', query rotated by {matches.rotation} degrees' if matches.rotation else ''
    print(f'{len(matches)} matches{median if len(matches) else ""}{rotated}: {options.output}')
    return 0


def _add_evaluate_pairs(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        'evaluate-pairs', help='measure relative poses on pairs of images with known truth'
    )
    parser.set_defaults(run=_evaluate_pairs)
    add_pair_arguments(parser, max_pairs=200)


def _evaluate_pairs(options: argparse.Namespace) -> int:
    from loftr_ros.evaluation.pair_command import PairCommand
    from loftr_ros.evaluation.pair_evaluation import EvaluationOptions

    names = 'data json out max_pairs device'
    PairCommand(
        **{name: getattr(options, name) for name in names.split()},
        sets=tuple(options.sets),
        weights=tuple(options.weights),
        peers=tuple(options.peers),
        options=EvaluationOptions(longer_side=options.longer_side),
    ).run()
    return 0


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        'demo', help='run the node on an image sequence, over DDS, and report what it did'
    )
    parser.set_defaults(run=_demo)
    parser.add_argument('--data', type=Path, help='dataset or bag; default: a rendered room')
    parser.add_argument('-o', '--output', '--out', type=Path, default=Path('demo_output'))
    parser.add_argument('--frames', type=int, help='number of images; default: up to a minute')
    parser.add_argument('--rate', type=float, help='images per second; default: as recorded')
    parser.add_argument('--mode', choices=('mono',), default='mono')
    parser.add_argument('--reference', choices=('keyframe', 'previous'), default='keyframe')
    parser.add_argument('--weights', default='lite', help='lite, outdoor, indoor, or a file')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')
    parser.add_argument(
        '-p',
        '--parameter',
        action='append',
        default=[],
        metavar='NAME:=VALUE',
        help='any other parameter of the node',
    )


def _demo(options: argparse.Namespace) -> int:
    from loftr_ros.evaluation.demo import DemoOptions, run_demo

    names = 'mode reference weights device'
    parameters = {name: str(getattr(options, name)) for name in names.split()}
    for assignment in options.parameter:
        name, separator, value = assignment.partition(':=')
        if not separator:
            raise ValueError(f'{assignment!r} is no parameter: write NAME:=VALUE')
        parameters[name] = value
    values = {name: getattr(options, name) for name in ('data', 'output', 'frames', 'rate')}
    run_demo(DemoOptions(**values, parameters=parameters))
    return 0


if __name__ == '__main__':
    sys.exit(main())
