"""Rigid transforms and how their covariance goes from frame to frame.

The error of a transform a_T_b is the step from the estimated to the true one along the axes of a:
a translation (x, y, z), and a rotation (rx, ry, rz) applied on the left of the estimated one. That
is the order and meaning of the covariances in geometry_msgs (fixed axes).
"""

from __future__ import annotations

import numpy as np

from loftr_ros.geometry.rotations import rotation_from_vector, rotation_vector, skew
from loftr_ros.geometry.types import Array

_RIGID = 1e-6
_SMALL_ANGLE = 1e-4


def is_transform(matrix: object) -> bool:
    """Return whether a matrix is a finite rigid transform (4, 4)."""
    if not isinstance(matrix, np.ndarray) or matrix.shape != (4, 4):
        return False
    if not np.isfinite(matrix).all() or not np.array_equal(matrix[3], [0, 0, 0, 1]):
        return False
    rotation = matrix[:3, :3]
    orthogonal = np.allclose(rotation @ rotation.T, np.eye(3), atol=_RIGID)
    return bool(orthogonal and np.linalg.det(rotation) > 0)


def make_transform(rotation: Array, translation: Array) -> Array:
    """Compose a transform (4, 4) of a rotation (3, 3) and a translation (3,)."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, translation
    return matrix


def inverse_transform(matrix: Array) -> Array:
    """Invert a rigid transform (4, 4)."""
    rotation = matrix[:3, :3].T
    return make_transform(rotation, -rotation @ matrix[:3, 3])


def compound(
    a_T_b: Array, covariance_ab: Array, b_T_c: Array, covariance_bc: Array
) -> tuple[Array, Array]:
    """Compose two independent transforms with covariances (6, 6), to first order.

    R. C. Smith and P. Cheeseman, "On the representation and estimation of spatial uncertainty",
    1986: the rotation of b sweeps the lever to c, and the error of c is expressed in the axes of a.

    Returns:
        a_T_c and its covariance.
    """
    a_T_c = a_T_b @ b_T_c
    lever = a_T_b[:3, :3] @ b_T_c[:3, 3]
    by_first = np.eye(6)
    by_first[:3, 3:] = -skew(lever)
    by_second = _rotated(a_T_b[:3, :3])
    covariance = by_first @ covariance_ab @ by_first.T + by_second @ covariance_bc @ by_second.T
    return a_T_c, _symmetric(covariance)


def invert_covariance(a_T_b: Array, covariance: Array) -> Array:
    """Return the covariance (6, 6) of b_T_a from that of a_T_b."""
    rotated = _rotated(a_T_b[:3, :3].T)
    swept = np.eye(6)
    swept[:3, 3:] = skew(a_T_b[:3, 3])
    by_error = rotated @ swept
    return _symmetric(by_error @ covariance @ by_error.T)


def move_covariance(base_T_camera: Array, camera_motion: Array, covariance: Array) -> Array:
    """Return the covariance of the motion of a base from that of the camera fixed to it.

    Args:
        base_T_camera: (4, 4), known exactly.
        camera_motion: (4, 4), motion of the camera from one time to another.
        covariance: (6, 6) of it.
    """
    exact = np.zeros((6, 6))
    moved, covariance = compound(base_T_camera, exact, camera_motion, covariance)
    return compound(moved, covariance, inverse_transform(base_T_camera), exact)[1]


def logarithm(matrix: Array) -> Array:
    """Return the twist (6,), v and w, whose exponential is a rigid transform (4, 4).

    The constant velocity in the moving frame that leads there in one unit of time (R. M. Murray,
    Z. Li and S. S. Sastry, A Mathematical Introduction to Robotic Manipulation, 1994, section 2.3).
    """
    rotvec = rotation_vector(matrix[:3, :3])
    angle = float(np.linalg.norm(rotvec))
    cross = skew(rotvec)
    share = 1 / 12 if angle < _SMALL_ANGLE else _log_share(angle)
    inverse = np.eye(3) - 0.5 * cross + share * cross @ cross
    return np.concatenate([inverse @ matrix[:3, 3], rotvec])


def exponential(twist: Array) -> Array:
    """Return the rigid transform (4, 4) that a twist (6,), v and w, reaches in one unit of time."""
    rotvec = twist[3:]
    angle = float(np.linalg.norm(rotvec))
    cross = skew(rotvec)
    if angle < _SMALL_ANGLE:
        first, second = 0.5, 1 / 6
    else:
        first, second = (1 - np.cos(angle)) / angle**2, (angle - np.sin(angle)) / angle**3
    swept = np.eye(3) + first * cross + second * cross @ cross
    return make_transform(rotation_from_vector(rotvec), swept @ twist[:3])


def _log_share(angle: float) -> float:
    return float(1 / angle**2 - 1 / (2 * angle * np.tan(angle / 2)))


def _rotated(rotation: Array) -> Array:
    matrix = np.zeros((6, 6))
    matrix[:3, :3], matrix[3:, 3:] = rotation, rotation
    return matrix


def _symmetric(matrix: Array) -> Array:
    return np.asarray((matrix + matrix.T) / 2)
