"""Show features as colours: alike features of two images have alike colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from loftr_ros.visualization.images import to_display
from loftr_ros.visualization.trajectories import new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from loftr_ros.visualization.grids import CellGrid

PERCENTILES = (1.0, 99.0)
PANEL_WIDTH = 5.5


def principal_colours(
    features: Sequence[NDArray[np.float32]],
) -> tuple[list[NDArray[np.float32]], float]:
    """Project features of all images onto their three common principal components.

    Args:
        features: (N_i, C) of each image, without padding.

    Returns:
        (N_i, 3) of each image, RGB in 0..1, and the share of the variance that is shown.

    Raises:
        ValueError: There are no features.

    """
    together = np.concatenate([each.astype(np.float64) for each in features])
    if not len(together):
        raise ValueError('there are no features to show')
    centred = together - together.mean(axis=0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    variance = float(np.square(values[:3]).sum() / max(np.square(values).sum(), 1e-12))
    # The sign of a component is arbitrary: fixed, so that the same images get the same colours.
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    projected = np.zeros((len(centred), 3))
    projected[:, : len(axes[:3])] = centred @ (axes[:3] * signs[:3, None]).T
    low, high = np.percentile(projected, PERCENTILES, axis=0)
    colours = np.clip((projected - low) / np.maximum(high - low, 1e-9), 0, 1).astype(np.float32)
    return np.split(colours, np.cumsum([len(each) for each in features])[:-1]), variance


def features_figure(
    images: Sequence[NDArray[Any]],
    colours: Sequence[NDArray[np.float32]],
    grids: Sequence[CellGrid],
    *,
    title: str = '',
) -> Figure:
    """Draw images and, below each, the colours of its cells.

    Args:
        images: (H, W) or (H, W, 3) each.
        colours: (rows, columns, 3) of each image, RGB in 0..1, without padding.
        grids: Where those cells lie.
        title: Title of the figure.

    """
    heights = [PANEL_WIDTH * image.shape[0] / image.shape[1] for image in images]
    figure = new_figure(PANEL_WIDTH * len(images), 2 * max(heights) + 1.0)
    figure.suptitle(title)
    axes = figure.subplots(2, len(images), squeeze=False)
    for column, (image, colour, grid) in enumerate(zip(images, colours, grids, strict=True)):
        axes[0, column].imshow(to_display(image))
        axes[0, column].set_title(f'image {column}')
        axes[1, column].imshow(grid.interpolate(colour, image.shape[:2]))
        axes[1, column].set_title('transformed coarse features')
        for row in range(2):
            frame(axes[row, column], image)
    return figure


def frame(axes: Axes, image: NDArray[Any]) -> None:
    """Limit axes to an image and hide their ticks."""
    axes.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
    axes.set_aspect('equal')
    axes.set_axis_off()
