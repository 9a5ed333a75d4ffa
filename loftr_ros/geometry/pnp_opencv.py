"""Robust absolute pose by OpenCV (USAC with MAGSAC++ scoring and the P3P solver)."""

from __future__ import annotations

import cv2
import numpy as np

from loftr_ros.geometry.robust import MOST_SAMPLES
from loftr_ros.geometry.rotations import rotation_from_vector
from loftr_ros.geometry.types import Array

_FEWEST = 4


def absolute_pose(
    points: Array, query: Array, focal_length: float, threshold: float, seed: int
) -> tuple[Array, Array] | None:
    """Estimate R (3, 3) and t (3,) with `point = R query_point + t`.

    Args:
        points: (N, 3), m, in the reference camera.
        query: (N, 2), rays of the query camera.
        focal_length: Scales errors of rays to px.
        threshold: Largest scale of the errors, px.
        seed: Seed of the samples.

    Returns:
        R and t, or None.
    """
    parameters = cv2.UsacParams()
    parameters.threshold = threshold
    parameters.maxIterations = MOST_SAMPLES
    parameters.confidence = 0.9999
    parameters.randomGeneratorState = seed
    parameters.score = cv2.SCORE_METHOD_MAGSAC
    parameters.loMethod = cv2.LOCAL_OPTIM_INNER_LO
    parameters.sampler = cv2.SAMPLING_UNIFORM
    ideal = np.diag([focal_length, focal_length, 1.0])
    if len(points) < _FEWEST:
        return None
    try:
        found, _, rotvec, shift, _ = cv2.solvePnPRansac(
            points, query * focal_length, ideal, None, params=parameters
        )
    except cv2.error:
        # USAC raises where it finds no model at all, as for collinear points.
        return None
    if not found or not np.isfinite(np.concatenate([rotvec, shift])).all():
        return None
    rotation = rotation_from_vector(np.asarray(rotvec, dtype=np.float64).ravel()).T
    return rotation, -rotation @ np.asarray(shift, dtype=np.float64).ravel()
