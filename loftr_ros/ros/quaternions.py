"""Rotations as the unit quaternions x y z w of ROS messages."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def quaternion_from_rotation(rotation: Array) -> Array:
    """Return the unit quaternion x y z w of a rotation (3, 3); exact at every angle.

    I. Y. Bar-Itzhack, "New method for extracting the quaternion from a rotation matrix", 2000.
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
    quaternion = np.linalg.eigh(symmetric).eigenvectors[:, -1]
    return np.asarray(quaternion if quaternion[3] >= 0 else -quaternion, np.float64)


def rotation_from_quaternion(quaternion_xyzw: Array) -> Array:
    """Return the rotation (3, 3) of a unit quaternion x y z w.

    Raises:
        ValueError: It is not of length 1.
    """
    length = float(np.linalg.norm(quaternion_xyzw))
    if not abs(length - 1) < 1e-3:
        raise ValueError(f'an orientation must be a unit quaternion, not one of length {length}')
    x, y, z, w = quaternion_xyzw / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
