"""The command line `loftr-ros`: parse, call, print."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from loftr_ros import __version__
from loftr_ros.cli_evaluation import add_evaluate
from loftr_ros.cli_reports import add_compare, add_explain, add_report
from loftr_ros.cli_training import add_evaluate_conditions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 on success, 1 on an error that the text explains."""
    options = _parser().parse_args(arguments)
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
    _add_train(commands)
    add_evaluate(commands)
    _add_evaluate_pairs(commands)
    add_evaluate_conditions(commands)
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
    parser.add_argument('--threshold', type=float, help='smallest confidence')


def _match(options: argparse.Namespace) -> int:
    import cv2

    from loftr_ros.evaluation.images import read_image
    from loftr_ros.matching.matcher import Matcher
    from loftr_ros.visualization.matches import draw_matches

    reference, query = read_image(options.image0), read_image(options.image1)
    matcher = Matcher(
        options.weights,
        configuration=options.configuration,
        device=options.device,
        longer_side=options.longer_side or None,
        confidence_threshold=options.threshold,
    )
    matches = matcher.match_images(reference, query)
    picture = draw_matches(reference, query, matches)
    if not cv2.imwrite(str(options.output), picture[..., ::-1]):
        raise OSError(f'could not write {options.output}')
    median = f', median confidence {float(sorted(matches.confidence)[len(matches) // 2]):.2f}'
    print(f'{len(matches)} matches{median if len(matches) else ""}: {options.output}')
    return 0


def _add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser('train', help='train the small network from photographs')
    parser.set_defaults(run=_train)
    parser.add_argument('photographs', type=Path, help='folder of pictures of any content')
    parser.add_argument('-o', '--output', type=Path, default=Path('training'))
    parser.add_argument('--steps', type=int, default=20000)
    parser.add_argument('--batch', type=int, default=8, help='pairs per step')
    parser.add_argument('--width', type=int, default=320)
    parser.add_argument('--height', type=int, default=240)
    parser.add_argument('--learning-rate', type=float, default=1e-3)
    parser.add_argument('--decay-steps', type=int, default=4000)
    parser.add_argument('--fine-matches', type=int, default=40, help='windows per pair')
    parser.add_argument('--fine-weight', type=float, default=1.0, help='of the fine loss')
    parser.add_argument('--every', type=int, default=250, help='steps between reports')
    parser.add_argument(
        '--minutes', type=float, default=0.0, help='stop (and save) after; 0: never'
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--float32', action='store_true', help='no mixed precision')
    parser.add_argument('--exclude', nargs='*', default=[], help='words in names of files to skip')


def _train(options: argparse.Namespace) -> int:
    from loftr_ros.training.options import TrainOptions
    from loftr_ros.training.train import Trainer

    names = 'photographs output steps batch width height learning_rate decay_steps every minutes'
    more = ['seed', 'device', 'fine_matches', 'fine_weight']
    values = {name: getattr(options, name) for name in [*names.split(), *more]}
    train_options = TrainOptions(
        **values, exclude=tuple(options.exclude), mixed_precision=not options.float32
    )
    trainer = Trainer(train_options)
    trainer.run()
    print(f'weights: {trainer.export()}')
    return 0


def _add_evaluate_pairs(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        'evaluate-pairs', help='measure relative poses on pairs of images with known truth'
    )
    parser.set_defaults(run=_evaluate_pairs)
    parser.add_argument('--data', type=Path, required=True, help='folder of one or more datasets')
    parser.add_argument('--json', type=Path, help='file for all figures')
    parser.add_argument('--out', type=Path, help='folder for pictures')
    parser.add_argument('--sets', nargs='+', default=[], help='names of sets, with wildcards')
    parser.add_argument('--weights', nargs='*', default=['lite'], help='names or files')
    parser.add_argument('--peers', nargs='*', default=['rootsift', 'orb'])
    parser.add_argument('--max-pairs', type=int, default=200, help='of each set; 0 for all')
    parser.add_argument('--longer-side', type=int, default=640, help='of the resized images, px')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')


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
