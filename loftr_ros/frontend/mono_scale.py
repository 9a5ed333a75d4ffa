"""The scale of monocular motions, carried on by the points that they share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from loftr_ros.frontend.neighbours import mutual_neighbours
from loftr_ros.frontend.tracker import TrackingResult
from loftr_ros.geometry import Camera, MetricOptions
from loftr_ros.geometry.depth import PointDepths
from loftr_ros.geometry.stereo import triangulate_depth

Array = npt.NDArray[np.float64]

MIN_SHARED = 8
"""With fewer shared points two motions have no common scale."""
_RADIUS = 4.0
"""Points of an image that are closer than this have the same depth, px: half a coarse cell."""
_PRECISE = 4.0
"""A depth counts if it is so many times larger than its standard deviation."""
_COMMON = 0.03
"""Deviation of a ratio of depths that no sigma states, as a share: of the poses and of what lies
between both points. Points that are surer than that count alike."""
_UNITLESS = MetricOptions(depth_range=(1e-9, 1e9), disparity_sigma=0.0)


class PointScale:
    """Points of the present reference image with their depths, in the unit of the trajectory.

    The pair of views with the widest parallax so far gives each point its depth; at a new reference
    the points go over to its image. Another motion of length 1 sees them too, and the ratio of
    their depths is its length.
    """

    def __init__(self) -> None:
        """Start with no points."""
        self.forget()

    def forget(self) -> None:
        """Start over; the next motion defines the unit."""
        self._points = np.empty((0, 2), np.float32)
        self._inverse = np.empty(0)
        self._sigma = np.empty(0)

    @property
    def median_depth(self) -> float | None:
        """Median depth of the points; None without points."""
        return 1.0 / float(np.median(self._inverse)) if len(self._inverse) else None

    def length_of(self, result: TrackingResult) -> tuple[float, float] | None:
        """Return the length of a motion of unknown scale, and its standard deviation.

        The points' errors have a common cause in both motions, so that the spread of the ratios
        is divided by the root of `MIN_SHARED` only, however many points there are.
        """
        points, depths = unit_depths(result)
        new, known = mutual_neighbours(points, self._points, _RADIUS)
        if len(new) < MIN_SHARED:
            return None
        logarithms = np.log(depths.inverse[new] / self._inverse[known])
        here, before = (
            depths.sigma[new] / depths.inverse[new],
            self._sigma[known] / self._inverse[known],
        )
        weight = 1.0 / (here**2 + before**2 + _COMMON**2)
        middle = _weighted_median(logarithms, weight)
        spread = 1.4826 * _weighted_median(np.abs(logarithms - middle), weight)
        length = float(np.exp(middle))
        return length, length * spread / np.sqrt(MIN_SHARED)

    def remember(self, result: TrackingResult, reference_T_query: Array) -> None:
        """Keep the depths of a motion whose translation has the right length by now."""
        length = float(np.linalg.norm(reference_T_query[:3, 3]))
        if length > 0:
            points, depths = unit_depths(result)
            self._merge(points, depths.inverse / length, depths.sigma / length)
        camera = result.query.camera
        if result.new_keyframe and camera is not None and result.reference.camera is not None:
            self._move(reference_T_query, result.reference.camera, camera)

    def _merge(self, points: npt.NDArray[np.float32], inverse: Array, sigma: Array) -> None:
        new, known = mutual_neighbours(points, self._points, _RADIUS)
        worse = sigma[new] * self._inverse[known] >= self._sigma[known] * inverse[new]
        added = np.delete(np.arange(len(points)), new[worse])
        kept = np.delete(np.arange(len(self._points)), known[~worse])
        self._points = np.concatenate([self._points[kept], points[added]])
        self._inverse = np.concatenate([self._inverse[kept], inverse[added]])
        self._sigma = np.concatenate([self._sigma[kept], sigma[added]])

    def _move(self, reference_T_query: Array, reference: Camera, query: Camera) -> None:
        """Go over to the query's image; what it does not see is forgotten."""
        rays = np.column_stack([reference.normalize(self._points), np.ones(len(self._points))])
        # The point at r / w, times w, in the query camera.
        seen = (rays - self._inverse[:, None] * reference_T_query[:3, 3]) @ reference_T_query[
            :3, :3
        ]
        points = query.project(seen)
        with np.errstate(invalid='ignore'):
            inside = ((points >= 0) & (points < [query.width, query.height])).all(axis=1)
        self._points = points[inside].astype(np.float32)
        self._inverse = self._inverse[inside] / seen[inside, 2]
        self._sigma = self._sigma[inside] / seen[inside, 2] ** 2


def unit_depths(result: TrackingResult) -> tuple[npt.NDArray[np.float32], PointDepths]:
    """Triangulate the inliers of a full pose, for a translation of length 1.

    Returns:
        The reference points (K, 2) with a precise depth, and their depths.
    """
    pose, reference, query = result.pose, result.reference.camera, result.query.camera
    if pose.reference_T_query is None or reference is None or query is None:
        return np.empty((0, 2), np.float32), PointDepths.unknown(0)
    unit = pose.reference_T_query.copy()
    length = float(np.linalg.norm(unit[:3, 3]))
    if length == 0:
        return np.empty((0, 2), np.float32), PointDepths.unknown(0)
    unit[:3, 3] /= length
    matches = result.matches
    depths = triangulate_depth(
        matches.reference_points[pose.inliers],
        matches.query_points[pose.inliers],
        reference,
        query,
        unit,
        matches.sigma[pose.inliers],
        _UNITLESS,
    )
    with np.errstate(invalid='ignore'):
        precise = depths.known() & (depths.inverse > _PRECISE * depths.sigma)
    return matches.reference_points[pose.inliers][precise], depths.select(precise)


def _weighted_median(values: Array, weight: Array) -> float:
    """Return the value, of (N,), at which half of the weight (N,) is reached."""
    order = np.argsort(values)
    reached = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])
