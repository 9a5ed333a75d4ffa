"""Matches against a homography: those of a plane, or of a camera that only rotates."""

from __future__ import annotations

import cv2
import numpy as np

from loftr_ros.geometry.epipolar import Motion
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.rotations import cross
from loftr_ros.geometry.types import Array, Flags

_FAR_ERROR = 1e6
_LEAST_DEPTH = 1e-9


def fit_homography(pairs: RayPairs, weights: Array) -> Array | None:
    """Fit H (3, 3) with `query ~ H reference` to matches with weights (N,), by linear equations.

    R. Hartley and A. Zisserman, Multiple View Geometry, 2nd edition, section 4.1, on rays, which
    are of the size that numbers need. None where the matches do not determine it.
    """
    rows = np.zeros((2, len(pairs), 9))
    rows[0, :, :3] = rows[1, :, 3:6] = pairs.reference
    rows[:, :, 6:] = -pairs.query[:, :2].T[:, :, None] * pairs.reference
    equations = (rows * np.sqrt(weights)[:, None]).reshape(-1, 9)
    values, vectors = np.linalg.eigh(equations.T @ equations)
    if not values[1] > 1e-12 * values[-1]:
        return None
    homography: Array = vectors[:, 0].reshape(3, 3)
    # Its sign is free; that of a plane before both cameras is positive.
    depth = pairs.reference @ homography[2]
    return homography * np.sign(np.median(depth))


def homography_errors(homography: Array, pairs: RayPairs) -> Array:
    """Compute how far (N, 2) query points lie from those of `query ~ H reference`, px."""
    predicted = pairs.reference @ homography.T
    depth = np.where(np.abs(predicted[:, 2]) > _LEAST_DEPTH, predicted[:, 2], np.nan)
    shift = pairs.query[:, :2] - predicted[:, :2] / depth[:, None]
    scale = pairs.query_scale
    errors = scale[:, :, 0] * shift[:, :1] + scale[:, :, 1] * shift[:, 1:]
    return np.asarray(np.where(np.isfinite(errors), errors, _FAR_ERROR))


def rotation_errors(
    rotation: Array, pairs: RayPairs, query_sigma: Array | float = 1.0
) -> tuple[Array, Array]:
    """Compute how far query points lie from where a mere rotation puts them.

    Returns:
        The errors (N, 2) in standard deviations (px where sigma is 1), and their derivative
        (N, 2, 3) by a rotation about the reference axes.
    """
    seen = pairs.reference @ rotation
    visible = seen[:, 2] > _LEAST_DEPTH
    nearness = 1.0 / np.where(visible, seen[:, 2], 1.0)
    x, y = seen[:, 0] * nearness, seen[:, 1] * nearness
    scale = pairs.query_scale / np.asarray(query_sigma).reshape(-1, 1, 1)
    errors = scale[:, :, 0] * (pairs.query[:, :1] - x[:, None])
    errors += scale[:, :, 1] * (pairs.query[:, 1:2] - y[:, None])
    by_seen = np.empty((len(pairs), 2, 3))
    by_seen[:, :, :2] = scale
    by_seen[:, :, 2] = -scale[:, :, 0] * x[:, None] - scale[:, :, 1] * y[:, None]
    by_seen *= -nearness[:, None, None]
    by_reference = (by_seen.reshape(-1, 3) @ rotation.T).reshape(-1, 2, 3)
    slopes = cross(by_reference, pairs.reference[:, None])
    errors[~visible], slopes[~visible] = _FAR_ERROR, 0.0
    return errors, slopes


def decompose(homography: Array, pairs: RayPairs, inliers: Flags) -> list[Motion]:
    """Find the motions whose plane lies before both cameras for nearly all inliers.

    E. Malis and M. Vargas, "Deeper understanding of the homography decomposition for vision-based
    control", INRIA RR-6303, 2007: there are up to four, of which two may be seen.
    """
    _, rotations, translations, normals = cv2.decomposeHomographyMat(homography, np.eye(3))
    motions = []
    for rotation, shift, facing in zip(rotations, translations, normals, strict=True):
        length = float(np.linalg.norm(shift))
        normal = np.asarray(facing, dtype=np.float64).ravel()
        seen = pairs.reference[inliers] @ normal > 0
        if length < 1e-9 or np.mean(seen) < 0.95:
            continue
        # OpenCV writes query = R' reference + t' with X . n = d; t' is in units of d.
        motions.append(Motion(rotation.T, -rotation.T @ shift.ravel() / length))
    return motions
