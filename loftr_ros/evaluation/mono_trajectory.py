"""A trajectory of one camera: its scale is unknown, but the same all along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from loftr_ros.geometry.pose import PoseState
from loftr_ros.geometry.transforms import inverse_transform

if TYPE_CHECKING:
    from loftr_ros.frontend import TrackingResult

Array = NDArray[np.float64]

MIN_SHARED = 8
MIN_PARALLAX_RAD = np.deg2rad(0.5)
SHARED_RADIUS = 0.012
"""Points of one image so close to each other, as a share of its width, have about one depth."""


@dataclass(frozen=True, eq=False)
class _Depths:
    """Depths of points of one image.

    Attributes:
        points: float64 (N, 2), px.
        depths: float64 (N,), along the optical axis.

    """

    points: Array
    depths: Array

    @classmethod
    def none(cls) -> _Depths:
        return cls(np.empty((0, 2)), np.empty(0))

    def ratios(self, others: _Depths, radius: float) -> Array:
        """Return these depths by those of the nearest of `others` within `radius` px, (K,)."""
        if not len(self.points) or not len(others.points):
            return np.empty(0)
        distances, nearest = cKDTree(others.points).query(self.points)
        near = distances <= radius
        return np.asarray(self.depths[near] / others.depths[nearest[near]], np.float64)

    def filled(self, others: _Depths, radius: float) -> _Depths:
        """Add those of `others` that are not within `radius` px of one of these."""
        if not len(self.points):
            return others
        far = cKDTree(self.points).query(others.points)[0] > radius
        return _Depths(
            np.concatenate([self.points, others.points[far]]),
            np.concatenate([self.depths, others.depths[far]]),
        )


class MonoTrajectory:
    """Chain poses of unit length; points that two pairs of frames share tie their scales.

    The depths of a keyframe's points, in units of the trajectory, come from the pair that ended the
    keyframe before it; a point lends its depth to those beside it. The translation of a pair is
    scaled by the median ratio of known depths to those that the pair gives. Where too few are
    shared, the camera is taken to go on at its last speed, and the frame counts as a gap.
    """

    def __init__(self) -> None:
        """Start at the origin with a first translation of length 1."""
        self._reference_ns: int | None = None
        self._odom_T_reference: Array = np.eye(4)
        self._known = _Depths.none()
        self._last: tuple[int, Array] | None = None
        self._speed: float | None = None

    def update(self, result: TrackingResult) -> tuple[Array, bool] | None:
        """Go on by one result.

        Returns:
            Pose (4, 4) of the camera in the first one, in an unknown unit, and whether the chain
            was broken before it; None where the result has no pose.

        """
        broken = self._enter(result.reference.stamp_ns)
        pose = result.pose.reference_T_query
        if pose is None:
            return None
        reference_T_query = np.array(pose)
        found, radius = _Depths.none(), SHARED_RADIUS * result.reference.image.shape[1]
        if result.pose.state is PoseState.OK:
            found = _triangulated(result)
            scale, tied = self._scale(self._known.ratios(found, radius), result)
            broken |= not tied
            reference_T_query[:3, 3] *= scale
            found = _Depths(found.points, scale * found.depths)
        odom_T_query = self._odom_T_reference @ reference_T_query
        self._remember(result, odom_T_query)
        if result.new_keyframe:
            # The pair that ends a keyframe has the widest baseline: its depths come first.
            known = found.filled(self._known, radius)
            self._known = _moved(known, result, reference_T_query, radius)
            self._reference_ns = result.query.stamp_ns
            self._odom_T_reference = odom_T_query
        else:
            self._known = self._known.filled(found, radius)
        return odom_T_query, broken

    def _enter(self, reference_ns: int) -> bool:
        """Note a new reference; returns whether its pose is not known."""
        if self._reference_ns == reference_ns:
            return False
        first = self._reference_ns is None
        self._reference_ns = reference_ns
        if first:
            return False
        if self._last is not None:
            self._odom_T_reference = self._last[1]
        self._known = _Depths.none()
        return True

    def _scale(self, ratios: Array, result: TrackingResult) -> tuple[float, bool]:
        """Return the length of a pair's translation, and whether the scale goes on through it."""
        if len(ratios) >= MIN_SHARED:
            return float(np.median(ratios)), True
        if self._speed is None:
            return 1.0, True
        seconds = (result.query.stamp_ns - result.reference.stamp_ns) / 1e9
        return max(self._speed * seconds, 1e-9), False

    def _remember(self, result: TrackingResult, odom_T_query: Array) -> None:
        stamp = result.query.stamp_ns
        last_ns, last_pose = self._last or (result.reference.stamp_ns, self._odom_T_reference)
        if stamp > last_ns and result.pose.state is PoseState.OK:
            distance = float(np.linalg.norm(odom_T_query[:3, 3] - last_pose[:3, 3]))
            self._speed = distance / ((stamp - last_ns) / 1e9)
        self._last = stamp, odom_T_query


def _triangulated(result: TrackingResult) -> _Depths:
    """Triangulate the inliers of a pair; depths in the reference, in the pair's unit length.

    The nearest points of both rays (Hartley and Sturm, Triangulation, 1997); points with too little
    parallax, or behind a camera, are left out.
    """
    reference, query, pose = result.reference.camera, result.query.camera, result.pose
    if reference is None or query is None or pose.reference_T_query is None:
        return _Depths.none()
    rotation, translation = pose.reference_T_query[:3, :3], pose.reference_T_query[:3, 3]
    points = result.matches.reference_points[pose.inliers].astype(np.float64)
    first = _homogeneous(reference.normalize(points))
    turned = _homogeneous(query.normalize(result.matches.query_points[pose.inliers])) @ rotation.T
    # Least squares of a * first - b * turned = translation, by Cramer's rule.
    aa, bb = np.sum(first * first, axis=1), np.sum(turned * turned, axis=1)
    ab, at, bt = np.sum(first * turned, axis=1), first @ translation, turned @ translation
    determinant = aa * bb - ab * ab
    with np.errstate(divide='ignore', invalid='ignore'):
        depths, others = (at * bb - ab * bt) / determinant, (ab * at - aa * bt) / determinant
        seen = determinant > np.sin(MIN_PARALLAX_RAD) ** 2 * aa * bb
        good = seen & (depths > 0) & (others > 0)
    return _Depths(points[good], depths[good])


def _moved(known: _Depths, result: TrackingResult, motion: Array, radius: float) -> _Depths:
    """Bring depths from the reference to the query: by its matches, whose points both images have.

    Args:
        known: Depths of points of the reference, in units of the trajectory.
        result: Its matches; a match takes the depth of the nearest point.
        motion: reference_T_query (4, 4) in the same units.
        radius: Greatest distance of that point, px.

    """
    camera, matches = result.reference.camera, result.matches
    if camera is None or not len(known.points) or not len(matches):
        return _Depths.none()
    distances, nearest = cKDTree(known.points).query(matches.reference_points)
    rays = _homogeneous(camera.normalize(matches.reference_points))
    query_T_reference = inverse_transform(motion)
    spots = rays * known.depths[nearest][:, None]
    depths = spots @ query_T_reference[2, :3] + query_T_reference[2, 3]
    good = (distances <= radius) & result.pose.inliers & (depths > 0)
    return _Depths(matches.query_points[good].astype(np.float64), depths[good])


def _homogeneous(points: Array) -> Array:
    return np.column_stack([points, np.ones(len(points))])
