"""Rotations as unit quaternions x y z w, the order of ROS and of the TUM format."""

from __future__ import annotations

import numpy as np

from loftr_ros.geometry.types import Array

_UNIT = 1e-3


def quaternion_from_rotation(rotation: Array) -> Array:
    """Return the unit quaternion (4,), x y z w with w >= 0, of a rotation (3, 3).

    The eigenvector of a symmetric matrix, exact at every angle: I. Y. Bar-Itzhack, "New method for
    extracting the quaternion from a rotation matrix", 2000.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    symmetric = np.array(
        [
            [xx - yy - zz, xy + yx, xz + zx, zy - yz],
            [xy + yx, yy - xx - zz, yz + zy, xz - zx],
            [xz + zx, yz + zy, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    quaternion = np.linalg.eigh(symmetric)[1][:, -1]
    return np.asarray(quaternion if quaternion[3] >= 0 else -quaternion, np.float64)


def rotation_from_quaternion(quaternion_xyzw: Array) -> Array:
    """Return the rotations (..., 3, 3) of unit quaternions (..., 4), x y z w.

    Raises:
        ValueError: One is not of length 1.
    """
    lengths = np.linalg.norm(quaternion_xyzw, axis=-1, keepdims=True)
    wrong = ~(np.abs(lengths - 1) < _UNIT)
    if wrong.any():
        length = float(lengths[wrong][0])
        raise ValueError(f'an orientation must be a unit quaternion, not one of length {length}')
    x, y, z, w = np.moveaxis(quaternion_xyzw / lengths, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))
