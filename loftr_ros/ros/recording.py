"""Listen to topics and hand on their messages as they are on the wire."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

from loftr_ros.ros.playback import message_class

QUEUE_SIZE = 100
OnMessage = Callable[[str, bytes, int], None]


class Recorder:
    """A node that subscribes reliably and deserializes nothing."""

    def __init__(self, name: str, topics: Mapping[str, str], on_message: OnMessage) -> None:
        """Subscribe.

        Args:
            name: Name of the node.
            topics: Absolute name of each topic -> its message type.
            on_message: Called with each message: topic, CDR bytes, time of arrival (ns since 1970).
        """
        self._context = Context()
        rclpy.init(context=self._context)
        self._node = Node(name, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._on_message = on_message
        self._topics = tuple(topics)
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=QUEUE_SIZE,
            reliability=ReliabilityPolicy.RELIABLE,
        )
        for topic, kind in topics.items():
            callback = functools.partial(self._on_data, topic)
            self._node.create_subscription(message_class(kind), topic, callback, qos, raw=True)

    def publishers(self, topic: str) -> int:
        """Return how many publishers of a topic are known."""
        return self._node.count_publishers(topic)

    def spin_once(self, timeout_s: float) -> None:
        """Wait for a message and hand it on."""
        self._executor.spin_once(timeout_s)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _on_data(self, topic: str, data: bytes) -> None:
        self._on_message(topic, data, time.time_ns())
