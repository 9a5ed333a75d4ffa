"""Robust two-view estimates by OpenCV (USAC with MAGSAC++ scoring)."""

from __future__ import annotations

import cv2
import numpy as np

from loftr_ros.geometry.robust import MOST_SAMPLES
from loftr_ros.geometry.types import Array


def relative_pose(
    reference: Array, query: Array, focal_length: float, threshold: float, seed: int
) -> tuple[Array, Array] | None:
    """Estimate R (3, 3) and the unit t (3,) with `reference = R query + t` from rays (N, 2).

    Args:
        reference: (N, 2).
        query: (N, 2).
        focal_length: Scales errors of rays to px.
        threshold: Largest scale of the errors, px.
        seed: Not used: OpenCV draws the same samples in each call.

    Returns:
        R and t, or None.
    """
    del seed
    # MAGSAC has limits in px inside, and does clearly worse on the plane z = 1.
    reference, query = reference * focal_length, query * focal_length
    ideal = np.diag([focal_length, focal_length, 1.0])
    try:
        essential, mask = cv2.findEssentialMat(
            query,
            reference,
            ideal,
            method=cv2.USAC_MAGSAC,
            prob=0.9999,
            threshold=threshold,
            maxIters=MOST_SAMPLES,
        )
    except cv2.error:
        # USAC raises where it finds no model at all, as for collinear points.
        return None
    if essential is None or essential.shape != (3, 3) or not np.isfinite(essential).all():
        return None
    _, rotation, translation, _ = cv2.recoverPose(essential, query, reference, ideal, mask=mask)
    return np.array(rotation, np.float64), np.array(translation, np.float64).ravel()
