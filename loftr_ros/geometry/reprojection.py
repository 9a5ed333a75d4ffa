"""Points of known depth against their images in another view, and the best motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.constants import SURELY
from loftr_ros.geometry.depth import PointDepths
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.rotations import cross, rotation_from_vector
from loftr_ros.geometry.types import Array, Flags

_DEPTH_STEPS = 2
_IN_FRONT = 1e-3


@dataclass(frozen=True, eq=False)
class DepthPairs:
    """Matches whose reference points have a depth.

    Attributes:
        pairs: N matches.
        depths: Their depths in the reference camera.
    """

    pairs: RayPairs
    depths: PointDepths

    def __len__(self) -> int:
        """Count the matches."""
        return len(self.pairs)

    def select(self, chosen: Flags | npt.NDArray[np.int64]) -> DepthPairs:
        """Return some of the matches."""
        return DepthPairs(self.pairs.select(chosen), self.depths.select(chosen))

    def points(self, farthest: float) -> Array:
        """Return the points (N, 3), m, in the reference camera; none farther than `farthest`."""
        inverse = np.maximum(self.depths.inverse, 1.0 / farthest)
        return np.asarray(self.pairs.reference / inverse[:, None])


@dataclass(frozen=True, eq=False)
class Reprojection:
    """Errors of matches, in standard deviations, and how they change.

    Attributes:
        errors: float64 (N, 2).
        slopes: float64 (N, 2, 6), derivatives by the step of `moved`.
        by_depth: float64 (N, 2), derivatives by the measured inverse depth, m.
        depths: float64 (N,), depth of the points before the query camera, in units of that before
            the reference camera.
    """

    errors: Array
    slopes: Array
    by_depth: Array
    depths: Array


def moved(pose: Array, step: Array) -> Array:
    """Shift a pose (4, 4) by step[:3] and rotate it by step[3:], along the reference axes."""
    result = pose.copy()
    result[:3, :3] = rotation_from_vector(step[3:]) @ pose[:3, :3]
    result[:3, 3] += step[:3]
    return result


def reproject(pose: Array, seen: DepthPairs) -> Reprojection:
    """Compute the reprojection errors of points at their most likely depth.

    Unknown of each point is its inverse depth w on the exact reference ray r. A camera at R, t sees
    the direction R^T (r - w t). The errors are the two of the image point and the difference of w
    from its measurement; w is where their sum of squares is least, and the reflection that takes
    their derivative by w to the first axis leaves two errors that depend on the pose alone
    (variable projection: L. Kaufman, "A variable projection method for solving separable nonlinear
    least squares problems", 1975). Thus the fit is the bundle adjustment of pose and points.
    """
    pairs, depths = seen.pairs, seen.depths
    inverse = depths.inverse
    for _ in range(_DEPTH_STEPS):
        errors, _, by_inverse = _all_errors(pose, inverse, seen)
        inverse = inverse - np.sum(by_inverse * errors, axis=1) / np.sum(by_inverse**2, axis=1)
    errors, by_pose, by_inverse = _all_errors(pose, inverse, seen)
    measured = np.zeros_like(errors)
    measured[:, -1] = -1.0 / depths.sigma
    certain = depths.inverse > SURELY * depths.sigma
    by_pose[:, :, :3] *= certain[:, None, None]
    stacked = np.concatenate([errors[..., None], measured[..., None], by_pose], axis=2)
    reduced = _reflect(by_inverse, stacked)[:, 1:]
    ahead = (pairs.reference - inverse[:, None] * pose[:3, 3]) @ pose[:3, 2]
    return Reprojection(reduced[..., 0], reduced[..., 2:], reduced[..., 1], ahead)


def _all_errors(pose: Array, inverse: Array, seen: DepthPairs) -> tuple[Array, Array, Array]:
    """Return the errors (N, 3), their derivatives by the pose (N, 3, 6) and by w (N, 3)."""
    pairs, depths = seen.pairs, seen.depths
    rotation, translation = pose[:3, :3], pose[:3, 3]
    point = pairs.reference - inverse[:, None] * translation
    direction = point @ rotation
    # A point at or behind the camera gets an error too large to be an inlier.
    forward = np.maximum(direction[:, 2], _IN_FRONT)
    predicted = direction[:, :2] / forward[:, None]
    scale = pairs.query_scale / pairs.sigma[:, None, None]
    project = np.zeros((len(pairs), 2, 3))
    project[:, 0, 0] = project[:, 1, 1] = 1.0 / forward
    project[:, :, 2] = -predicted / forward[:, None]
    by_point = scale @ project @ rotation.T

    count = len(pairs)
    errors, by_pose, by_inverse = (
        np.zeros((count, 3)),
        np.zeros((count, 3, 6)),
        np.zeros((count, 3)),
    )
    errors[:, :2] = np.einsum('nij,nj->ni', scale, predicted - pairs.query[:, :2])
    errors[:, 2] = (inverse - depths.inverse) / depths.sigma
    by_pose[:, :2, :3] = -inverse[:, None, None] * by_point
    by_pose[:, :2, 3:] = cross(by_point, point[:, None])
    by_inverse[:, :2] = -by_point @ translation
    by_inverse[:, 2] = 1.0 / depths.sigma
    return errors, by_pose, by_inverse


def _reflect(normals: Array, columns: Array) -> Array:
    """Apply to `columns` (N, K, M) the reflections that take `normals` (N, K) to the first axis."""
    mirror = normals.copy()
    length = np.linalg.norm(normals, axis=1)
    mirror[:, 0] += np.where(normals[:, 0] < 0, -length, length)
    square = np.maximum(np.sum(mirror**2, axis=1), 1e-300)
    along = np.einsum('nk,nkm->nm', mirror, columns) / square[:, None]
    return np.asarray(columns - 2.0 * mirror[:, :, None] * along[:, None])
