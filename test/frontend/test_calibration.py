from __future__ import annotations

import numpy as np
import pytest

from loftr_ros.frontend.calibration import CalibrationCheck
from loftr_ros.geometry import FocalError, PoseState, RelativePose


def after(*errors: FocalError | None) -> CalibrationCheck:
    check = CalibrationCheck()
    for error in errors:
        check = check.joined(error)
    return check


def test_nothing_is_known_to_be_wrong_before_the_first_frame() -> None:
    assert CalibrationCheck().problem == ''
    assert after(None, FocalError(-0.3, float('inf'))).problem == ''


@pytest.mark.parametrize('log_ratio', [np.log(1.3), -np.log(1.3)])
def test_a_certain_frame_is_enough(log_ratio: float) -> None:
    problem = after(FocalError(log_ratio, 0.03)).problem
    assert f'{np.exp(log_ratio):.2f} times' in problem


def test_uncertain_frames_add_up() -> None:
    error = FocalError(-0.25, 0.15)
    assert after(error).problem == ''
    assert after(*[error] * 6).problem != ''


def test_small_errors_are_those_of_the_model() -> None:
    assert after(*[FocalError(0.08, 0.01)] * 50).problem == ''


def test_one_odd_frame_among_good_ones_is_outvoted() -> None:
    good = [FocalError(0.0, 0.03)] * 5
    assert after(*good, FocalError(0.6, 0.15)).problem == ''


def test_a_corrected_calibration_is_believed_again() -> None:
    wrong, right = FocalError(-0.26, 0.03), FocalError(0.0, 0.03)
    assert after(*[wrong] * 20).problem != ''
    assert after(*[wrong] * 20, *[right] * 20).problem == ''


def test_a_pose_of_a_wrong_calibration_is_lost_and_says_why() -> None:
    transform = np.eye(4)
    transform[0, 3] = 1.0
    inliers = np.ones(60, np.bool_)
    pose = RelativePose.up_to_scale(
        transform, np.eye(6) * 1e-4, method='essential', inliers=inliers, median_residual=0.3
    )
    judged = after(FocalError(-0.26, 0.03)).judge(pose)
    assert judged.state is PoseState.LOST
    assert 'camera_info' in judged.reason
    assert judged.covariance is None
    assert len(judged.inliers) == 60
    assert CalibrationCheck().judge(pose) is pose
