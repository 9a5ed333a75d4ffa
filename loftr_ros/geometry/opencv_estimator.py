"""Robust two-view estimates by OpenCV (USAC with MAGSAC++ scoring)."""

from __future__ import annotations

import cv2
import numpy as np

from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.types import Array, Flags


def relative_pose(
    reference: Array, query: Array, focal_length: float, options: TwoViewOptions
) -> tuple[Array, Array, Flags] | None:
    """Estimate R (3, 3) and the unit t (3,) with `reference = R query + t` from rays (N, 2).

    Returns:
        R, t and the inliers (N,), or None. Errors are measured in px by `focal_length`.
    """
    # MAGSAC has limits in px inside, and does clearly worse on the plane z = 1.
    reference, query = reference * focal_length, query * focal_length
    ideal = np.diag([focal_length, focal_length, 1.0])
    try:
        essential, mask = cv2.findEssentialMat(
            query,
            reference,
            ideal,
            method=cv2.USAC_MAGSAC,
            prob=options.confidence,
            threshold=options.threshold,
            maxIters=options.max_iterations,
        )
    except cv2.error:
        # USAC raises where it finds no model at all, as for collinear points.
        return None
    if essential is None or essential.shape != (3, 3) or not np.isfinite(essential).all():
        return None
    inliers: Flags = mask.ravel() > 0
    _, rotation, translation, _ = cv2.recoverPose(
        essential, query, reference, ideal, mask=mask.copy()
    )
    return np.array(rotation, np.float64), np.array(translation, np.float64).ravel(), inliers


def homography(
    reference: Array, query: Array, focal_length: float, options: TwoViewOptions
) -> tuple[Array, Flags] | None:
    """Estimate H (3, 3) with `query ~ H reference` from rays (N, 2).

    Returns:
        H between the planes z = 1 and the inliers (N,), or None.
    """
    try:
        matrix, mask = cv2.findHomography(
            reference * focal_length,
            query * focal_length,
            cv2.USAC_MAGSAC,
            options.threshold,
            maxIters=options.plane_iterations,
            confidence=options.confidence,
        )
    except cv2.error:
        return None
    if matrix is None or not np.isfinite(matrix).all():
        return None
    scale = np.array([focal_length, focal_length, 1.0])
    return matrix * scale / scale[:, None], mask.ravel() > 0
