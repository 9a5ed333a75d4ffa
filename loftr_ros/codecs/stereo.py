"""Where the right camera of a stereo pair stands, from the calibrations of both.

The projection matrix P of a rectified camera maps points of the rectified *left* frame: its fourth
column is -f times the position of the camera (sensor_msgs/CameraInfo: Tx = -fx' B). The rotation R
takes a camera's own optical frame to the rectified one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from loftr_ros.codecs.cameras import CameraInfoError
from loftr_ros.geometry.transforms import is_transform
from loftr_ros.texts import shortened

if TYPE_CHECKING:
    from collections.abc import Callable

    from sensor_msgs.msg import CameraInfo

Array = npt.NDArray[np.float64]

SMALLEST_BASELINE = 1e-6


def right_camera_from_msgs(
    left: CameraInfo, right: CameraInfo, *, rectified: bool = False
) -> Array | None:
    """Return the pose (4, 4) of the right camera in the left one, m.

    Args:
        left: Calibration of the left camera.
        right: Calibration of the right camera.
        rectified: The images are rectified: both cameras have the orientation of the rectified
            frame. Otherwise each has its own, which r rotates into that.

    Returns:
        The pose, or None where the calibrations hold no baseline.

    Raises:
        CameraInfoError: r of a calibration is no rotation, or the cameras are swapped.
    """
    position = _position(right) - _position(left)
    if not np.linalg.norm(position) > SMALLEST_BASELINE:
        return None
    if position[0] < 0 and abs(position[0]) > abs(position[1]):
        raise CameraInfoError(
            f'by its p the right camera stands {-position[0]:g} m to the left of the left one: '
            'are left and right swapped?'
        )
    pose = np.eye(4)
    pose[:3, 3] = position
    if rectified:
        return pose
    rectified_T_left, rectified_T_right = _rectification(left), _rectification(right)
    return np.asarray(rectified_T_left.T @ pose @ rectified_T_right, np.float64)


def find_right_camera(
    given: Array | None,
    infos: tuple[CameraInfo | None, CameraInfo | None],
    lookup: Callable[[], Array | None],
    *,
    rectified: bool = False,
) -> Array | None:
    """Return the pose (4, 4) of the right camera in the left one, m, wherever it is known from.

    Args:
        given: The pose that somebody set; None, or one without a translation, for none.
        infos: Calibrations of the left and of the right camera.
        lookup: Returns the transform between both frames; None where it is not known.
        rectified: As in `right_camera_from_msgs`.

    Returns:
        The pose, or None where it is not known or has no translation.

    Raises:
        CameraInfoError: As `right_camera_from_msgs`.
    """
    if given is not None and given[:3, 3].any():
        return given
    left, right = infos
    pose = None
    if left is not None and right is not None:
        pose = right_camera_from_msgs(left, right, rectified=rectified)
    if pose is None:
        pose = lookup()
    return pose if pose is not None and pose[:3, 3].any() else None


def no_baseline(left_frame: str, right_frame: str) -> str:
    """Say what is missing where `find_right_camera` finds nothing."""
    return (
        'p of both calibrations is of one place: there is no baseline, and no transform from '
        f'{shortened(left_frame)!r} to {shortened(right_frame)!r} is known. '
        'Calibrate the pair, publish the transform or set input.left_T_right'
    )


def _position(info: CameraInfo) -> Array:
    """Return the position of a camera in the rectified frame of the left one; 0 for no p."""
    p = np.array(info.p, np.float64).reshape(3, 4)
    if not np.isfinite(p).all() or not p[0, 0] or not p[1, 1]:
        return np.zeros(3)
    return np.asarray(-np.linalg.solve(p[:, :3], p[:, 3]), np.float64)


def _rectification(info: CameraInfo) -> Array:
    transform = np.eye(4)
    rotation = np.array(info.r, np.float64).reshape(3, 3)
    if rotation.any():  # all zero: not calibrated for stereo, as with a camera alone
        transform[:3, :3] = rotation
    if not is_transform(transform):
        raise CameraInfoError('r of the calibration is no rotation')
    return transform
