"""Poses are interpolated only between close samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from loftr_ros.data.poses import TimedPoses, slerp
from loftr_ros.geometry.quaternions import rotation_from_quaternion
from loftr_ros.geometry.transforms import make_transform

quaternions = (
    arrays(np.float64, 4, elements=st.floats(-1, 1))
    .filter(lambda q: float(np.linalg.norm(q)) > 0.1)
    .map(lambda q: q / np.linalg.norm(q))
)


@given(quaternions, quaternions, st.floats(0, 1))
def test_slerp_stays_on_the_sphere_and_meets_its_ends(
    first: npt.NDArray[Any], second: npt.NDArray[Any], ratio: float
) -> None:
    assert np.linalg.norm(slerp(first, second, ratio)) == pytest.approx(1)
    assert abs(slerp(first, second, 0.0) @ first) == pytest.approx(1)
    assert abs(slerp(first, second, 1.0) @ second) == pytest.approx(1)


def make_poses() -> TimedPoses:
    quarter = [0, 0, np.sqrt(0.5), np.sqrt(0.5)]
    return TimedPoses.from_samples(
        np.array([100, 0, 100, 300], np.int64),
        np.array([[1.0, 0, 0], [0, 0, 0], [9, 9, 9], [1, 2, 0]]),
        np.array([[0, 0, 0, 1], [0, 0, 0, 2], [0, 0, 0, 1], quarter], np.float64),
    )


def test_samples_are_sorted_and_repeated_times_dropped() -> None:
    poses = make_poses()
    assert poses.stamps_ns.tolist() == [0, 100, 300]
    assert np.allclose(np.linalg.norm(poses.quaternions_xyzw, axis=1), 1)


def test_poses_are_interpolated_between_samples() -> None:
    pose = make_poses().at(200, max_gap_ns=200)
    assert pose is not None
    assert np.allclose(pose[:3, 3], [1, 1, 0])
    assert np.rad2deg(np.arctan2(pose[1, 0], pose[0, 0])) == pytest.approx(45)


@pytest.mark.parametrize('stamp', [-1, 301])
def test_there_is_no_pose_outside_the_samples(stamp: int) -> None:
    assert make_poses().at(stamp, max_gap_ns=1000) is None


def test_there_is_no_pose_in_long_gaps_except_at_a_sample() -> None:
    poses = make_poses()
    assert poses.at(200, max_gap_ns=150) is None
    assert poses.at(300, max_gap_ns=1) is not None


def test_samples_without_a_rotation_or_not_finite_are_dropped() -> None:
    poses = TimedPoses.from_samples(
        np.array([0, 1, 2], np.int64),
        np.array([[np.nan, 0, 0], [0, 0, 0], [1, 1, 1]]),
        np.array([[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 1]], np.float64),
    )
    assert poses.stamps_ns.tolist() == [2]


@given(quaternions, quaternions)
def test_a_frame_fixed_to_the_body_moves_with_it(
    first: npt.NDArray[Any], second: npt.NDArray[Any]
) -> None:
    body_T_camera = make_transform(rotation_from_quaternion(second), np.array([0.1, 0.2, 0.3]))
    poses = TimedPoses.from_samples(np.array([5]), np.array([[1.0, 2, 3]]), first[None])
    body, camera = poses.at(5, 1), poses.moved(body_T_camera).at(5, 1)
    assert body is not None
    assert camera is not None
    assert np.allclose(camera, body @ body_T_camera, atol=1e-9)
