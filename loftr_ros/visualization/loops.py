"""A trajectory with its loops, beside the matches of one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from loftr_ros.visualization.trajectories import AXIS_NAMES, TRUTH_STYLE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

LOOP_STYLE: dict[str, Any] = {'color': 'tab:red', 'linewidth': 1.0, 'alpha': 0.8}


def loops_figure(
    path: NDArray[np.float64],
    edges: NDArray[np.float64],
    picture: NDArray[np.uint8],
    truth: NDArray[np.float64] | None = None,
    *,
    title: str = '',
    unit: str = 'm',
) -> Figure:
    """Draw the matches of a loop, and below them all loops along the trajectory, from above.

    Args:
        path: (N, 3), positions of the camera in order.
        edges: (M, 2, 3), both ends of each loop.
        picture: uint8 (H, W, 3), RGB, the matches of one loop.
        truth: (N, 3), true positions in the same frame, drawn dashed.
        title: Title of the figure.
        unit: Unit of the positions.

    Raises:
        ValueError: An array has another shape.

    """
    if path.ndim != 2 or path.shape[1] != 3 or edges.shape[1:] != (2, 3):
        msg = f'path {path.shape} and edges {edges.shape} must be (N, 3) and (M, 2, 3).'
        raise ValueError(msg)
    across, along = sorted(np.argsort(-np.ptp(path, axis=0), kind='stable')[:2].tolist())
    figure = new_figure(9.0, 8.5)
    figure.suptitle(title)
    above, below = figure.subplots(2, 1)
    above.imshow(picture)
    above.axis('off')
    if truth is not None:
        below.plot(truth[:, across], truth[:, along], label='truth', **TRUTH_STYLE)
    below.plot(path[:, across], path[:, along], label='odometry', color='tab:blue')
    for number, edge in enumerate(edges):
        label = f'{len(edges)} loops' if number == 0 else None
        below.plot(edge[:, across], edge[:, along], marker='.', label=label, **LOOP_STYLE)
    below.set(xlabel=f'{AXIS_NAMES[across]} [{unit}]', ylabel=f'{AXIS_NAMES[along]} [{unit}]')
    below.set_aspect('equal', adjustable='datalim')
    below.grid(alpha=0.3)
    below.legend()
    return figure
