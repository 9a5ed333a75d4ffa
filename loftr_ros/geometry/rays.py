"""Matches as rays of two cameras."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.camera import Camera
from loftr_ros.geometry.constants import TILES
from loftr_ros.geometry.types import Array, Flags


@dataclass(frozen=True, eq=False)
class RayPairs:
    """Matches as rays of two cameras.

    Attributes:
        reference: float64 (N, 3), on the plane z = 1 of the reference camera.
        query: float64 (N, 3), on the plane z = 1 of the query camera.
        reference_pixel: float64 (N, 2, 2), derivative of the reference ray by its image point.
        query_pixel: float64 (N, 2, 2), derivative of the query ray by its image point.
        query_scale: float64 (N, 2, 2), derivative of the query's image point by its ray, px.
        sigma: float64 (N,), standard deviation of the query point per axis, px.
        tiles: int64 (N,), the tile of the reference image; matches of one tile may err together.
    """

    reference: Array
    query: Array
    reference_pixel: Array
    query_pixel: Array
    query_scale: Array
    sigma: Array
    tiles: npt.NDArray[np.int64]

    @classmethod
    def from_points(
        cls,
        reference_points: Array,
        query_points: Array,
        reference_camera: Camera,
        query_camera: Camera,
        sigma: Array,
    ) -> RayPairs:
        """Undistort points (N, 2) px; those that no ray reaches give NaN."""
        reference, reference_pixel, _ = _rays(reference_points, reference_camera)
        query, query_pixel, query_scale = _rays(query_points, query_camera)
        tiles = tile_indices(reference_points, reference_camera.size)
        return cls(reference, query, reference_pixel, query_pixel, query_scale, sigma, tiles)

    def __len__(self) -> int:
        """Count the matches."""
        return len(self.reference)

    def select(self, chosen: Flags | npt.NDArray[np.int64]) -> RayPairs:
        """Return some of the matches."""
        return RayPairs(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def shifted(self, shift: Array) -> RayPairs:
        """Return the matches with other query rays, to first order: moved by `shift` (N, 2)."""
        query = self.query.copy()
        query[:, :2] += shift
        return replace(self, query=query)

    def usable(self) -> Flags:
        """Return which matches (N,) have finite rays and a positive sigma."""
        values = [self.reference, self.query, self.reference_pixel, self.query_pixel, self.sigma]
        finite = [np.isfinite(value).all(axis=tuple(range(1, value.ndim))) for value in values]
        return np.asarray(np.logical_and.reduce([*finite, self.sigma > 0]))


def tile_indices(points: Array, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Return the tile (N,) of points (N, 2) px in an image of `size` (height, width)."""
    scale = np.array([TILES / size[1], TILES / size[0]])
    tiles = np.clip(np.nan_to_num((points + 0.5) * scale), 0, TILES - 1).astype(np.int64)
    return np.asarray(tiles[:, 1] * TILES + tiles[:, 0])


def _rays(points: Array, camera: Camera) -> tuple[Array, Array, Array]:
    rays = camera.normalize(points)
    slopes = camera.projection_jacobian(rays)
    a, b, c, d = slopes[:, 0, 0], slopes[:, 0, 1], slopes[:, 1, 0], slopes[:, 1, 1]
    with np.errstate(divide='ignore', invalid='ignore'):
        inverse = np.stack([d, -b, -c, a], axis=1) / (a * d - b * c)[:, None]
    return np.column_stack([rays, np.ones(len(rays))]), inverse.reshape(-1, 2, 2), slopes
