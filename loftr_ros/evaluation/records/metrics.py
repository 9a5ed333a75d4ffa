"""Figures of merit of matches and relative poses against the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from loftr_ros.geometry import Camera

AUC_THRESHOLDS = (5.0, 10.0, 20.0)
SMALLEST_TRANSLATION = 1e-9


def rotation_angle_error(estimated: NDArray[Any], true: NDArray[Any]) -> float:
    """Return the angle between two rotations (3, 3), degrees, 0 to 180."""
    difference = estimated.T @ true
    # The sine keeps its precision at small angles, where the cosine is flat.
    axis = np.array(
        [
            difference[2, 1] - difference[1, 2],
            difference[0, 2] - difference[2, 0],
            difference[1, 0] - difference[0, 1],
        ]
    )
    return float(np.rad2deg(np.arctan2(np.linalg.norm(axis), np.trace(difference) - 1)))


def direction_angle_error(estimated: NDArray[Any], true: NDArray[Any]) -> float:
    """Return the angle between two translations (3,) of any length, degrees, 0 to 180.

    NaN where one of them is zero and so has no direction.
    """
    lengths = np.linalg.norm(estimated), np.linalg.norm(true)
    if min(lengths) < SMALLEST_TRANSLATION:
        return float('nan')
    sine = np.linalg.norm(np.cross(estimated, true))
    return float(np.rad2deg(np.arctan2(sine, np.dot(estimated, true))))


def pose_error(estimated: NDArray[Any] | None, true: NDArray[Any]) -> float:
    """Return the pose error of SuperGlue and LoFTR, degrees.

    It is the greater of the angles of rotation and of direction of translation; the sign of the
    direction is left open, as the essential matrix leaves it open (Sarlin et al., CVPR 2020,
    section 5; Sun et al., CVPR 2021, section 4.2).

    Args:
        estimated: (4, 4) relative pose, or None where there is no estimate.
        true: (4, 4) relative pose.

    Returns:
        Degrees; infinite where there is no estimate or it has no direction.

    """
    if estimated is None:
        return float('inf')
    direction = direction_angle_error(estimated[:3, 3], true[:3, 3])
    if np.isnan(direction):
        return float('inf')
    rotation = rotation_angle_error(estimated[:3, :3], true[:3, :3])
    return max(rotation, min(direction, 180 - direction))


def pose_auc(
    errors: Sequence[float] | NDArray[Any], thresholds: Sequence[float] = AUC_THRESHOLDS
) -> list[float]:
    """Return the area under the curve of recall over pose error, up to each threshold.

    The exact area of SuperGlue and LoFTR: recall rises linearly from one sorted error to the next,
    starts at (0, 0), and stays level from the last error below the threshold on.

    Args:
        errors: Pose errors, degrees; infinite or NaN where there is no estimate.
        thresholds: Upper limits of the error, degrees.

    Returns:
        The area relative to the threshold, 0 to 1, for each threshold; NaN without errors.

    """
    if not len(errors):
        return [float('nan')] * len(thresholds)
    values = np.sort(np.nan_to_num(np.asarray(errors, np.float64), nan=np.inf))
    x = np.concatenate([[0.0], values])
    y = np.arange(len(x)) / len(values)
    areas = []
    for threshold in thresholds:
        last = int(np.searchsorted(x, threshold))
        limited_x = np.append(x[:last], threshold)
        limited_y = np.append(y[:last], y[last - 1])
        trapezoids = np.diff(limited_x) * (limited_y[1:] + limited_y[:-1]) / 2
        areas.append(float(trapezoids.sum() / threshold))
    return areas


def epipolar_distances(
    reference_points: NDArray[Any],
    query_points: NDArray[Any],
    reference_camera: Camera,
    query_camera: Camera,
    reference_T_query: NDArray[Any],
) -> NDArray[np.float64]:
    """Return each match's distance from the true epipolar lines.

    It is the greater of the distances in both images, measured on the undistorted plane and
    scaled by the focal length (Hartley and Zisserman, 2nd edition, section 11.4).

    Args:
        reference_points: (N, 2), px.
        query_points: (N, 2), px.
        reference_camera: Camera of the reference image.
        query_camera: Camera of the query image.
        reference_T_query: True pose (4, 4) of the query camera in the reference camera.

    Returns:
        float64 (N,), px; NaN where the cameras stand at one place and there are no lines, and for
        points that the camera model cannot undistort.

    """
    if np.linalg.norm(reference_T_query[:3, 3]) < SMALLEST_TRANSLATION:
        return np.full(len(reference_points), np.nan)
    essential = _cross_matrix(reference_T_query[:3, 3]) @ reference_T_query[:3, :3]
    reference = _homogeneous(reference_camera.normalize(reference_points))
    query = _homogeneous(query_camera.normalize(query_points))
    reference_lines, query_lines = query @ essential.T, reference @ essential
    algebraic = np.abs(np.sum(reference * reference_lines, axis=1))
    with np.errstate(divide='ignore', invalid='ignore'):
        distances = np.stack(
            [
                algebraic / np.hypot(*reference_lines[:, :2].T) * reference_camera.focal_length,
                algebraic / np.hypot(*query_lines[:, :2].T) * query_camera.focal_length,
            ]
        )
    return np.asarray(distances.max(axis=0), np.float64)


def disparity_errors(
    left_points: NDArray[Any], right_points: NDArray[Any], disparity: NDArray[Any]
) -> NDArray[np.float64]:
    """Return each match's distance from its true place in the right image.

    Args:
        left_points: (N, 2), px; the disparity is that of the nearest pixel.
        right_points: (N, 2), px.
        disparity: (H, W), px, NaN where unknown.

    Returns:
        float64 (N,), px; NaN where the disparity is unknown or the point outside the image.

    """
    height, width = disparity.shape
    pixels = np.round(np.nan_to_num(left_points, nan=-1e6)).astype(np.int64)
    x, y = pixels[:, 0], pixels[:, 1]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    true = np.full(left_points.shape, np.nan)
    true[inside] = left_points[inside]
    true[inside, 0] -= disparity[y[inside], x[inside]]
    return np.asarray(np.hypot(*(right_points - true).T), np.float64)


def precision(errors: NDArray[Any], limit: float) -> float:
    """Return the share of errors within a limit among those that are known; NaN if none is."""
    known = errors[~np.isnan(errors)]
    return float(np.mean(known <= limit)) if len(known) else float('nan')


def _cross_matrix(vector: NDArray[Any]) -> NDArray[np.float64]:
    x, y, z = vector
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], np.float64)


def _homogeneous(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([points, np.ones(len(points))])
