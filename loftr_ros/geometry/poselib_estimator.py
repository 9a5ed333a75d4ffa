"""Robust two-view estimates by PoseLib (LO-RANSAC with 5-point and 4-point minimal solvers)."""

from __future__ import annotations

import numpy as np
import poselib

from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.types import Array, Flags


def relative_pose(
    reference: Array, query: Array, focal_length: float, options: TwoViewOptions
) -> tuple[Array, Array, Flags] | None:
    """Estimate R (3, 3) and the unit t (3,) with `reference = R query + t` from rays (N, 2).

    Returns:
        R, t and the inliers (N,), or None. Errors are measured in px by `focal_length`.
    """
    camera = {'model': 'SIMPLE_PINHOLE', 'width': 0, 'height': 0, 'params': [focal_length, 0, 0]}
    pose, report = poselib.estimate_relative_pose(
        query * focal_length,
        reference * focal_length,
        camera,
        camera,
        {
            'max_epipolar_error': options.threshold,
            **_ransac_options(options, options.max_iterations),
        },
    )
    if not report['num_inliers'] or not np.isfinite(pose.Rt).all() or not pose.t.any():
        return None
    inliers = np.asarray(report['inliers'], dtype=np.bool_)
    return pose.R, pose.t / np.linalg.norm(pose.t), inliers


def homography(
    reference: Array, query: Array, focal_length: float, options: TwoViewOptions
) -> tuple[Array, Flags] | None:
    """Estimate H (3, 3) with `query ~ H reference` from rays (N, 2).

    Returns:
        H between the planes z = 1 and the inliers (N,), or None.
    """
    matrix, report = poselib.estimate_homography(
        reference * focal_length,
        query * focal_length,
        {
            'max_reproj_error': options.threshold,
            **_ransac_options(options, options.plane_iterations),
        },
    )
    if not report['num_inliers'] or not np.isfinite(matrix).all():
        return None
    scale = np.array([focal_length, focal_length, 1.0])
    return matrix * scale / scale[:, None], np.asarray(report['inliers'], dtype=np.bool_)


def _ransac_options(options: TwoViewOptions, iterations: int) -> dict[str, object]:
    return {
        'max_iterations': iterations,
        'min_iterations': min(20, iterations),
        'success_prob': options.confidence,
        'seed': options.seed,
    }
