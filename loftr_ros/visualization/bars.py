"""Figures that compare methods side by side, as groups of bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from loftr_ros.visualization.trajectories import new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure


def grouped_bars(
    values: Mapping[str, Mapping[str, float]], *, label: str, title: str = ''
) -> Figure:
    """Draw a group of bars for each case, one bar for each method, with its value above.

    Args:
        values: Method to case to value; all methods have the same cases.
        label: What the values are.
        title: Title of the figure.

    """
    figure = new_figure(10.0, 4.5)
    axes = figure.add_subplot()
    cases = list(next(iter(values.values()), {}))
    positions, width = np.arange(len(cases)), 0.8 / max(len(values), 1)
    for number, (method, of_cases) in enumerate(values.items()):
        offset = (number - (len(values) - 1) / 2) * width
        heights = [of_cases[case] for case in cases]
        bars = axes.bar(positions + offset, heights, width, label=method)
        axes.bar_label(bars, fmt='%.0f', fontsize=8)
    axes.set_xticks(positions, [case.replace('_', ' ') for case in cases])
    axes.set(ylabel=label, title=title)
    axes.grid(axis='y', alpha=0.3)
    if values:
        figure.legend(loc='outside upper right', ncols=len(values))
    return figure
