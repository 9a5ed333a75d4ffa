"""Commands of `loftr-ros` that train weights and measure how good they are."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loftr_ros.training.sequences import PosedFrame

LISTS = 'exclude', 'sequences', 'reconstructions'
"""Options of `train` that take several values."""


def add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `train`: flags are named as the fields of `TrainOptions`."""
    parser = commands.add_parser(
        'train',
        help='train from photographs, or fine-tune on sequences with depth and poses',
        description='Flags go before the values of --config; docs/training.md lists all options.',
        argument_default=argparse.SUPPRESS,
    )
    parser.set_defaults(run=_train)
    parser.add_argument(
        'photographs', type=Path, nargs='?', default=None, help='folder of pictures'
    )
    parser.add_argument('--config', type=Path, help='YAML or JSON file of options')
    parser.add_argument('-o', '--output', type=Path, help='folder of the run; default: training')
    parser.add_argument('--sequences', type=Path, nargs='+', help='datasets or bags, depth + poses')
    parser.add_argument('--reconstructions', type=Path, nargs='+', help='COLMAP workspaces, scenes')
    parser.add_argument('--average-decay', type=float, help='of the moving average of the weights')
    parser.add_argument('--sequence-share', type=float, help='share of real pairs')
    parser.add_argument('--init', help='weights to start from, such as lite')
    parser.add_argument('--resume', type=Path, help='checkpoint to go on from')
    parser.add_argument('--steps', type=int, help='in total, those of earlier pieces included')
    parser.add_argument('--batch', type=int, help='pairs per step')
    parser.add_argument('--width', type=int, help='of the images, px')
    parser.add_argument('--height', type=int, help='of the images, px')
    parser.add_argument('--learning-rate', type=float)
    parser.add_argument('--warmup-steps', type=int)
    parser.add_argument('--decay-steps', type=int)
    parser.add_argument('--fine-matches', type=int, help='windows per pair')
    parser.add_argument(
        '--fine-every', type=int, help='steps from one with the fine loss to the next'
    )
    parser.add_argument('--fine-weight', type=float, help='of the fine loss')
    parser.add_argument('--every', type=int, help='steps between reports')
    parser.add_argument('--keep-every', type=int, help='steps between checkpoints that are kept')
    parser.add_argument('--validation-pairs', type=int, help='held-out pairs of a report')
    parser.add_argument('--tensorboard', action='store_true', help='figures for TensorBoard, too')
    parser.add_argument('--minutes', type=float, help='stop (and save) after; 0: never')
    parser.add_argument('--seed', type=int)
    parser.add_argument('--device', help='cpu, cuda or cuda:N')
    parser.add_argument(
        '--float32', dest='mixed_precision', action='store_false', help='no mixed precision'
    )
    parser.add_argument('--exclude', nargs='*', help='words in names of files to skip')


def _train(options: argparse.Namespace) -> int:
    from loftr_ros.evaluation.pose_figures import pose_figures
    from loftr_ros.training.configuration import read_options
    from loftr_ros.training.reconstructions import read_reconstructions
    from loftr_ros.training.train import Trainer

    given = {k: v for k, v in vars(options).items() if k not in ('command', 'run', 'config')}
    # A positional argument is there even where it is not given.
    if given['photographs'] is None:
        del given['photographs']
    given |= {k: tuple(given[k]) for k in LISTS if k in given}
    train_options = read_options(getattr(options, 'config', None), given)
    sequences = [_posed_frames(path) for path in train_options.sequences]
    models = [one for path in train_options.reconstructions for one in read_reconstructions(path)]
    trainer = Trainer(
        train_options, sequences=sequences, reconstructions=models, pose_measure=pose_figures
    )
    trainer.run()
    print(f'weights: {trainer.export()}')
    return 0


def _posed_frames(path: Path) -> list[PosedFrame]:
    from loftr_ros.evaluation.depth_frames import read_depth_frames
    from loftr_ros.training.sequences import PosedFrame

    return [PosedFrame(*frame) for frame in read_depth_frames(path)]


def add_reconstruct(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `reconstruct`."""
    parser = commands.add_parser(
        'reconstruct', help='make a COLMAP model of photographs, to train from their pairs'
    )
    parser.set_defaults(run=_reconstruct)
    parser.add_argument('images', type=Path, help='folder of photographs of one scene')
    parser.add_argument('-o', '--output', type=Path, required=True, help='folder of the scene')
    parser.add_argument('--features', type=int, default=4096, help='of each photograph, at most')
    parser.add_argument('--focal', type=float, help='focal length of all photographs, px, if known')
    parser.add_argument('--threads', type=int, default=-1, help='-1: all cores')


def _reconstruct(options: argparse.Namespace) -> int:
    from loftr_ros.training.reconstruct import ReconstructionOptions, reconstruct

    how = ReconstructionOptions(options.features, options.focal, options.threads)
    sizes = reconstruct(options.images, options.output, how)
    for number, size in enumerate(sizes):
        print(f'{options.output / "sparse" / str(number)}: {size} photographs')
    return 0


def add_training_curves(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `training-curves`."""
    parser = commands.add_parser('training-curves', help='draw the progress of training runs')
    parser.set_defaults(run=_training_curves)
    parser.add_argument('tables', type=Path, nargs='+', help='progress.csv of one or more runs')
    parser.add_argument('-o', '--output', type=Path, default=Path('training_curves.png'))
    parser.add_argument(
        '--figures', type=Path, help='JSON of evaluate-pairs with several weights of these runs'
    )


def _training_curves(options: argparse.Namespace) -> int:
    from loftr_ros.evaluation.pair_report import read_pair_figures
    from loftr_ros.training.progress import read_rows
    from loftr_ros.visualization.training import training_figure
    from loftr_ros.visualization.trajectories import save_figure

    runs = {_run_name(table, options.tables): read_rows(table) for table in options.tables}
    measured = None if options.figures is None else read_pair_figures(options.figures)
    save_figure(training_figure(runs, measured), options.output)
    print(f'curves: {options.output}')
    return 0


def _run_name(table: Path, tables: list[Path]) -> str:
    """Name a run by its folder, or by its path where that name is taken."""
    name = table.resolve().parent.name
    return name if [t.resolve().parent.name for t in tables].count(name) == 1 else str(table)


def add_pair_arguments(parser: argparse.ArgumentParser, max_pairs: int) -> None:
    """Add what all commands take that measure matchers side by side on pairs."""
    parser.add_argument('--data', type=Path, required=True, help='folder of one or more datasets')
    parser.add_argument('--json', type=Path, help='file for all figures')
    parser.add_argument('--out', type=Path, help='folder for pictures')
    parser.add_argument('--sets', nargs='+', default=[], help='names of sets, with wildcards')
    parser.add_argument('--weights', nargs='*', default=['lite'], help='names or files')
    parser.add_argument('--peers', nargs='*', default=['rootsift', 'orb'])
    parser.add_argument('--max-pairs', type=int, default=max_pairs, help='of each set; 0 for all')
    parser.add_argument('--longer-side', type=int, default=640, help='of the resized images, px')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')


def add_evaluate_conditions(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Add the command `evaluate-conditions`."""
    parser = commands.add_parser(
        'evaluate-conditions', help='measure relative poses on pairs made hard: blur, dark, ...'
    )
    parser.set_defaults(run=_evaluate_conditions)
    add_pair_arguments(parser, max_pairs=20)
    parser.add_argument('--conditions', nargs='+', help='names; default: all')


def _evaluate_conditions(options: argparse.Namespace) -> int:
    from loftr_ros.evaluation.condition_command import ConditionCommand
    from loftr_ros.evaluation.conditions import CONDITIONS
    from loftr_ros.evaluation.pair_evaluation import EvaluationOptions

    names = 'data json out max_pairs device'
    ConditionCommand(
        **{name: getattr(options, name) for name in names.split()},
        conditions=tuple(options.conditions or CONDITIONS),
        sets=tuple(options.sets),
        weights=tuple(options.weights),
        peers=tuple(options.peers),
        options=EvaluationOptions(longer_side=options.longer_side),
    ).run()
    return 0


def add_evaluate_calibration(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Add the command `evaluate-calibration`."""
    parser = commands.add_parser(
        'evaluate-calibration', help='measure what stated confidence and sigma are worth'
    )
    parser.set_defaults(run=_evaluate_calibration)
    parser.add_argument(
        '--photographs', type=Path, help='folder: pairs are rendered from those held out'
    )
    parser.add_argument('--exclude', nargs='*', default=[], help='words in names of files to skip')
    parser.add_argument('--sequences', type=Path, nargs='*', default=[], help='with depth + poses')
    parser.add_argument('--weights', default='lite', help='lite, outdoor, indoor, or a file')
    parser.add_argument('--pairs', type=int, default=64, help='of each set')
    parser.add_argument('--width', type=int, default=640, help='of the images, px')
    parser.add_argument('--height', type=int, default=480, help='of the images, px')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--json', type=Path, help='file for all figures')
    parser.add_argument('--out', type=Path, help='folder for pictures')


def _evaluate_calibration(options: argparse.Namespace) -> int:
    from loftr_ros.evaluation.calibration import measure_calibration
    from loftr_ros.evaluation.calibration_report import report_calibration
    from loftr_ros.matching.weights import load_weights
    from loftr_ros.training.sources import held_out_sets
    from loftr_ros.training.validation import match_held_out

    network = load_weights(options.weights).network
    sets = held_out_sets(
        network.config,
        (options.height, options.width),
        options.seed,
        photographs=options.photographs,
        exclude=tuple(options.exclude),
        sequences={path.name: _posed_frames(path) for path in options.sequences},
    )
    measured = []
    for name, source in sets.items():
        found = match_held_out(network, source, options.pairs).samples
        measured.append(measure_calibration(name, found.confidence, found.residuals, found.sigma))
    report_calibration(measured, options.json, options.out)
    return 0
