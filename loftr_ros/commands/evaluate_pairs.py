"""`loftr-ros evaluate-pairs`: measure relative poses on pairs of images with known truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loftr_ros.commands.arguments import add_pair_arguments

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_pair_arguments(parser, max_pairs=200)
    parser.add_argument(
        '--max-sigma',
        type=float,
        help="leave out LoFTR's matches with a larger sigma, px of the resized image",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from loftr_ros.evaluation.matchers.pair_command import PairCommand
    from loftr_ros.evaluation.matchers.pair_evaluation import EvaluationOptions

    names = 'data json out max_pairs device max_sigma try_views'
    PairCommand(
        **{name: getattr(options, name) for name in names.split()},
        sets=tuple(options.sets),
        weights=tuple(options.weights),
        peers=tuple(options.peers),
        options=EvaluationOptions(longer_side=options.longer_side),
    ).run()
    return 0
