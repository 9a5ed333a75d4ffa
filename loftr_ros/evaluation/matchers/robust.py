"""The robust estimator that all matchers share in the evaluation: USAC_MAGSAC of OpenCV."""

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
    reference = reference_camera.normalize(reference_points)
    query = query_camera.normalize(query_points)
    usable = np.flatnonzero(np.isfinite(reference).all(axis=1) & np.isfinite(query).all(axis=1))
    if len(usable) < MINIMUM:
        return nothing
    # MAGSAC does clearly worse on the plane z = 1: it gets pixels of one ideal camera instead.
    focal_length = (reference_camera.focal_length + query_camera.focal_length) / 2
    reference, query = reference[usable] * focal_length, query[usable] * focal_length
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
