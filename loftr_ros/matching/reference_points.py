"""Reference points that a keyframe takes over from the one before, so that tracks go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from loftr_ros.matching.alignment import Corners

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loftr_ros.matching.config import MatchingConfig


def cells_of(
    points: NDArray[np.float32], config: MatchingConfig, grid: tuple[int, int]
) -> NDArray[np.int64]:
    """Row-major coarse cells (N,) that points (N, 2), px, lie in; -1 beyond the grid."""
    column, row = np.floor((points - config.cell_offset) / config.stride + 0.5).T
    inside = (row >= 0) & (row < grid[0]) & (column >= 0) & (column < grid[1])
    return np.asarray(np.where(inside, row * grid[1] + column, -1), np.int64)


def take_over(
    corners: Corners, points: NDArray[np.float32], config: MatchingConfig, grid: tuple[int, int]
) -> tuple[Corners, NDArray[np.int64], NDArray[np.int64]]:
    """Put the pixels that points lie on in the place of corners of their cells.

    Pixels, since patches between them are blurred by interpolation, and poses become worse. One
    replaces the corner of its quarter, or else the weakest that is left in its cell, whose number
    it takes; where none is left, or the cell is masked, the point is left out.

    Args:
        corners: Of one image.
        points: (N, 2), px of the network, those that matter most first.
        config: Of the network.
        grid: Rows and columns of coarse cells.

    Returns:
        The corners, the indices of the points whose pixels were put there (K,), and their places
        (K,), row-major in (L, P).
    """
    each, columns = corners.cells.shape[2], grid[1]
    quarters = corners.cells[0].cpu().numpy()
    usable = corners.usable[0].cpu().numpy()
    cells = cells_of(points, config, grid)
    halves = np.floor((points - config.cell_offset) / (config.stride / 2) + 1.0).astype(np.int64)
    own = halves[:, 1] * 2 * columns + halves[:, 0]
    taken: dict[int, int] = {}
    for index in np.flatnonzero(cells >= 0).tolist():
        first = int(cells[index]) * each
        slots = range(first, first + each)
        free = [slot for slot in slots if slot not in taken and usable.flat[slot]]
        if free:
            fitting = [slot for slot in free if quarters.flat[slot] == own[index]]
            taken[fitting[0] if fitting else free[-1]] = index
    places = np.array(list(taken), np.int64)
    chosen = np.array(list(taken.values()), np.int64)
    pixels = corners.pixels.clone()
    device = pixels.device
    new = torch.from_numpy(np.floor(points[chosen] + 0.5)).to(device, pixels.dtype)
    pixels.view(-1, 2)[torch.from_numpy(places).to(device)] = new
    return Corners(pixels, corners.cells, corners.usable), chosen, places
