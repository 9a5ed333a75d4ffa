"""Robust absolute pose by PoseLib (LO-RANSAC with the P3P solver)."""

from __future__ import annotations

import numpy as np
import poselib

from loftr_ros.geometry.robust import FEWEST_SAMPLES, MOST_SAMPLES
from loftr_ros.geometry.types import Array


def absolute_pose(
    points: Array, query: Array, focal_length: float, threshold: float, seed: int
) -> tuple[Array, Array] | None:
    """Estimate R (3, 3) and t (3,) with `point = R query_point + t`.

    Args:
        points: (N, 3), m, in the reference camera.
        query: (N, 2), rays of the query camera.
        focal_length: Scales errors of rays to px.
        threshold: Error from which a point costs no more, px.
        seed: Seed of the samples.

    Returns:
        R and t, or None.
    """
    pose, report = poselib.estimate_absolute_pose(
        query * focal_length,
        points,
        {'model': 'SIMPLE_PINHOLE', 'width': 0, 'height': 0, 'params': [focal_length, 0, 0]},
        {
            'max_reproj_error': threshold,
            'max_iterations': MOST_SAMPLES,
            'min_iterations': FEWEST_SAMPLES,
            'seed': seed,
        },
    )
    if not report['num_inliers'] or not np.isfinite(pose.Rt).all():
        return None
    rotation = np.asarray(pose.R, dtype=np.float64).T
    return rotation, -rotation @ pose.t
