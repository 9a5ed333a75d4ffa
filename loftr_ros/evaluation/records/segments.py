"""KITTI's odometry errors: drift over segments of fixed lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from loftr_ros.evaluation.records.metrics import rotation_angle_error
from loftr_ros.geometry.transforms import inverse_transform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LENGTHS_M = (100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0)
SHORT_LENGTHS_M = (5.0, 10.0, 20.0, 50.0)
"""For paths below 100 m, which the benchmark does not know."""
STEP = 10


def segment_errors(
    truth: NDArray[np.float64],
    estimate: NDArray[np.float64],
    lengths: Sequence[float] | None = None,
    step: int = STEP,
) -> dict[str, Any] | None:
    """Return the mean errors per length, as the KITTI devkit computes them.

    From every `step`-th frame on, a segment ends at the first frame that is farther along the true
    path than its length; its error is that of the relative pose by the length (A. Geiger et al.,
    CVPR 2012, section 3.1; devkit_odometry, evaluate_odometry.cpp).

    Args:
        truth: (N, 4, 4) true poses.
        estimate: (N, 4, 4) estimated poses of the same times.
        lengths: Of the segments, metres; None for those of the benchmark, or shorter ones where
            the path is short.
        step: Frames from the start of one segment to that of the next.

    Returns:
        Figures by length and their means over all segments; None where no segment fits.

    """
    steps = np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1)
    distances = np.concatenate([[0.0], np.cumsum(steps)])
    lengths = lengths or (LENGTHS_M if distances[-1] > LENGTHS_M[0] else SHORT_LENGTHS_M)
    found = {length: _errors_over(length, step, distances, truth, estimate) for length in lengths}
    rows = [_row(length, errors) for length, errors in found.items() if errors]
    every = np.array([error for errors in found.values() for error in errors]).reshape(-1, 2)
    if not rows:
        return None
    return {
        'lengths': rows,
        'translation_percent': 100 * float(every[:, 0].mean()),
        'rotation_deg_per_m': float(every[:, 1].mean()),
    }


def _errors_over(
    length: float,
    step: int,
    distances: NDArray[np.float64],
    truth: NDArray[np.float64],
    estimate: NDArray[np.float64],
) -> list[tuple[float, float]]:
    """Return translation errors by the length and rotation errors, degrees per metre."""
    errors = []
    for start in range(0, len(distances), step):
        end = int(np.searchsorted(distances, distances[start] + length, side='right'))
        if end == len(distances):
            break
        true_motion = inverse_transform(truth[start]) @ truth[end]
        error = inverse_transform(inverse_transform(estimate[start]) @ estimate[end]) @ true_motion
        angle = rotation_angle_error(error[:3, :3], np.eye(3))
        errors.append((float(np.linalg.norm(error[:3, 3])) / length, angle / length))
    return errors


def _row(length: float, errors: Sequence[tuple[float, float]]) -> dict[str, float]:
    translation, rotation = np.mean(errors, axis=0).tolist()
    return {
        'length_m': length,
        'count': len(errors),
        'translation_percent': 100 * translation,
        'rotation_deg_per_m': rotation,
    }
