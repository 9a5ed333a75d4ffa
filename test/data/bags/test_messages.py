"""Poses and message types as `rosbags` reads them, without ROS."""

from __future__ import annotations

import numpy as np
import pytest

from loftr_ros.data.bags.message_types import Message, package_typestore
from loftr_ros.data.bags.messages import find_transform, pose_of
from loftr_ros.geometry.transforms import make_transform

TYPES = package_typestore().types


def header(frame_id: str) -> Message:
    return TYPES['std_msgs/msg/Header'](TYPES['builtin_interfaces/msg/Time'](0, 0), frame_id)


def joint(parent: str, child: str, x: float) -> Message:
    move = TYPES['geometry_msgs/msg/Transform'](
        TYPES['geometry_msgs/msg/Vector3'](x, 0, 0),
        TYPES['geometry_msgs/msg/Quaternion'](0, 0, np.sqrt(0.5), np.sqrt(0.5)),
    )
    return TYPES['geometry_msgs/msg/TransformStamped'](header(parent), child, move)


def pose() -> Message:
    return TYPES['geometry_msgs/msg/Pose'](
        TYPES['geometry_msgs/msg/Point'](1, 2, 3),
        TYPES['geometry_msgs/msg/Quaternion'](0, 0, 0, 1),
    )


def test_every_kind_of_pose_is_read() -> None:
    covariance = TYPES['geometry_msgs/msg/PoseWithCovariance'](pose(), np.zeros(36))
    messages = [
        TYPES['geometry_msgs/msg/PoseStamped'](header('map'), pose()),
        TYPES['geometry_msgs/msg/PoseWithCovarianceStamped'](header('map'), covariance),
        TYPES['nav_msgs/msg/Odometry'](
            header('map'),
            'base',
            covariance,
            None,  # type: ignore[arg-type]
        ),
    ]
    for message in messages:
        assert pose_of(message).tolist() == [1, 2, 3, 0, 0, 0, 1]
    assert pose_of(joint('map', 'base', 4))[0] == 4


def test_transforms_are_joined_in_both_directions() -> None:
    joints = [joint('base', 'mast', 1), joint('mast', 'camera', 2), joint('/base', 'lidar', 3)]
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    expected = make_transform(quarter, np.array([1.0, 0, 0])) @ make_transform(
        quarter, np.array([2.0, 0, 0])
    )
    found = find_transform(joints, 'base', 'camera')
    assert found is not None
    assert np.allclose(found, expected)
    across = find_transform(joints, 'lidar', 'camera')
    assert across is not None
    assert np.allclose(make_transform(quarter, np.array([3.0, 0, 0])) @ across, expected)


@pytest.mark.parametrize(('target', 'source'), [('base', 'moon'), ('moon', 'base')])
def test_frames_that_are_not_joined_have_no_transform(target: str, source: str) -> None:
    assert find_transform([joint('base', 'camera', 1)], target, source) is None


def test_a_transform_that_is_no_rotation_joins_nothing() -> None:
    broken = joint('base', 'camera', 1)
    broken.transform.rotation.w = broken.transform.rotation.z = 0.0
    assert find_transform([broken], 'base', 'camera') is None


def test_the_messages_of_this_package_are_known() -> None:
    assert TYPES['loftr_ros/msg/RelativePose'].__msgtype__ == 'loftr_ros/msg/RelativePose'
    assert 'loftr_ros/msg/Correspondences' in TYPES
