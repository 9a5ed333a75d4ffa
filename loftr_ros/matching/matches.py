"""The matches between two images, as every room of the package exchanges them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Matches:
    """Correspondences between a reference and a query image of any size.

    Pixel centres lie at integer coordinates of the original, unresized images.

    Attributes:
        reference_points: float32 (N, 2), x and y in pixels of the reference image.
        query_points: float32 (N, 2), x and y in pixels of the query image.
        confidence: float32 (N,), 0 to 1.
        sigma: float32 (N,), standard deviation of `query_points` per axis, in pixels.
        reference_cells: int64 (N,), row-major index of each match's cell on the reference's grid,
            which has one point in each cell; -1 where the matches come from no grid.
        reference_grid: rows and columns of that grid.
        rotation: degrees by which the query was rotated counter-clockwise, relative to the
            reference, to be matched, 0 to 359. Points are those of the images as they came; cells
            are those of the reference as it was matched.
        zoom: by which the query was enlarged, relative to the reference, to be matched.

    """

    reference_points: NDArray[np.float32]
    query_points: NDArray[np.float32]
    confidence: NDArray[np.float32]
    sigma: NDArray[np.float32]
    reference_cells: NDArray[np.int64]
    reference_grid: tuple[int, int]
    rotation: int = 0
    zoom: float = 1.0

    def __post_init__(self) -> None:
        """Check that all arrays describe the same matches.

        Raises:
            ValueError: If an array has another shape than the number of matches asks for.

        """
        count = len(self.reference_points)
        expected = {
            'reference_points': (count, 2),
            'query_points': (count, 2),
            'confidence': (count,),
            'sigma': (count,),
            'reference_cells': (count,),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                msg = f'Matches.{name} has shape {getattr(self, name).shape}, expected {shape}.'
                raise ValueError(msg)

    def __len__(self) -> int:
        """Return the number of matches."""
        return len(self.reference_points)

    def select(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> Matches:
        """Return some of the matches."""
        names = ('reference_points', 'query_points', 'confidence', 'sigma', 'reference_cells')
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    @classmethod
    def empty(cls, reference_grid: tuple[int, int] = (0, 0)) -> Matches:
        """Create a result without matches."""
        return cls(
            reference_points=np.empty((0, 2), np.float32),
            query_points=np.empty((0, 2), np.float32),
            confidence=np.empty(0, np.float32),
            sigma=np.empty(0, np.float32),
            reference_cells=np.empty(0, np.int64),
            reference_grid=reference_grid,
        )
