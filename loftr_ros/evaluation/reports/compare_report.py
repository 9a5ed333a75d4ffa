"""A comparison of runs as a table for the terminal and as an HTML page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from rich.markup import escape
from rich.table import Table

from loftr_ros.evaluation.records.figures_of_merit import formatted
from loftr_ros.evaluation.reports.compare import CONFIDENCE, Change, Comparison, different_settings
from loftr_ros.evaluation.reports.html_page import Note, Page, PageTable, Plot, Section
from loftr_ros.visualization import interactive

if TYPE_CHECKING:
    from loftr_ros.evaluation.records.figures_of_merit import FigureOfMerit
    from loftr_ros.evaluation.reports.compare import Interval, RunGroup


def comparison_table(comparison: Comparison) -> Table:
    """Lay out the means with their intervals and the changes; regressions are red."""
    table = Table(title=f'Means over bags, {CONFIDENCE:.0%} confidence', title_justify='left')
    for number, name in enumerate(_columns(comparison)):
        table.add_column(escape(name), justify='right' if number else 'left')
    for figure in comparison.figures:
        regressed = any(c.regressed for c in _changes(comparison, figure))
        style = 'bold red' if regressed else None
        table.add_row(*map(escape, _row(comparison, figure)), style=style)
    return table


def verdict(comparison: Comparison) -> list[Note]:
    """Say what is worse than in the first run."""
    if not comparison.regressions:
        names = ', '.join(run.name for run in comparison.runs[1:])
        text = f'No regression of {names} against {comparison.runs[0].name}'
        return [Note(f'{text} (tolerance {100 * comparison.tolerance:g} %).', 'good')]
    return [Note(f'Regression: {text}', 'bad') for text in comparison.regressions]


def comparison_page(comparison: Comparison) -> Page:
    """Lay out a comparison as a page."""
    lead = verdict(comparison)
    bags = len(comparison.bags)
    how = f'Compared bag by bag on the {bags} of {comparison.runs[0].name}.'
    if bags < 3:
        how += ' There are no intervals with fewer than three.'
    rows = tuple(_row(comparison, figure) for figure in comparison.figures)
    table = PageTable('Means over bags', rows, tuple(_columns(comparison)))
    plots = tuple(
        plot for figure in comparison.figures if (plot := _plot(comparison, figure)) is not None
    )
    settings = tuple(different_settings(comparison.runs))
    names = tuple(run.name for run in comparison.runs)
    sections = [
        Section('Figures', tables=(table,), plots=plots, open=True),
        Section(
            'Each bag', tables=tuple(_bags(comparison, figure) for figure in comparison.figures)
        ),
    ]
    if settings:
        different = PageTable('Settings that differ', settings, ('setting', *names))
        sections.append(Section('Settings', tables=(different,), open=True))
    return Page(' / '.join(names), (*lead, Note(how)), (), tuple(sections))


def _columns(comparison: Comparison) -> list[str]:
    first, *others = (run.name for run in comparison.runs)
    return ['figure', first, *(head for name in others for head in (name, 'change'))]


def _row(comparison: Comparison, figure: FigureOfMerit) -> tuple[str, ...]:
    first, *others = (_interval(comparison.mean(run, figure)) for run in comparison.runs)
    changes = map(_change, _changes(comparison, figure))
    pairs = zip(others, changes, strict=True)
    return (figure.label, first, *(cell for pair in pairs for cell in pair))


def _changes(comparison: Comparison, figure: FigureOfMerit) -> list[Change]:
    return [change for change in comparison.changes if change.figure == figure]


def _interval(interval: Interval) -> str:
    text = formatted(interval.mean)
    if math.isnan(interval.low):
        return text
    return f'{text} [{formatted(interval.low)}, {formatted(interval.high)}]'


def _change(change: Change) -> str:
    if not change.bags:
        return '-'
    text = f'{100 * change.relative:+.1f} %' if math.isfinite(change.relative) else 'from zero'
    return f'{text} worse' if change.regressed else text


def _plot(comparison: Comparison, figure: FigureOfMerit) -> Plot | None:
    means = [comparison.mean(run, figure) for run in comparison.runs]
    if all(math.isnan(each.mean) for each in means):
        return None
    points = []
    for run in comparison.runs:
        values = run.values(figure, comparison.bags)
        points.append(values[np.isfinite(values)])
    drawn = interactive.intervals(
        [run.name for run in comparison.runs],
        [each.mean for each in means],
        [each.low for each in means],
        [each.high for each in means],
        points,
        figure.label,
    )
    better = 'more is better' if figure.higher_is_better else 'less is better'
    return Plot(f'{figure.label}: {better}', drawn)


def _bags(comparison: Comparison, figure: FigureOfMerit) -> PageTable:
    def cell(run: RunGroup, bag: str) -> str:
        if bag in run.failed:
            return 'failed'
        return formatted(run.figures.get(bag, {}).get(figure.key, math.nan))

    rows = tuple((bag, *(cell(run, bag) for run in comparison.runs)) for bag in comparison.bags)
    return PageTable(figure.label, rows, ('bag', *(run.name for run in comparison.runs)))
