"""Commands of `loftr-ros` that show results: `explain`, `report`, `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

# Not 1, an error, nor 2, a wrong command line.
REGRESSED = 3


def add_explain(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `loftr-ros explain`."""
    parser = commands.add_parser(
        'explain', help='draw how two pictures are matched: matches, features, attention'
    )
    parser.set_defaults(run=_explain)
    parser.add_argument('image0', type=Path, help='reference picture')
    parser.add_argument('image1', type=Path, help='query picture')
    parser.add_argument('-o', '--output', type=Path, default=Path('explanation'), help='folder')
    parser.add_argument(
        '--point',
        action='append',
        default=[],
        metavar='X,Y',
        help='px of the reference picture to draw the attention of; may be given again',
    )
    parser.add_argument('--weights', default='lite', help='a name (`loftr-ros weights`) or a file')
    parser.add_argument('--configuration', help='of a weights file that does not carry its own')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')
    parser.add_argument('--longer-side', type=int, default=640, help='px; 0 keeps the size')
    parser.add_argument('--threshold', type=float, help='smallest confidence')


def _explain(options: argparse.Namespace) -> int:
    points = [_point(text) for text in options.point]
    from loftr_ros.evaluation.explain import Explainer
    from loftr_ros.matching.matcher import Matcher

    matcher = Matcher(
        options.weights,
        configuration=options.configuration,
        device=options.device,
        longer_side=options.longer_side or None,
        confidence_threshold=options.threshold,
    )
    explainer = Explainer.of_files(options.image0, options.image1, matcher)
    written = explainer.write(options.output, points)
    print(f'{len(explainer.matches)} matches; pictures in {options.output}:')
    print('\n'.join(f'  {path.name}' for path in written))
    return 0


def add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `loftr-ros report`."""
    parser = commands.add_parser('report', help='write the results of evaluate as one HTML file')
    parser.set_defaults(run=_report)
    parser.add_argument('results', type=Path, help='folder that `evaluate -o` wrote')
    parser.add_argument(
        '-o', '--output', type=Path, help='file; default: report.html in the folder of the results'
    )


def _report(options: argparse.Namespace) -> int:
    from loftr_ros.evaluation.html_report import REPORT, write_report
    from loftr_ros.evaluation.results import open_run

    path = options.output or options.results / REPORT
    write_report(open_run(options.results), path)
    print(f'report: {path}')
    return 0


def add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `loftr-ros compare`."""
    parser = commands.add_parser(
        'compare',
        help='put results of evaluate side by side and name regressions',
        description='Compares each further run with the first one, bag by bag. Exits with '
        f'{REGRESSED} if one of them is worse.',
    )
    parser.set_defaults(run=_compare)
    parser.add_argument('runs', nargs='+', type=Path, help='folders of runs, or folders of those')
    parser.add_argument('-o', '--output', type=Path, help='HTML file for the comparison')
    parser.add_argument('--json', type=Path, help='file for all figures')
    parser.add_argument(
        '--tolerance', type=float, default=5.0, help='percent that a figure may get worse'
    )
    parser.add_argument(
        '--times', action='store_true', help='a slower run is a regression, too: same machine only'
    )


def _compare(options: argparse.Namespace) -> int:
    from loftr_ros.evaluation.compare import Comparison, open_groups, to_json
    from loftr_ros.evaluation.compare_report import comparison_page, comparison_table, verdict
    from loftr_ros.evaluation.console import new_console
    from loftr_ros.evaluation.html_page import write_page
    from loftr_ros.evaluation.result_files import write_json

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


def _point(text: str) -> tuple[float, float]:
    try:
        x, y = map(float, text.split(','))
    except ValueError as error:
        raise ValueError(f'--point {text!r} is no point: write X,Y, such as 320,240') from error
    return x, y
