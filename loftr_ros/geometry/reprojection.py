"""Points of known depth against their images in other views, and the best motion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.camera import Camera
from loftr_ros.geometry.depth import PointDepths
from loftr_ros.geometry.least_squares import TOLERANCE, Fit, minimize
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.rotations import cross, rotation_from_vector
from loftr_ros.geometry.types import Array, Flags

_DEPTH_STEPS = 2
_IN_FRONT = 1e-3
_CERTAIN = 3.0
"""A depth that is not so many times its standard deviation says nothing about a translation: the
information would be that of the squared noise, and pull the translation to zero."""


@dataclass(frozen=True, eq=False)
class View:
    """Where a camera that is fixed to the query camera saw the points.

    Attributes:
        query_T_view: float64 (4, 4), pose of this camera in the query camera, m.
        rays: float64 (N, 2), on the plane z = 1 of this camera; NaN where a point was not seen.
        scale: float64 (N, 2, 2), derivative of the image point by the ray, px.
        sigma: float64 (N,), standard deviation of the image point per axis, px.
    """

    query_T_view: Array
    rays: Array
    scale: Array
    sigma: Array

    @classmethod
    def from_points(
        cls, points: npt.ArrayLike, camera: Camera, query_T_view: Array, sigma: npt.ArrayLike
    ) -> View:
        """Undistort image points (N, 2) px with their standard deviation (N,) px."""
        rays = camera.normalize(points)
        scale = camera.projection_jacobian(rays)
        return cls(query_T_view, rays, scale, np.asarray(sigma, dtype=np.float64))

    def select(self, chosen: Flags | npt.NDArray[np.int64]) -> View:
        """Return some of the points."""
        return replace(
            self, **{name: getattr(self, name)[chosen] for name in ('rays', 'scale', 'sigma')}
        )


@dataclass(frozen=True, eq=False)
class DepthPairs:
    """Matches whose reference points have a depth.

    Attributes:
        pairs: N matches.
        depths: Their depths in the reference camera.
        views: What other cameras, fixed to the query camera, saw of the points.
    """

    pairs: RayPairs
    depths: PointDepths
    views: tuple[View, ...] = ()

    def __len__(self) -> int:
        """Count the matches."""
        return len(self.pairs)

    def select(self, chosen: Flags | npt.NDArray[np.int64]) -> DepthPairs:
        """Return some of the matches."""
        views = tuple(view.select(chosen) for view in self.views)
        return DepthPairs(self.pairs.select(chosen), self.depths.select(chosen), views)

    def points(self, farthest: float) -> Array:
        """Return the points (N, 3), m, in the reference camera; none farther than `farthest`."""
        inverse = np.maximum(self.depths.inverse, 1.0 / farthest)
        return np.asarray(self.pairs.reference / inverse[:, None])

    def scaled(self, factors: Array) -> DepthPairs:
        """Multiply all standard deviations of each match by its factor (N,)."""
        pairs = replace(self.pairs, sigma=self.pairs.sigma * factors)
        depths = replace(self.depths, sigma=self.depths.sigma * factors)
        views = tuple(replace(view, sigma=view.sigma * factors) for view in self.views)
        return DepthPairs(pairs, depths, views)


@dataclass(frozen=True, eq=False)
class Reprojection:
    """Errors of matches, in standard deviations, and how they change.

    Attributes:
        errors: float64 (N, K).
        slopes: float64 (N, K, 6), derivatives by the step of `moved`.
        by_depth: float64 (N, K), derivatives by the measured inverse depth, m.
        depths: float64 (N,), depth of the points before the query camera, in units of that before
            the reference camera.
    """

    errors: Array
    slopes: Array
    by_depth: Array
    depths: Array


def moved(pose: Array, step: Array) -> Array:
    """Shift a pose (4, 4) by step[:3] and turn it by step[3:], along the reference axes."""
    result = pose.copy()
    result[:3, :3] = rotation_from_vector(step[3:]) @ pose[:3, :3]
    result[:3, 3] += step[:3]
    return result


def reproject(pose: Array, seen: DepthPairs) -> Reprojection:
    """Compute the reprojection errors of points at their most likely depth.

    Unknown of each point is its inverse depth w on the exact reference ray r. A camera at R, t sees
    the direction R^T (r - w t). The errors are those in all views and the difference of w from its
    measurement; w is where their sum of squares is least, and the reflection that turns their
    derivative by w to the first axis leaves K errors that depend on the pose alone (variable
    projection: L. Kaufman, "A variable projection method for solving separable nonlinear least
    squares problems", 1975). Thus the fit is the bundle adjustment of pose and points.
    """
    pairs, depths = seen.pairs, seen.depths
    query = View(np.eye(4), pairs.query[:, :2], pairs.query_scale, pairs.sigma)
    views = (query, *seen.views)
    inverse = depths.inverse
    for _ in range(_DEPTH_STEPS):
        errors, _, by_inverse = _all_errors(pose, pairs.reference, inverse, views, depths)
        inverse = inverse - np.sum(by_inverse * errors, axis=1) / np.sum(by_inverse**2, axis=1)
    errors, by_pose, by_inverse = _all_errors(pose, pairs.reference, inverse, views, depths)
    measured = np.zeros_like(errors)
    measured[:, -1] = -1.0 / depths.sigma
    stacked = np.concatenate([errors[..., None], measured[..., None], by_pose], axis=2)
    stacked[:, :, 2:5] *= (depths.inverse > _CERTAIN * depths.sigma)[:, None, None]
    reduced = _reflect(by_inverse, stacked)[:, 1:]
    ahead = (pairs.reference - inverse[:, None] * pose[:3, 3]) @ pose[:3, 2]
    return Reprojection(reduced[..., 0], reduced[..., 2:], reduced[..., 1], ahead)


def refine_pose(pose: Array, seen: DepthPairs, tolerance: float = TOLERANCE) -> Fit[Array]:
    """Minimize the reprojection errors with their sigmas, starting from `pose` (4, 4)."""

    def evaluate(candidate: Array) -> tuple[Array, Array]:
        result = reproject(candidate, seen)
        return result.errors, result.slopes

    return minimize(evaluate, moved, pose, tolerance)


def _all_errors(
    pose: Array, reference: Array, inverse: Array, views: tuple[View, ...], depths: PointDepths
) -> tuple[Array, Array, Array]:
    """Return the errors (N, K + 1), their derivatives by the pose (N, K + 1, 6) and by w."""
    parts = [_view_errors(pose, reference, inverse, view) for view in views]
    last = (
        ((inverse - depths.inverse) / depths.sigma)[:, None],
        np.zeros((len(inverse), 1, 6)),
        (1.0 / depths.sigma)[:, None],
    )
    errors, by_pose, by_inverse = zip(*parts, last, strict=True)
    return (
        np.concatenate(errors, axis=1),
        np.concatenate(by_pose, axis=1),
        np.concatenate(by_inverse, axis=1),
    )


def _view_errors(
    pose: Array, reference: Array, inverse: Array, view: View
) -> tuple[Array, Array, Array]:
    """Return the errors (N, 2) in a view, their derivatives by pose (N, 2, 6) and w (N, 2)."""
    placed = pose @ view.query_T_view
    rotation, translation = placed[:3, :3], placed[:3, 3]
    seen = (reference - inverse[:, None] * translation) @ rotation
    # A point at or behind the camera gets an error too large to be an inlier.
    forward = np.maximum(seen[:, 2], _IN_FRONT)
    predicted = seen[:, :2] / forward[:, None]
    scale = view.scale / view.sigma[:, None, None]
    errors = np.einsum('nij,nj->ni', scale, predicted - view.rays)
    project = np.zeros((len(reference), 2, 3))
    project[:, 0, 0] = project[:, 1, 1] = 1.0 / forward
    project[:, :, 2] = -predicted / forward[:, None]
    by_point = scale @ project @ rotation.T
    point = reference - inverse[:, None] * pose[:3, 3]
    by_pose = np.concatenate(
        [-inverse[:, None, None] * by_point, cross(by_point, point[:, None])], axis=2
    )
    by_inverse = -by_point @ translation
    unseen = ~np.isfinite(view.rays).all(axis=1)
    for values in (errors, by_pose, by_inverse):
        values[unseen] = 0.0
    return errors, by_pose, by_inverse


def _reflect(normals: Array, columns: Array) -> Array:
    """Apply to `columns` (N, K, M) the reflections that turn `normals` (N, K) to the first axis."""
    mirror = normals.copy()
    length = np.linalg.norm(normals, axis=1)
    mirror[:, 0] += np.where(normals[:, 0] < 0, -length, length)
    square = np.maximum(np.sum(mirror**2, axis=1), 1e-300)
    along = np.einsum('nk,nkm->nm', mirror, columns) / square[:, None]
    return np.asarray(columns - 2.0 * mirror[:, :, None] * along[:, None])
