"""Relative pose of two calibrated cameras from point matches."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.camera import Camera
from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.pose import PoseState, RelativePose

Array = npt.NDArray[np.float64]


def estimate_relative_pose(
    reference_points: npt.ArrayLike,
    query_points: npt.ArrayLike,
    reference_camera: Camera,
    query_camera: Camera,
    sigma: npt.ArrayLike | None = None,
    confidence: npt.ArrayLike | None = None,
    options: TwoViewOptions | None = None,
) -> RelativePose:
    """Estimate the pose of the query camera in the reference camera.

    Args:
        reference_points: (N, 2) px of the distorted reference image.
        query_points: (N, 2) px of the distorted query image.
        reference_camera: Camera of the reference image.
        query_camera: Camera of the query image.
        sigma: (N,) standard deviation of each query point per axis, px; None if unknown.
        confidence: (N,) confidence of each match, 0..1; None if unknown.
        options: Options of the estimate.

    Returns:
        The pose with its covariance, or the reason why there is none.

    Raises:
        ValueError: The arrays do not have these shapes.
    """
    options = options or TwoViewOptions()
    reference_points = np.asarray(reference_points, dtype=np.float64)
    query_points = np.asarray(query_points, dtype=np.float64)
    count = len(reference_points)
    reference = reference_camera.normalize(reference_points)
    query = query_camera.normalize(query_points)
    usable = np.isfinite(reference).all(axis=1) & np.isfinite(query).all(axis=1)
    if usable.sum() < options.min_matches:
        return RelativePose.failed(PoseState.TOO_FEW_MATCHES, 'too few matches', count)
    essential, mask = cv2.findEssentialMat(
        query[usable],
        reference[usable],
        np.eye(3),
        method=cv2.USAC_MAGSAC,
        prob=options.confidence,
        threshold=options.threshold / reference_camera.focal_length,
    )
    if essential is None:
        return RelativePose.failed(PoseState.LOST, 'no motion explains the matches', count)
    _, rotation, translation, mask = cv2.recoverPose(
        essential[:3], query[usable], reference[usable], np.eye(3), mask=mask
    )
    inliers = np.zeros(count, dtype=np.bool_)
    inliers[np.flatnonzero(usable)[mask.ravel() > 0]] = True
    if inliers.sum() < options.min_inliers:
        return RelativePose.failed(PoseState.LOST, 'too few inliers', count)
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = rotation, translation.ravel()
    return RelativePose.up_to_scale(
        transform, np.eye(6), method='essential', inliers=inliers, median_residual=0.5
    )
