"""`loftr-ros training-curves`: draw the progress of training runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loftr_ros.texts import say

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('tables', type=Path, nargs='+', help='progress.csv of one or more runs')
    parser.add_argument('-o', '--output', type=Path, default=Path('training_curves.png'))
    parser.add_argument(
        '--figures', type=Path, help='JSON of evaluate-pairs with several weights of these runs'
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from loftr_ros.evaluation.matchers.pair_report import read_pair_figures
    from loftr_ros.training.progress import read_rows
    from loftr_ros.visualization.training import training_figure
    from loftr_ros.visualization.trajectories import save_figure

    runs = {_run_name(table, options.tables): read_rows(table) for table in options.tables}
    measured = None if options.figures is None else read_pair_figures(options.figures)
    save_figure(training_figure(runs, measured), options.output)
    say(f'curves: {options.output}')
    return 0


def _run_name(table: Path, tables: list[Path]) -> str:
    """Name a run by its folder, or by its path where that name is taken."""
    name = table.resolve().parent.name
    return name if [t.resolve().parent.name for t in tables].count(name) == 1 else str(table)
