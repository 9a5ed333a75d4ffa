"""Publish messages that are already serialized, such as those of a bag."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

QUEUE_SIZE = 20


def message_class(name: str) -> type[Any]:
    """Return the class of a message type such as 'sensor_msgs/msg/Image'.

    Raises:
        ValueError: There is no such type.
    """
    package, _, kind = name.partition('/msg/')
    try:
        found: type[Any] = getattr(importlib.import_module(f'{package}.msg'), kind)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f'there is no message type {name!r}') from error
    return found


class Player:
    """A node that publishes CDR bytes; reliable, so that a recorder misses none."""

    def __init__(self, name: str, topics: Mapping[str, str]) -> None:
        """Create a publisher for each topic.

        Args:
            name: Name of the node.
            topics: Absolute name of each topic -> its message type.
        """
        self._context = Context()
        rclpy.init(context=self._context)
        self._node = Node(name, context=self._context)
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=QUEUE_SIZE,
            reliability=ReliabilityPolicy.RELIABLE,
        )
        self._publishers = {
            topic: self._node.create_publisher(message_class(kind), topic, qos)
            for topic, kind in topics.items()
        }

    def subscribers(self, topic: str) -> int:
        """Return how many subscriptions would receive a message of a topic."""
        return int(self._publishers[topic].get_subscription_count())

    def publish(self, topic: str, data: bytes) -> None:
        """Publish the CDR bytes of a message."""
        self._publishers[topic].publish(data)

    def close(self) -> None:
        """Leave the graph."""
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)
