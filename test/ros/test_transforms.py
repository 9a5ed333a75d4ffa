"""Transforms: asked of tf2 and sent through it where it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import TransformStamped
from harness import wait_until
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import Header

from loftr_ros.ros import transforms
from loftr_ros.ros.transforms import TransformListener, TransformSender, transform_to_msg

FORWARD = np.array([[0.0, 0, 1, 0.1], [-1, 0, 0, 0.2], [0, -1, 0, 0.3], [0, 0, 0, 1]])


@pytest.fixture
def node() -> Iterator[Node]:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node('transforms', context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


class StandIn:
    """What the node uses of tf2_ros: it knows one transform and keeps what is sent."""

    class TransformException(Exception):  # noqa: N818 - the name is that of tf2_ros
        pass

    def __init__(self) -> None:
        self.sent: list[TransformStamped] = []
        self.opened = 0
        self.closed = 0

    def Buffer(self) -> Any:  # noqa: ANN401, N802
        def lookup(target: str, source: str, _: object) -> TransformStamped:
            if (target, source) != ('base_link', 'camera'):
                raise self.TransformException(f'{source} does not exist')
            return transform_to_msg(Header(frame_id=target), source, FORWARD)

        return SimpleNamespace(lookup_transform=lookup)

    def TransformListener(self, _buffer: object, _node: Node) -> Any:  # noqa: ANN401, N802
        def unregister() -> None:
            self.closed += 1

        self.opened += 1
        return SimpleNamespace(unregister=unregister)

    def TransformBroadcaster(self, node: Node) -> Any:  # noqa: ANN401, N802
        publisher = node.create_publisher(TransformStamped, '/tf', 10)
        return SimpleNamespace(sendTransform=self.sent.append, pub_tf=publisher)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setattr(transforms, 'tf2_ros', stand_in)
    return stand_in


def test_known_transforms_are_returned_and_others_not(node: Node, stand_in: StandIn) -> None:
    listener = TransformListener(node)
    found = listener.lookup('base_link', 'camera')
    assert found is not None
    np.testing.assert_allclose(found, FORWARD, atol=1e-12)
    assert listener.lookup('base_link', 'elsewhere') is None
    listener.close()
    assert stand_in.closed == 1
    assert listener.lookup('base_link', 'camera') is None


def test_nobody_listens_once_all_that_was_asked_for_is_known(node: Node, stand_in: StandIn) -> None:
    listener = TransformListener(node)
    listener.update_subscription()
    assert stand_in.closed == 0, 'nothing was asked for yet'
    assert listener.lookup('base_link', 'camera') is not None
    listener.update_subscription()
    assert stand_in.closed == 1
    assert listener.lookup('base_link', 'camera') is not None
    assert listener.lookup('base_link', 'elsewhere') is None
    listener.update_subscription()
    assert stand_in.opened == 2, 'it listens again for what is missing'
    listener.close()
    assert stand_in.closed == 2


def test_transforms_are_sent_until_the_sender_is_closed(node: Node, stand_in: StandIn) -> None:
    sender = TransformSender(node)
    sender.send(Header(frame_id='odom'), 'base_link', FORWARD)
    [msg] = stand_in.sent
    assert (msg.header.frame_id, msg.child_frame_id) == ('odom', 'base_link')
    sender.close()
    assert node.count_publishers('/tf') == 0
    sender.send(Header(frame_id='odom'), 'base_link', FORWARD)
    assert len(stand_in.sent) == 1


def test_real_tf2_brings_what_was_sent(node: Node) -> None:
    pytest.importorskip('tf2_ros', reason='tf2_ros is not installed (it comes with ROS 2)')
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    listener, sender = TransformListener(node), TransformSender(node)

    def send_and_spin() -> None:
        header = Header(stamp=node.get_clock().now().to_msg(), frame_id='odom')
        sender.send(header, 'base_link', FORWARD)
        executor.spin_once(0.05)

    wait_until(
        lambda: listener.lookup('odom', 'base_link') is not None, 'the transform', send_and_spin
    )
    found = listener.lookup('odom', 'base_link')
    assert found is not None
    np.testing.assert_allclose(found, FORWARD, atol=1e-9)
    assert listener.lookup('odom', 'nowhere') is None
    listener.close()
    sender.close()
    executor.shutdown()
