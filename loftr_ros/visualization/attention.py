"""Heat maps of what one cell of an image attends to, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from matplotlib import colormaps

from loftr_ros.visualization.features import frame
from loftr_ros.visualization.images import to_display
from loftr_ros.visualization.trajectories import new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from loftr_ros.visualization.grids import CellGrid

PANEL_WIDTH = 3.6
COLOURS = colormaps['inferno']
DIMMED = 0.55


@dataclass(frozen=True, eq=False)
class AttentionPanel:
    """One heat map.

    Attributes:
        kind: 'self' or 'cross'; each kind has a row of the figure.
        layer: Number of the layer, from 1.
        image: (H, W) or (H, W, 3), what is attended to.
        weights: (rows, columns), not negative, sum 1; 0 on padding.
        grid: Where those cells lie on the image.
        mark: x, y of the cell or of its match in this image, px; None if it has none.

    """

    kind: str
    layer: int
    image: NDArray[Any]
    weights: NDArray[np.float32]
    grid: CellGrid
    mark: NDArray[np.float64] | None


def attention_figure(panels: Sequence[AttentionPanel], *, title: str = '') -> Figure:
    """Draw the panels of one cell: self attention above, cross attention below.

    Linear attention is spread widely, so only what lies above the even weight (1 / number of
    cells) is coloured. Each panel has a colour scale of its own, from there to its greatest
    weight; the title of the panel says how many times the even weight that is.
    """
    kinds = list(dict.fromkeys(panel.kind for panel in panels))
    rows = [[panel for panel in panels if panel.kind == kind] for kind in kinds]
    columns = max(map(len, rows))
    height = sum(PANEL_WIDTH * max(p.image.shape[0] / p.image.shape[1] for p in r) for r in rows)
    figure = new_figure(PANEL_WIDTH * columns, height + 0.3 * len(rows) + 0.4)
    figure.suptitle(title)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for row, row_axes in zip(rows, axes, strict=True):
        for panel, each in zip(row, row_axes, strict=False):
            _draw(each, panel)
        for unused in row_axes[len(row) :]:
            unused.set_axis_off()
    return figure


def blend(image: NDArray[Any], weights: NDArray[np.float32], grid: CellGrid) -> NDArray[np.float32]:
    """Lay a heat map over the dimmed grey image, which shows where the weight is even or less.

    Args:
        image: (H, W) or (H, W, 3).
        weights: (rows, columns), not negative; 0 on padding.
        grid: Where those cells lie.

    Returns:
        float32 (H, W, 3), RGB in 0..1.

    """
    grey = cv2.cvtColor(to_display(image), cv2.COLOR_RGB2GRAY)[..., None] * (DIMMED / 255)
    ratio = weights * (np.count_nonzero(weights) / max(float(weights.sum()), 1e-12))
    above = np.maximum(ratio - 1, 0) / max(float(ratio.max()) - 1, 1e-6)
    heat = grid.interpolate(above, image.shape[:2])
    colour = COLOURS(0.3 + 0.7 * heat)[..., :3]
    alpha = np.minimum(2 * heat, 0.95)[..., None]
    return np.asarray((1 - alpha) * grey + alpha * colour, np.float32)


def _draw(axes: Axes, panel: AttentionPanel) -> None:
    axes.imshow(blend(panel.image, panel.weights, panel.grid))
    peak = float(panel.weights.max()) * np.count_nonzero(panel.weights)
    target = 'image 0' if panel.kind == 'self' else 'image 1'
    text = f'layer {panel.layer}, {panel.kind}: {target}, peak {peak:.1f} x even'
    axes.set_title(text, fontsize=10)
    if panel.mark is not None:
        for size, colour in ((11, 'black'), (9, '#39d0ff')):
            axes.plot(*panel.mark, 'o', markersize=size, markerfacecolor='none', color=colour)
    frame(axes, panel.image)
