"""Robust two-view estimates by PoseLib (LO-RANSAC with the 5-point solver)."""

from __future__ import annotations

import numpy as np
import poselib

from loftr_ros.geometry.robust import FEWEST_SAMPLES, MOST_SAMPLES
from loftr_ros.geometry.types import Array


def relative_pose(
    reference: Array, query: Array, focal_length: float, threshold: float, seed: int
) -> tuple[Array, Array] | None:
    """Estimate R (3, 3) and the unit t (3,) with `reference = R query + t` from rays (N, 2).

    Args:
        reference: (N, 2).
        query: (N, 2).
        focal_length: Scales errors of rays to px.
        threshold: Error from which a match costs no more, px.
        seed: Seed of the samples.

    Returns:
        R and t, or None.
    """
    camera = {'model': 'SIMPLE_PINHOLE', 'width': 0, 'height': 0, 'params': [focal_length, 0, 0]}
    pose, report = poselib.estimate_relative_pose(
        query * focal_length,
        reference * focal_length,
        camera,
        camera,
        {
            'max_epipolar_error': threshold,
            'max_iterations': MOST_SAMPLES,
            'min_iterations': FEWEST_SAMPLES,
            'seed': seed,
        },
    )
    if not report['num_inliers'] or not np.isfinite(pose.Rt).all() or not pose.t.any():
        return None
    return pose.R, pose.t / np.linalg.norm(pose.t)
