"""Commands of `loftr-ros` that train weights and measure how good they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_evaluate_conditions(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Add the command `evaluate-conditions`."""
    parser = commands.add_parser(
        'evaluate-conditions', help='measure relative poses on pairs made hard: blur, dark, ...'
    )
    parser.set_defaults(run=_evaluate_conditions)
    parser.add_argument('--data', type=Path, required=True, help='folder of one or more datasets')
    parser.add_argument('--json', type=Path, help='file for all figures')
    parser.add_argument('--out', type=Path, help='folder for pictures')
    parser.add_argument('--conditions', nargs='+', help='names; default: all')
    parser.add_argument('--sets', nargs='+', default=[], help='names of sets, with wildcards')
    parser.add_argument('--weights', nargs='*', default=['lite'], help='names or files')
    parser.add_argument('--peers', nargs='*', default=['rootsift', 'orb'])
    parser.add_argument('--max-pairs', type=int, default=20, help='of each set; 0 for all')
    parser.add_argument('--longer-side', type=int, default=640, help='of the resized images, px')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')


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
