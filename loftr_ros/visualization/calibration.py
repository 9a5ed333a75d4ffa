"""Reliability diagrams: what confidence states against what is true."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loftr_ros.visualization.trajectories import new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure


def reliability_figure(
    curves: Mapping[str, Sequence[tuple[float, float, int]]], close_px: float, *, title: str = ''
) -> Figure:
    """Draw the share of close matches over stated confidence, and how many matches state it.

    Args:
        curves: Name to rows of stated confidence, share of close matches and number of matches.
        close_px: What counts as close, px.
        title: Title of the figure.

    """
    figure = new_figure(6.0, 6.5)
    figure.suptitle(title)
    grid = figure.add_gridspec(2, 1, height_ratios=(3, 1))
    upper = figure.add_subplot(grid[0])
    lower = figure.add_subplot(grid[1], sharex=upper)
    upper.plot([0, 1], [0, 1], color='0.6', linestyle='--', label='honest')
    width = 0.08 / max(len(curves), 1)
    for number, (name, rows) in enumerate(curves.items()):
        stated, true, counts = zip(*rows, strict=True) if rows else ((), (), ())
        upper.plot(stated, true, marker='o', label=name)
        total = max(sum(counts), 1)
        offset = (number - (len(curves) - 1) / 2) * width
        lower.bar([s + offset for s in stated], [100 * c / total for c in counts], width)
    upper.set(ylabel=f'share of matches within {close_px:g} px of the truth', ylim=(0, 1))
    lower.set(xlabel='stated confidence', ylabel='matches [%]', xlim=(0, 1))
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    upper.legend(loc='upper left')
    return figure
