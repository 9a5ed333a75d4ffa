"""`loftr-ros evaluate-conditions`: measure relative poses on pairs made hard: blur, dark, ...."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loftr_ros.commands.arguments import add_pair_arguments

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_pair_arguments(parser, max_pairs=20)
    parser.add_argument('--conditions', nargs='+', help='names; default: all')


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from loftr_ros.evaluation.matchers.condition_command import ConditionCommand
    from loftr_ros.evaluation.matchers.conditions import CONDITIONS
    from loftr_ros.evaluation.matchers.pair_evaluation import EvaluationOptions

    names = 'data json out max_pairs device try_views'
    ConditionCommand(
        **{name: getattr(options, name) for name in names.split()},
        conditions=tuple(options.conditions or CONDITIONS),
        sets=tuple(options.sets),
        weights=tuple(options.weights),
        peers=tuple(options.peers),
        options=EvaluationOptions(longer_side=options.longer_side),
    ).run()
    return 0
