"""Where the cells of a coarse grid lie on the original image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class CellGrid:
    """A coarse grid over an image.

    Attributes:
        shape: Rows and columns.
        stride: Network pixels per cell.
        offset: Network pixel of the centre of cell (0, 0) along each axis.
        scale: Network pixels per original pixel along x and y.

    """

    shape: tuple[int, int]
    stride: int
    offset: float
    scale: tuple[float, float]

    def centre(self, cell: int) -> NDArray[np.float64]:
        """Centre x, y of a cell, original px."""
        network = self.stride * np.array([cell % self.shape[1], cell // self.shape[1]])
        return (network + self.offset + 0.5) / np.array(self.scale) - 0.5

    def nearest(self, point: NDArray[np.float64]) -> int:
        """Row-major index of the cell whose centre is nearest to x, y, original px."""
        network = (point + 0.5) * np.array(self.scale) - 0.5
        place = np.round((network - self.offset) / self.stride)
        column, row = np.clip(place, 0, np.array(self.shape[::-1]) - 1).astype(int)
        return int(row * self.shape[1] + column)

    def interpolate(self, values: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
        """Interpolate the values of cells at every original pixel.

        Args:
            values: (rows, columns) or (rows, columns, 3); trailing cells may be missing.
            size: Height and width of the original image.

        Returns:
            float32 (H, W) or (H, W, 3); beyond the outermost centres the nearest value.

        """
        to_cells = np.array(self.scale) / self.stride
        first = (0.5 * np.array(self.scale) - 0.5 - self.offset) / self.stride
        x = np.arange(size[1]) * to_cells[0] + first[0]
        y = np.arange(size[0]) * to_cells[1] + first[1]
        x_map, y_map = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
        smooth = cv2.remap(
            np.asarray(values, np.float32),
            x_map,
            y_map,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(smooth, np.float32)
