"""`loftr-ros evaluate-calibration`: measure what stated confidence and sigma are worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loftr_ros.commands.posed_frames import posed_frames

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        '--photographs', type=Path, help='folder: pairs are rendered from those held out'
    )
    parser.add_argument('--exclude', nargs='*', default=[], help='words in names of files to skip')
    parser.add_argument('--sequences', type=Path, nargs='*', default=[], help='with depth + poses')
    parser.add_argument('--weights', default='lite', help='a name (`loftr-ros weights`) or a file')
    parser.add_argument('--pairs', type=int, default=64, help='of each set')
    parser.add_argument('--width', type=int, default=640, help='of the images, px')
    parser.add_argument('--height', type=int, default=480, help='of the images, px')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--json', type=Path, help='file for all figures')
    parser.add_argument('--out', type=Path, help='folder for pictures')


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from loftr_ros.evaluation.matchers.calibration import measure_calibration
    from loftr_ros.evaluation.matchers.calibration_report import report_calibration
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
        sequences={path.name: posed_frames(path) for path in options.sequences},
    )
    measured = []
    for name, source in sets.items():
        found = match_held_out(network, source, options.pairs).samples
        measured.append(measure_calibration(name, found.confidence, found.residuals, found.sigma))
    report_calibration(measured, options.json, options.out)
    return 0
