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
    from numpy.typing import ArrayLike, NDArray

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


def trajectory_figure(
    estimates: Mapping[str, NDArray[Any]],
    truth: NDArray[Any] | None = None,
    *,
    title: str = '',
    unit: str = 'm',
) -> Figure:
    """Draw trajectories from above and coordinate by coordinate.

    The view from above uses the two axes of greatest extent, so that it suits camera frames
    (z forward) as well as world frames (z up).

    Args:
        estimates: Name to trajectory, each (N, 3) positions or (N, 4, 4) poses.
        truth: True trajectory in the same frame and form, drawn dashed.
        title: Title of the figure.
        unit: Unit of the positions.

    Raises:
        ValueError: If a trajectory has another shape.

    """
    tracks = {name: _positions(track, name) for name, track in estimates.items()}
    if truth is not None:
        tracks['truth'] = _positions(truth, 'truth')
    across, along = _widest_axes(tracks)
    figure = new_figure(10.0, 5.0)
    figure.suptitle(title)
    grid = figure.add_gridspec(3, 2, width_ratios=(1.3, 1.0))
    above = figure.add_subplot(grid[:, 0])
    rows = [figure.add_subplot(grid[axis, 1]) for axis in range(3)]
    for name, track in tracks.items():
        style: dict[str, Any] = TRUTH_STYLE if name == 'truth' else {}
        above.plot(track[:, across], track[:, along], label=name, **style)
        for axis, row in enumerate(rows):
            row.plot(track[:, axis], **style)
    above.set(xlabel=f'{AXIS_NAMES[across]} [{unit}]', ylabel=f'{AXIS_NAMES[along]} [{unit}]')
    above.set_aspect('equal', adjustable='datalim')
    _legend(above)
    for axis, row in enumerate(rows):
        row.set_ylabel(f'{AXIS_NAMES[axis]} [{unit}]')
        row.grid(alpha=0.3)
    rows[-1].set_xlabel('frame')
    return figure


def motion_error_figure(
    rotation_errors: Mapping[str, NDArray[Any]],
    translation_errors: Mapping[str, NDArray[Any]],
    *,
    title: str = '',
) -> Figure:
    """Draw the errors of relative poses over the frames; gaps are frames without a pose.

    Args:
        rotation_errors: Name to (N,) angles in degrees, NaN where there is no estimate.
        translation_errors: Name to (N,) angles between directions in degrees, NaN likewise.
        title: Title of the figure.

    """
    figure = new_figure(8.0, 5.0)
    figure.suptitle(title)
    upper = figure.add_subplot(2, 1, 1)
    lower = figure.add_subplot(2, 1, 2, sharex=upper)
    for axes, errors in ((upper, rotation_errors), (lower, translation_errors)):
        for name, values in errors.items():
            axes.plot(np.asarray(values, np.float64), marker='.', linewidth=1, label=name)
        axes.grid(alpha=0.3)
        axes.set_ylim(bottom=0)
    upper.set_ylabel('rotation error [deg]')
    lower.set(ylabel='direction error [deg]', xlabel='frame')
    _legend(upper)
    return figure


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


def _positions(track: NDArray[Any], name: str) -> NDArray[np.float64]:
    values = np.asarray(track, np.float64)
    if values.ndim == 3 and values.shape[1:] == (4, 4):
        return values[:, :3, 3]
    if values.ndim == 2 and values.shape[1] == 3:
        return values
    msg = f'Trajectory {name!r} has shape {values.shape}, expected (N, 3) or (N, 4, 4).'
    raise ValueError(msg)


def _widest_axes(tracks: Mapping[str, NDArray[np.float64]]) -> tuple[int, int]:
    points = np.concatenate([*tracks.values(), np.zeros((1, 3))])
    extent = np.ptp(points[np.isfinite(points).all(axis=1)], axis=0)
    first, second = sorted(np.argsort(-extent, kind='stable')[:2].tolist())
    return first, second


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[1]:
        axes.legend()
