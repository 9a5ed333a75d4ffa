"""Curves of training runs over the number of pairs seen."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class PairFigures:
    """Mean areas under the recall curve (0 to 1) over sets of real pairs, one a threshold.

    Attributes:
        thresholds: Of the pose error, degrees.
        weights: Training pairs and areas of each set of weights.
        peers: Areas of what they are compared with, by name.

    """

    thresholds: tuple[float, ...]
    weights: tuple[tuple[int, tuple[float, ...]], ...]
    peers: Mapping[str, tuple[float, ...]]


def training_figure(
    runs: Mapping[str, Sequence[Mapping[str, float]]],
    measured: PairFigures | None = None,
    *,
    title: str = '',
) -> Figure:
    """Draw losses, held-out figures and those of real pairs over training pairs.

    What was not measured gets no panel.

    Args:
        runs: Name to the rows of its progress table, each column name to value; rows need 'pairs'
            and may lack any other column.
        measured: What weights of the runs are worth on real pairs, beside others.
        title: Title of the figure.

    """
    panels = (
        ('loss', LOSSES, 1.0, True),
        ('held-out matches [%]', SHARES, 100.0, False),
        ('pose error of held-out pairs, AUC [%]', AREAS, 100.0, False),
        ('error [px]', ERRORS, 1.0, False),
    )
    known = [
        panel
        for panel in panels
        if any(column in row for rows in runs.values() for row in rows for column in panel[1])
    ]
    count = len(known) + (measured is not None)
    rows = -(-count // 2)
    figure = new_figure(11.0, 3.75 * rows)
    figure.suptitle(title)
    for number, (label, columns, scale, logarithmic) in enumerate(known, start=1):
        axes = figure.add_subplot(rows, 2, number)
        _draw(axes, runs, columns, scale)
        _finish(axes, label, logarithmic)
    if measured is not None:
        axes = figure.add_subplot(rows, 2, count)
        _draw_measured(axes, measured)
        _finish(axes, 'pose error of real pairs, mean AUC [%]', logarithmic=False)
    return figure


def _finish(axes: Axes, label: str, logarithmic: bool) -> None:
    axes.set(xlabel='training pairs [thousands]', ylabel=label)
    if logarithmic:
        axes.set_yscale('log')
    else:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3, which='both')
    axes.legend(fontsize=8)


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


def _draw_measured(axes: Axes, measured: PairFigures) -> None:
    """Draw weights as points over their training pairs, others as level lines."""
    rows = sorted(measured.weights)
    for number, threshold in enumerate(measured.thresholds):
        xs, ys = [pairs / 1000 for pairs, _ in rows], [100 * areas[number] for _, areas in rows]
        label = f'at {threshold:g} degrees'
        axes.plot(xs, ys, 'o-', color=f'C{number}', label=label)
        for style, (peer, areas) in zip(
            STYLES[1:] * len(measured.peers), measured.peers.items(), strict=False
        ):
            axes.axhline(
                100 * areas[number],
                ls=style,
                color=f'C{number}',
                alpha=0.6,
                label=f'{peer} {label}',
            )
