"""The pose of the right camera, from the calibrations that stereo drivers publish."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo

from loftr_ros.codecs.cameras import CameraInfoError
from loftr_ros.codecs.stereo import right_camera_from_msgs

BASELINE = 0.12


def info(shift: float = 0.0, axis: int = 0, focal: float = 400.0) -> CameraInfo:
    p = np.array([[focal, 0, 320, 0], [0, focal, 240, 0], [0, 0, 1, 0]], np.float64)
    p[axis, 3] = -focal * shift
    return CameraInfo(width=640, height=480, p=p.reshape(12), r=np.eye(3).reshape(9))


def test_the_fourth_column_of_p_holds_the_baseline() -> None:
    pose = right_camera_from_msgs(info(), info(BASELINE), rectified=True)
    assert pose is not None
    np.testing.assert_allclose(pose[:3, 3], [BASELINE, 0, 0], atol=1e-12)
    np.testing.assert_array_equal(pose[:3, :3], np.eye(3))


def test_cameras_above_each_other_are_a_pair_as_well() -> None:
    pose = right_camera_from_msgs(info(), info(BASELINE, axis=1), rectified=True)
    assert pose is not None
    np.testing.assert_allclose(pose[:3, 3], [0, BASELINE, 0], atol=1e-12)


def test_the_pose_of_raw_images_is_the_one_that_was_rectified_away() -> None:
    """OpenCV rectifies a pair that is rotated; r and p of it must give the pose back."""
    left_R_right = cv2.Rodrigues(np.array([0.02, -0.05, 0.03]))[0]
    position = np.array([BASELINE, 0.004, -0.007])
    matrix = np.array([[400.0, 0, 320], [0, 400, 240], [0, 0, 1]])
    # OpenCV wants the transform that takes points of the left camera to the right one.
    r1, r2, p1, p2 = cv2.stereoRectify(
        matrix, np.zeros(5), matrix, np.zeros(5), (640, 480), left_R_right.T,
        -left_R_right.T @ position,
    )[:4]  # fmt: skip
    left = CameraInfo(r=r1.reshape(9), p=p1.reshape(12))
    right = CameraInfo(r=r2.reshape(9), p=p2.reshape(12))
    pose = right_camera_from_msgs(left, right)
    assert pose is not None
    np.testing.assert_allclose(pose[:3, :3], left_R_right, atol=1e-9)
    np.testing.assert_allclose(pose[:3, 3], position, atol=1e-9)


def test_calibrations_of_single_cameras_hold_no_baseline() -> None:
    assert right_camera_from_msgs(info(), info()) is None
    assert right_camera_from_msgs(CameraInfo(), CameraInfo()) is None


def test_swapped_cameras_are_reported() -> None:
    with pytest.raises(CameraInfoError, match='are left and right swapped'):
        right_camera_from_msgs(info(BASELINE), info())


def test_a_rectification_that_is_no_rotation_is_refused() -> None:
    wrong = info(BASELINE)
    wrong.r = np.full(9, 0.3)
    with pytest.raises(CameraInfoError, match='r of the calibration is no rotation'):
        right_camera_from_msgs(info(), wrong)
