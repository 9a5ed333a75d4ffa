"""Poses and static transforms of messages read with `rosbags`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from loftr_ros.geometry import PoseState
from loftr_ros.geometry.quaternions import rotation_from_quaternion
from loftr_ros.geometry.transforms import inverse_transform, make_transform

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from loftr_ros.data.bags.message_types import Message

IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
CAMERA_TYPE = 'sensor_msgs/msg/CameraInfo'
TRANSFORM_TYPE = 'tf2_msgs/msg/TFMessage'
IMU_TYPE = 'sensor_msgs/msg/Imu'
POSE_TYPES = (
    'geometry_msgs/msg/PoseStamped',
    'geometry_msgs/msg/PoseWithCovarianceStamped',
    'geometry_msgs/msg/TransformStamped',
    'nav_msgs/msg/Odometry',
)

# RelativePose.STATE_ constants, in their order.
STATES = (
    'UNKNOWN',
    PoseState.OK.name,
    PoseState.ROTATION_ONLY.name,
    PoseState.DEGENERATE.name,
    PoseState.TOO_FEW_MATCHES.name,
    PoseState.LOST.name,
)


def pose_of(message: Message) -> NDArray[np.float64]:
    """Return position and quaternion x y z w (7,) of a message of `POSE_TYPES`."""
    if message.__msgtype__ == 'geometry_msgs/msg/TransformStamped':
        position, rotation = message.transform.translation, message.transform.rotation
    else:
        pose = message.pose if hasattr(message.pose, 'position') else message.pose.pose
        position, rotation = pose.position, pose.orientation
    xyz = position.x, position.y, position.z
    return np.array([*xyz, rotation.x, rotation.y, rotation.z, rotation.w], np.float64)


def find_transform(
    transforms: Iterable[Message], target: str, source: str
) -> NDArray[np.float64] | None:
    """Compose `target_T_source` from static TransformStamped messages; None if they do not join."""
    edges: dict[str, dict[str, NDArray[np.float64]]] = {}
    for message in transforms:
        values = pose_of(message)
        try:
            parent_T_child = make_transform(rotation_from_quaternion(values[3:]), values[:3])
        except ValueError:  # no rotation, so it joins nothing
            continue
        parent, child = message.header.frame_id.lstrip('/'), message.child_frame_id.lstrip('/')
        edges.setdefault(parent, {})[child] = parent_T_child
        edges.setdefault(child, {})[parent] = inverse_transform(parent_T_child)
    known = {target.lstrip('/'): np.eye(4)}
    queue = list(known)
    for frame in queue:
        for neighbour, frame_T_neighbour in edges.get(frame, {}).items():
            if neighbour not in known:
                known[neighbour] = known[frame] @ frame_T_neighbour
                queue.append(neighbour)
    return known.get(source.lstrip('/'))
