"""Figures of trajectories and of errors against the truth, drawn without a display."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

AXIS_NAMES = ('x', 'y', 'z')
TRUTH_STYLE: dict[str, Any] = {'color': '0.2', 'linestyle': '--', 'linewidth': 1.5}


def new_figure(width: float = 8.0, height: float = 4.5) -> Figure:
    """Create a figure of its own on the Agg canvas; pyplot's global state stays untouched."""
    figure = Figure(figsize=(width, height), layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the suffix of `path` names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def recall_figure(
    pose_errors: Mapping[str, ArrayLike], *, limit: float = 20.0, title: str = ''
) -> Figure:
    """Draw the share of pairs whose pose error lies below an angle, the curve under the AUC.

    Args:
        pose_errors: Name to (N,) pose errors in degrees; infinite where there is no pose.
        limit: Greatest angle shown, in degrees.
        title: Title of the figure.

    """
    figure = new_figure()
    axes = figure.add_subplot()
    for name, values in pose_errors.items():
        errors = np.sort(np.nan_to_num(np.asarray(values, np.float64), nan=np.inf))
        share = np.arange(1, len(errors) + 1) / max(len(errors), 1)
        shown = errors <= limit
        last = share[shown][-1] if shown.any() else 0.0
        x = np.concatenate([[0.0], errors[shown], [limit]])
        y = np.concatenate([[0.0], share[shown], [last]])
        axes.plot(x, 100 * y, label=name)
    axes.set(
        title=title,
        xlabel='pose error [deg]',
        ylabel='share of pairs [%]',
        xlim=(0, limit),
        ylim=(0, 100),
    )
    axes.grid(alpha=0.3)
    _legend(axes)
    return figure


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[1]:
        axes.legend()
