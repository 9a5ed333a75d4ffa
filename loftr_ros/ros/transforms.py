"""Transforms between frames of the robot, through tf2 where it is installed.

The wheels of ROS 2 on PyPI lack tf2_ros and tf2_msgs: there nothing is known and nothing sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import Transform, TransformStamped
from rclpy.time import Time

from loftr_ros.geometry.quaternions import quaternion_from_rotation, rotation_from_quaternion

if TYPE_CHECKING:
    from rclpy.node import Node
    from std_msgs.msg import Header

try:
    import tf2_ros
except ImportError:
    tf2_ros = None

Array = npt.NDArray[np.float64]


def is_available() -> bool:
    """Return whether tf2_ros is installed."""
    return tf2_ros is not None


class TransformListener:
    """Finds transforms between fixed parts of the robot on /tf and /tf_static, once each.

    Without tf2_ros nothing is found. `update_subscription` unsubscribes once all that was asked for
    is known, because the hundreds of transforms a second of a robot are work for Python
    (docs/node.md).
    """

    def __init__(self, node: Node | None) -> None:
        """Subscribe, where tf2_ros is installed and there is a node."""
        self._node = node
        self._buffer: Any = None
        self._listener: Any = None
        self._known: dict[tuple[str, str], Array] = {}
        self._missing: set[tuple[str, str]] = set()
        self._subscribe()

    def lookup(self, target: str, source: str) -> Array | None:
        """Return target_T_source (4, 4), m, as it was first found; None where it is not known."""
        pair = target, source
        if pair not in self._known:
            found = self._ask(*pair)
            if found is None:
                self._missing.add(pair)
                return None
            self._known[pair] = found
            self._missing.discard(pair)
        return self._known[pair]

    def update_subscription(self) -> None:
        """Listen only while something asked for is missing; in the executor's thread."""
        if self._missing:
            self._subscribe()
        elif self._known:
            self._unsubscribe()

    def close(self) -> None:
        """Unsubscribe and forget."""
        self._unsubscribe()
        self._node = None
        self._known.clear()
        self._missing.clear()

    def _ask(self, target: str, source: str) -> Array | None:
        buffer = self._buffer  # the executor's thread may take it away
        if tf2_ros is None or buffer is None:
            return None
        try:
            found = buffer.lookup_transform(target, source, Time())
        except tf2_ros.TransformException:
            return None
        return transform_from_msg(found.transform)

    def _subscribe(self) -> None:
        if tf2_ros is None or self._node is None or self._listener is not None:
            return
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, self._node)

    def _unsubscribe(self) -> None:
        if self._listener is not None:
            self._listener.unregister()
        self._listener = self._buffer = None


class TransformSender:
    """Sends transforms to /tf; does nothing without tf2_ros."""

    def __init__(self, node: Node) -> None:
        """Create the publisher, where tf2_ros is installed."""
        self._node = node
        self._broadcaster: Any = None if tf2_ros is None else tf2_ros.TransformBroadcaster(node)

    def send(self, header: Header, child: str, transform: Array) -> None:
        """Send the pose (4, 4) of the frame `child` in the frame of the header."""
        if self._broadcaster is not None:
            self._broadcaster.sendTransform(transform_to_msg(header, child, transform))

    def close(self) -> None:
        """Take the publisher back."""
        if self._broadcaster is not None:
            self._node.destroy_publisher(self._broadcaster.pub_tf)
        self._broadcaster = None


def transform_to_msg(header: Header, child: str, transform: Array) -> TransformStamped:
    """Write the pose (4, 4) of the frame `child` in the frame of the header."""
    msg = TransformStamped(header=header, child_frame_id=child)
    translation, rotation = msg.transform.translation, msg.transform.rotation
    translation.x, translation.y, translation.z = transform[:3, 3].tolist()
    quaternion = quaternion_from_rotation(transform[:3, :3])
    rotation.x, rotation.y, rotation.z, rotation.w = quaternion.tolist()
    return msg


def transform_from_msg(msg: Transform) -> Array:
    """Read a transform (4, 4).

    Raises:
        ValueError: Its rotation is no unit quaternion.
    """
    q, translation = msg.rotation, msg.translation
    transform = np.eye(4)
    transform[:3, :3] = rotation_from_quaternion(np.array([q.x, q.y, q.z, q.w]))
    transform[:3, 3] = translation.x, translation.y, translation.z
    return transform
