"""The robust estimators that all matchers share in the evaluation: USAC_MAGSAC and PoseLib."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from loftr_ros.geometry.transforms import inverse_transform, make_transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loftr_ros.geometry import Camera

MINIMUM = 6


@dataclass(frozen=True, eq=False)
class EssentialPose:
    """A relative pose up to scale from an essential matrix.

    Attributes:
        reference_T_query: float64 (4, 4), translation of length 1; None where estimation failed.
        inliers: bool (N,).

    """

    reference_T_query: NDArray[np.float64] | None
    inliers: NDArray[np.bool_]


def estimate_pose(
    reference_points: NDArray[Any],
    query_points: NDArray[Any],
    reference_camera: Camera,
    query_camera: Camera,
    threshold: float = 1.0,
) -> EssentialPose:
    """Estimate the relative pose as SuperGlue and LoFTR evaluate it, with MAGSAC.

    MAGSAC++ (Barath et al., CVPR 2020) finds the essential matrix on undistorted points; its random
    numbers start from the same state in every call.

    Args:
        reference_points: (N, 2), px.
        query_points: (N, 2), px.
        reference_camera: Camera of the reference image.
        query_camera: Camera of the query image.
        threshold: Inlier threshold, px.

    """
    nothing = EssentialPose(None, np.zeros(len(reference_points), np.bool_))
    # MAGSAC does clearly worse on the plane z = 1: it gets pixels of one ideal camera instead.
    usable, reference, query, focal_length = _ideal(
        (reference_points, query_points), (reference_camera, query_camera)
    )
    if len(usable) < MINIMUM:
        return nothing
    ideal = np.diag([focal_length, focal_length, 1.0])
    try:
        found: tuple[Any, Any] = cv2.findEssentialMat(
            reference,
            query,
            ideal,
            method=cv2.USAC_MAGSAC,
            prob=0.99999,
            threshold=threshold,
            maxIters=10_000,
        )
    except cv2.error:
        return nothing
    matrices, mask = found
    if matrices is None:
        return nothing
    query_T_reference = _best_pose(matrices, reference, query, ideal, mask)
    if query_T_reference is None:
        return nothing
    nothing.inliers[usable] = mask.ravel() > 0
    return EssentialPose(inverse_transform(query_T_reference), nothing.inliers)


def estimate_pose_by_poselib(
    reference_points: NDArray[Any],
    query_points: NDArray[Any],
    reference_camera: Camera,
    query_camera: Camera,
    threshold: float = 1.0,
) -> EssentialPose:
    """Estimate the same by PoseLib: LO-RANSAC with a truncated loss (V. Larsson, 2020).

    Raises:
        ImportError: PoseLib is not installed.

    """
    import poselib

    nothing = EssentialPose(None, np.zeros(len(reference_points), np.bool_))
    usable, reference, query, focal_length = _ideal(
        (reference_points, query_points), (reference_camera, query_camera)
    )
    if len(usable) < MINIMUM:
        return nothing
    ideal = {'model': 'SIMPLE_PINHOLE', 'width': 0, 'height': 0, 'params': [focal_length, 0, 0]}
    options = {'max_epipolar_error': threshold, 'seed': 0}
    pose, report = poselib.estimate_relative_pose(query, reference, ideal, ideal, options)
    length = float(np.linalg.norm(pose.t))
    if not np.isfinite(pose.Rt).all() or not length > 0:
        return nothing
    nothing.inliers[usable] = report['inliers']
    return EssentialPose(make_transform(pose.R, pose.t / length), nothing.inliers)


def _ideal(
    points: tuple[NDArray[Any], NDArray[Any]], cameras: tuple[Camera, Camera]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], float]:
    """Return which points can be used, as pixels of one ideal camera, and its focal length."""
    rays = [camera.normalize(one) for camera, one in zip(cameras, points, strict=True)]
    usable = np.flatnonzero(np.isfinite(np.column_stack(rays)).all(axis=1))
    focal_length = (cameras[0].focal_length + cameras[1].focal_length) / 2
    return usable, rays[0][usable] * focal_length, rays[1][usable] * focal_length, focal_length


def _best_pose(
    matrices: NDArray[Any],
    reference: NDArray[Any],
    query: NDArray[Any],
    camera_matrix: NDArray[np.float64],
    mask: NDArray[Any],
) -> NDArray[np.float64] | None:
    """Choose, of all decompositions, the pose with most points in front of both cameras."""
    best, pose = 0, None
    for essential in matrices.reshape(-1, 3, 3):
        count, rotation, translation, _ = cv2.recoverPose(
            essential, reference, query, camera_matrix, mask=mask.copy()
        )
        if count > best:
            best = count
            pose = make_transform(
                np.asarray(rotation, float), np.asarray(translation, float).ravel()
            )
    return pose
