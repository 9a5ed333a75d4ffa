"""Depth of image points, from a depth image, with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.metric_options import MetricOptions
from loftr_ros.geometry.types import Array, Flags


@dataclass(frozen=True, eq=False)
class PointDepths:
    """Inverse depth of N image points along the optical axis.

    The inverse depth has normal errors where the depth has not: that of far points is small but
    known, and it changes linearly over the image of a plane.

    Attributes:
        inverse: float64 (N,), 1/m; NaN where unknown.
        sigma: float64 (N,), standard deviation of the error of each point, 1/m.
        shared: float64 (N,), one standard deviation of the error that all points share, 1/m; it
            comes from the calibration, and no number of points removes it.
    """

    inverse: Array
    sigma: Array
    shared: Array

    @classmethod
    def unknown(cls, count: int) -> PointDepths:
        """Give no depth to `count` points."""
        nothing = np.full(count, np.nan)
        return cls(nothing, nothing, nothing)

    def __len__(self) -> int:
        """Count the points."""
        return len(self.inverse)

    def known(self) -> Flags:
        """Return which points (N,) have a depth."""
        return np.asarray(np.isfinite(self.inverse) & (self.sigma > 0))

    def select(self, chosen: Flags | npt.NDArray[np.int64]) -> PointDepths:
        """Return some of the points."""
        return PointDepths(self.inverse[chosen], self.sigma[chosen], self.shared[chosen])


def sample_depth(
    depth: npt.NDArray[np.floating], points: npt.ArrayLike, options: MetricOptions | None = None
) -> PointDepths:
    """Read a depth image at image points.

    The inverse depth is interpolated between the four pixels around a point. A point has no depth
    where one of the four is unknown (not finite, zero, negative or out of range) or where they lie
    on both sides of an edge.

    Args:
        depth: (H, W), m along the optical axis, registered to the image.
        points: (N, 2) x, y, px.
        options: Options of the depth.

    Raises:
        ValueError: The depth is no image, or the points are not (N, 2).
    """
    options = options or MetricOptions()
    points = np.asarray(points, dtype=np.float64)
    if depth.ndim != 2 or min(depth.shape) < 2:
        raise ValueError(f'depth must be an image (H, W), not {depth.shape}')
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f'points must have the shape (N, 2), not {points.shape}')
    corners, weights, inside = _corners(depth, points)
    nearest, farthest = options.depth_range
    with np.errstate(invalid='ignore', divide='ignore'):
        valid = inside & ((corners >= nearest) & (corners <= farthest) & (corners > 0)).all(axis=1)
        inverses = 1.0 / np.where(valid[:, None], corners, np.nan)
    inverse = np.sum(weights * inverses, axis=1)
    spread = np.ptp(inverses, axis=1)
    inverse[~(spread <= options.depth_jump * inverse)] = np.nan
    z = 1.0 / inverse
    noise = options.depth_noise + options.depth_noise_growth * (z - options.depth_nearest) ** 2
    # Where depth changes over a pixel, so does it over the part of one by which depth and image
    # are out of register.
    sigma = np.hypot(np.maximum(noise, 1e-6) * inverse**2, 0.5 * spread)
    return PointDepths(inverse, sigma, options.depth_scale_sigma * inverse)


def _corners(depth: npt.NDArray[np.floating], points: Array) -> tuple[Array, Array, Flags]:
    """Return the depths (N, 4) around points, their weights (N, 4), and which lie in the image."""
    height, width = depth.shape
    with np.errstate(invalid='ignore'):
        inside = np.asarray(((points >= 0) & (points <= [width - 1, height - 1])).all(axis=1))
    safe = np.where(inside[:, None], points, 0.0)
    first = np.minimum(np.floor(safe), [width - 2, height - 2]).astype(np.int64)
    x, y = (safe - first).T
    column, row = first.T
    corners = [depth[row + dy, column + dx] for dy in (0, 1) for dx in (0, 1)]
    weights = [(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y]
    return np.stack(corners, axis=1).astype(np.float64), np.stack(weights, axis=1), inside
