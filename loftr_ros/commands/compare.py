"""`loftr-ros compare`: put results of evaluate side by side and name regressions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

# Not 1, an error, nor 2, a wrong command line.
REGRESSED = 3


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        'Compares each further run with the first one, bag by bag. Exits with '
        f'{REGRESSED} if one of them is worse.'
    )
    parser.add_argument('runs', nargs='+', type=Path, help='folders of runs, or folders of those')
    parser.add_argument('-o', '--output', type=Path, help='HTML file for the comparison')
    parser.add_argument('--json', type=Path, help='file for all figures')
    parser.add_argument(
        '--tolerance', type=float, default=5.0, help='percent that a figure may get worse'
    )
    parser.add_argument(
        '--times', action='store_true', help='a slower run is a regression, too: same machine only'
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from loftr_ros.console import new_console
    from loftr_ros.evaluation.records.result_files import write_json
    from loftr_ros.evaluation.reports.compare import Comparison, open_groups, to_json
    from loftr_ros.evaluation.reports.compare_report import (
        comparison_page,
        comparison_table,
        verdict,
    )
    from loftr_ros.evaluation.reports.html_page import write_page

    groups = open_groups(options.runs)
    comparison = Comparison(groups, options.tolerance / 100, options.times)
    console = new_console()
    console.print(comparison_table(comparison))
    for note in verdict(comparison):
        console.print(note.text, markup=False, highlight=False, soft_wrap=True)
    if options.json is not None:
        write_json(options.json, to_json(comparison))
    if options.output is not None:
        write_page(options.output, comparison_page(comparison))
        console.print(f'comparison: {options.output}', markup=False, soft_wrap=True)
    return REGRESSED if comparison.regressions else 0
