"""Odometry: messages, what it receives from outside, and what it depends on."""

from __future__ import annotations

import numpy as np
import pytest
from geometry_msgs.msg import PoseWithCovarianceStamped, TwistWithCovarianceStamped
from nav_msgs.msg import Odometry as OdometryMsg
from std_msgs.msg import Header

from loftr_ros.codecs.conversions import pose_from_msg
from loftr_ros.frontend import OdometryEstimate
from loftr_ros.ros import transforms
from loftr_ros.ros.odometry import (
    check_extrinsics,
    displacement_covariance,
    extrinsics_of,
    missing_extrinsics,
    odometry_to_msg,
)
from loftr_ros.ros.odometry_inputs import pose_of_base, speed_of
from loftr_ros.ros.transforms import transform_from_msg, transform_to_msg
from loftr_ros.settings.declarations import ParameterError, transform_from_pose
from loftr_ros.settings.parameters import NodeParameters


def rotated(x: float, y: float, z: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return a pose at a position, rotated by 90 degrees to the left."""
    pose = np.eye(4)
    pose[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    pose[:3, 3] = x, y, z
    return pose


def test_an_estimate_becomes_pose_and_twist_in_their_frames() -> None:
    covariance = np.diag([1.0, 2, 3, 4, 5, 6])
    twist_covariance = np.diag([6.0, 5, 4, 3, 2, 1])
    twist = np.arange(6, dtype=np.float64)
    estimate = OdometryEstimate(
        stamp_ns=1_500_000_000,
        odom_T_base=rotated(1, 2, 3),
        covariance=covariance,
        twist=twist,
        twist_covariance=twist_covariance,
        metric=True,
        gap=False,
    )
    msg = odometry_to_msg(estimate, 'odom', 'base')
    assert (msg.header.frame_id, msg.child_frame_id) == ('odom', 'base')
    assert (msg.header.stamp.sec, msg.header.stamp.nanosec) == (1, 500_000_000)
    pose, found = pose_from_msg(msg.pose)
    np.testing.assert_allclose(pose, rotated(1, 2, 3), atol=1e-12)
    np.testing.assert_array_equal(found, covariance)
    assert (msg.twist.twist.linear.y, msg.twist.twist.angular.z) == (1.0, 5.0)
    np.testing.assert_array_equal(np.reshape(msg.twist.covariance, (6, 6)), twist_covariance)


def estimate_at(stamp_ns: int, variance: float, *, gap: bool = False) -> OdometryEstimate:
    covariance, twist_covariance = np.eye(6) * variance, np.diag([4.0, 1, 1, 1, 1, 1])
    pose = rotated(1, 2, 3)
    return OdometryEstimate(
        stamp_ns=stamp_ns,
        odom_T_base=pose,
        covariance=covariance,
        twist=np.zeros(6),
        twist_covariance=twist_covariance,
        metric=True,
        gap=gap,
    )


def test_the_covariance_of_a_displacement_is_that_of_the_velocity_times_the_time() -> None:
    first, second = estimate_at(10**9, 0.1), estimate_at(10**9 + 500_000_000, 0.2)
    found = displacement_covariance(second, first)
    np.testing.assert_allclose(found, second.twist_covariance / 4)
    msg = odometry_to_msg(second, 'odom', 'base', found)
    assert msg.twist.covariance[0] == 1.0


@pytest.mark.parametrize('before', [0.1, None])
def test_over_a_gap_a_displacement_is_as_uncertain_as_the_pose_has_become(
    before: float | None,
) -> None:
    last = None if before is None else estimate_at(10**9, before)
    after = estimate_at(2 * 10**9, 3.0, gap=last is not None)
    after.covariance[0, 0] = 5.0  # along x of odom, which is -y of the base
    found = displacement_covariance(after, last)
    np.testing.assert_allclose(np.diag(found)[:3], np.array([3.0, 5.0, 3.0]) - (before or 0.0))


def test_a_transform_survives_its_message() -> None:
    msg = transform_to_msg(Header(frame_id='odom'), 'base', rotated(1, 2, 3))
    assert (msg.header.frame_id, msg.child_frame_id) == ('odom', 'base')
    np.testing.assert_allclose(transform_from_msg(msg.transform), rotated(1, 2, 3), atol=1e-12)


def pose_msg(frame: str = 'odom', x: float = 1.0, w: float = 1.0) -> PoseWithCovarianceStamped:
    msg = PoseWithCovarianceStamped(header=Header(frame_id=frame))
    msg.pose.pose.position.x, msg.pose.pose.orientation.w = x, w
    return msg


@pytest.mark.parametrize('frame', ['odom', ''])
def test_the_base_can_be_put_at_a_pose(frame: str) -> None:
    pose, covariance = pose_of_base(pose_msg(frame), 'odom')
    np.testing.assert_array_equal(pose[:3, 3], [1, 0, 0])
    assert not covariance.any()


@pytest.mark.parametrize(
    ('msg', 'reason'),
    [
        (pose_msg('map'), "one in 'map', not in 'odom'"),
        (pose_msg(x=float('nan')), 'position is not finite'),
        (pose_msg(w=0.0), 'unit quaternion'),
    ],
)
def test_a_pose_that_is_none_is_refused(msg: PoseWithCovarianceStamped, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        pose_of_base(msg, 'odom')


@pytest.mark.parametrize(
    ('row', 'column', 'value', 'mirrored', 'reason'),
    [
        (0, 1, 0.5, False, 'not symmetric'),
        (0, 1, 2.0, True, 'not positive semi-definite: it has the eigenvalue -1'),
        (0, 1, 1.0, True, ''),
    ],
)
def test_a_covariance_is_symmetric_and_positive_semi_definite(
    row: int, column: int, value: float, mirrored: bool, reason: str
) -> None:
    covariance = np.eye(6)
    covariance[row, column] = value
    if mirrored:
        covariance[column, row] = value
    msg = pose_msg()
    msg.pose.covariance = covariance.reshape(36)
    if reason:
        with pytest.raises(ValueError, match=reason):
            pose_of_base(msg, 'odom')
    else:
        np.testing.assert_array_equal(pose_of_base(msg, 'odom')[1], covariance)


def test_a_covariance_that_is_none_is_refused() -> None:
    msg = pose_msg()
    msg.pose.covariance = np.diag([-1.0, 1, 1, 1, 1, 1]).reshape(36)
    with pytest.raises(ValueError, match='negative variance'):
        pose_of_base(msg, 'odom')


@pytest.mark.parametrize('kind', [OdometryMsg, TwistWithCovarianceStamped])
def test_the_speed_is_the_length_of_the_velocity(
    kind: type[OdometryMsg | TwistWithCovarianceStamped],
) -> None:
    msg = kind()
    msg.header.stamp.sec = 2
    msg.twist.twist.linear.x, msg.twist.twist.linear.y = -3.0, 4.0
    assert speed_of(msg) == (2_000_000_000, 5.0)
    msg.twist.twist.linear.z = float('inf')
    with pytest.raises(ValueError, match='velocity is not finite'):
        speed_of(msg)


@pytest.mark.skipif(transforms.is_available(), reason='tf2_ros is installed')
def test_without_tf2_the_extrinsics_must_be_a_parameter() -> None:
    with pytest.raises(ParameterError, match='extrinsics is tf, but tf2_ros is not installed'):
        check_extrinsics(
            NodeParameters().with_values({'mode': 'rgbd', 'odometry.extrinsics': 'tf'})
        )
    assert transforms.TransformListener(None).lookup('a', 'b') is None


def test_without_tf2_nothing_is_invented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transforms, 'tf2_ros', None)
    unknown = NodeParameters().with_values({'mode': 'rgbd'})
    assert extrinsics_of(unknown, lambda *_: None)('camera') is None
    assert 'tf2_ros is not installed' in missing_extrinsics(unknown)
    forward = (0.1, 0.0, 0.0, -0.5, 0.5, -0.5, 0.5)
    for values in ({'odometry.extrinsics': 'parameter'}, {'odometry.base_T_camera': forward}):
        given = unknown.with_values(values)
        base_T_camera = extrinsics_of(given, lambda *_: None)('camera')
        assert base_T_camera is not None
        expected = transform_from_pose(given.odometry.base_T_camera)
        np.testing.assert_allclose(base_T_camera, expected)
        assert not missing_extrinsics(given)
