"""Bags are exchanged between this package, ROS itself and evo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader

from loftr_ros.data.bags.message_types import Message
from loftr_ros.data.bags.reader import open_bag
from loftr_ros.data.bags.writer import BagWriter
from loftr_ros.frontend.frame import Frame

if TYPE_CHECKING:
    from pathlib import Path


def test_messages_serialized_by_ros_are_read_back(tmp_path: Path) -> None:
    reason = 'rclpy or the built messages of loftr_ros are not installed'
    serialization = pytest.importorskip('rclpy.serialization', reason=reason)
    messages = pytest.importorskip('loftr_ros.msg', reason=reason)
    message = messages.Correspondences(weights_name='lite', new_keyframe=True)
    message.header.frame_id = 'camera'
    message.reference_points.frombytes(np.arange(4, dtype=np.float32).tobytes())
    pose = messages.RelativePose(state=messages.RelativePose.STATE_LOST, reason='no matches')
    with BagWriter(tmp_path / 'bag') as bag:
        for name, item in (('Correspondences', message), ('RelativePose', pose)):
            data = serialization.serialize_message(item)
            bag.write_raw(f'/loftr/{name}', f'loftr_ros/msg/{name}', data, 5)
    with AnyReader([tmp_path / 'bag']) as reader:
        found: dict[str, Message] = {
            connection.topic: reader.deserialize(data, connection.msgtype)
            for connection, _, data in reader.messages()
        }
    assert found['/loftr/Correspondences'].reference_points.tolist() == [0, 1, 2, 3]
    assert found['/loftr/Correspondences'].header.frame_id == 'camera'
    assert found['/loftr/RelativePose'].reason == 'no matches'


def test_images_serialized_by_ros_are_frames(tmp_path: Path) -> None:
    serialization = pytest.importorskip('rclpy.serialization', reason='rclpy is not installed')
    sensor_msgs = pytest.importorskip('sensor_msgs.msg', reason='sensor_msgs is not installed')
    image = sensor_msgs.Image(height=2, width=3, encoding='mono8', step=4, data=bytes(range(8)))
    image.header.stamp.sec = 7
    with BagWriter(tmp_path / 'bag') as bag:
        data = serialization.serialize_message(image)
        bag.write_raw('/camera/image_raw', 'sensor_msgs/msg/Image', data, 5)
    frame = next(iter(open_bag(tmp_path / 'bag'))).frame
    assert frame.image.tolist() == [[0, 1, 2], [4, 5, 6]]
    assert frame.stamp_ns == 7 * 10**9


def test_evo_reads_the_poses(tmp_path: Path) -> None:
    file_interface = pytest.importorskip('evo.tools.file_interface', reason='evo is not installed')
    pose = np.eye(4)
    with BagWriter(tmp_path / 'bag') as bag:
        for index in range(3):
            pose[0, 3] = index
            bag.write_pose('/ground_truth', pose, index * 10**9)
            bag.write_odometry('/odometry', pose, index * 10**9)
            bag.write_frame('/camera', Frame(index, np.zeros((4, 4), np.uint8)))
    with Reader(tmp_path / 'bag') as reader:
        for topic in ('/ground_truth', '/odometry'):
            trajectory = file_interface.read_bag_trajectory(reader, topic)
            assert trajectory.positions_xyz[:, 0].tolist() == [0, 1, 2]
            assert trajectory.timestamps.tolist() == [0, 1, 2]
