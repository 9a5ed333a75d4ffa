"""`loftr-ros report`: write the results of evaluate as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loftr_ros.texts import say

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('results', type=Path, help='folder that `evaluate -o` wrote')
    parser.add_argument(
        '-o', '--output', type=Path, help='file; default: report.html in the folder of the results'
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from loftr_ros.evaluation.records.results import open_run
    from loftr_ros.evaluation.reports.html_report import REPORT, write_report

    path = options.output or options.results / REPORT
    write_report(open_run(options.results), path)
    say(f'report: {path}')
    return 0
