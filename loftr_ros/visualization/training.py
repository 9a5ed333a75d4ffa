"""Curves of training runs over the number of pairs seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loftr_ros.visualization.trajectories import new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Column of the progress table to how it is named in the picture; percentages are scaled.
LOSSES = {'coarse_loss': 'coarse', 'fine_loss': 'fine'}
SHARES = {'precision_4px': 'matches within 4 px', 'recall': 'recall of true matches'}
AREAS = {'auc_5': 'AUC at 5 degrees', 'auc_10': 'at 10 degrees', 'auc_20': 'at 20 degrees'}
ERRORS = {'median_px': 'median error of right cells'}
STYLES = ('-', '--', ':', '-.')


def training_figure(
    runs: Mapping[str, Sequence[Mapping[str, float]]], *, title: str = ''
) -> Figure:
    """Draw losses and held-out figures over training pairs.

    Args:
        runs: Name to the rows of its progress table, each column name to value; rows need 'pairs'
            and may lack any other column.
        title: Title of the figure.

    """
    figure = new_figure(11.0, 7.5)
    figure.suptitle(title)
    panels = (
        ('loss', LOSSES, 1.0, True),
        ('held-out matches [%]', SHARES, 100.0, False),
        ('pose error of held-out pairs, AUC [%]', AREAS, 100.0, False),
        ('error [px]', ERRORS, 1.0, False),
    )
    for number, (label, columns, scale, logarithmic) in enumerate(panels, start=1):
        axes = figure.add_subplot(2, 2, number)
        _draw(axes, runs, columns, scale)
        axes.set(xlabel='training pairs [thousands]', ylabel=label)
        if logarithmic and axes.lines:
            axes.set_yscale('log')
        else:
            axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3, which='both')
    return figure


def _draw(
    axes: Axes,
    runs: Mapping[str, Sequence[Mapping[str, float]]],
    columns: Mapping[str, str],
    scale: float,
) -> None:
    """Draw columns: one colour for each, one line style for each run."""
    for style, (run, rows) in zip(STYLES * len(runs), runs.items(), strict=False):
        for number, (column, name) in enumerate(columns.items()):
            known = [(row['pairs'] / 1000, scale * row[column]) for row in rows if column in row]
            if not known:
                continue
            label = name if len(runs) == 1 else f'{run}: {name}'
            axes.plot(*zip(*known, strict=True), style, color=f'C{number}', label=label)
    if axes.lines:
        axes.legend(fontsize=8)
    else:
        axes.text(0.5, 0.5, 'not measured', ha='center', va='center', transform=axes.transAxes)
