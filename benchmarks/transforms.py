"""What the transforms of a robot cost the node: `python benchmarks/transforms.py`.

One process sends transforms at a rate, this one listens as the node does: until the transform that
was asked for is known, and from then on. Without tf2_ros, of which there are no wheels, a stand-in
receives the same number of geometry_msgs/TransformStamped and keeps the newest of each pair of
frames, in Python; what the buffer of tf2 computes besides is left out then.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import Header

from loftr_ros.ros import transforms

MOVING, FIXED = ('odom', 'base_link'), ('base_link', 'camera')
"""What goes on at the rate, and what the node asks for."""


class StandInBuffer(dict[tuple[str, str], TransformStamped]):
    """The newest transform of each pair of frames."""

    def lookup_transform(self, target: str, source: str, _: object) -> TransformStamped:
        """Return it.

        Raises:
            KeyError: There is none.
        """
        return self[target, source]


class StandInListener:
    """Fills a buffer from /tf."""

    def __init__(self, buffer: StandInBuffer, node: Node) -> None:
        self._buffer, self._node = buffer, node
        self._subscription = node.create_subscription(TransformStamped, '/tf', self._keep, 100)

    def _keep(self, msg: TransformStamped) -> None:
        self._buffer[msg.header.frame_id, msg.child_frame_id] = msg

    def unregister(self) -> None:
        """Listen no more."""
        self._node.destroy_subscription(self._subscription)


class StandInBroadcaster:
    """Sends to /tf."""

    def __init__(self, node: Node) -> None:
        self.pub_tf = node.create_publisher(TransformStamped, '/tf', 100)

    def sendTransform(self, msg: TransformStamped) -> None:  # noqa: N802 - as tf2_ros
        """Send one."""
        self.pub_tf.publish(msg)


STAND_IN = SimpleNamespace(
    Buffer=StandInBuffer,
    TransformListener=StandInListener,
    TransformBroadcaster=StandInBroadcaster,
    TransformException=KeyError,
)


def send(rate: float) -> None:
    """Send at a rate until the process is ended; the fixed one as well once a line was read."""
    node = Node('sender')
    sender = transforms.TransformSender(node)
    fixed: list[tuple[str, str]] = []
    node.create_timer(1 / rate, lambda: forward(node, sender, [MOVING, *fixed]))
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    threading.Thread(target=executor.spin, daemon=True).start()
    sys.stdin.readline()
    fixed.append(FIXED)
    threading.Event().wait()


def forward(node: Node, sender: transforms.TransformSender, pairs: list[tuple[str, str]]) -> None:
    """Send each pair of frames once."""
    stamp = node.get_clock().now().to_msg()
    for parent, child in pairs:
        sender.send(Header(stamp=stamp, frame_id=parent), child, np.eye(4))


def cores(executor: SingleThreadedExecutor, seconds: float) -> float:
    """Return how many cores this process keeps at work while it spins."""
    start, worked = time.monotonic(), time.process_time()
    while time.monotonic() - start < seconds:
        executor.spin_once(timeout_sec=0.1)
    return (time.process_time() - worked) / (time.monotonic() - start)


def measure(seconds: float, sender: subprocess.Popen[str]) -> tuple[float, float]:
    """Return the cores at work while the transform is missing, and once it is known."""
    node = Node('listener')
    listener = transforms.TransformListener(node)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while listener.lookup(*MOVING) is None:
        executor.spin_once(timeout_sec=0.1)
    assert listener.lookup(*FIXED) is None
    before = cores(executor, seconds)
    assert sender.stdin is not None
    print('now', file=sender.stdin, flush=True)
    while listener.lookup(*FIXED) is None:
        executor.spin_once(timeout_sec=0.1)
    listener.update_subscription()
    return before, cores(executor, seconds)


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('--rate', type=float, default=200.0, help='transforms a second')
    parser.add_argument('--seconds', type=float, default=20.0, help='of each measurement')
    parser.add_argument('--sender', action='store_true', help=argparse.SUPPRESS)
    options = parser.parse_args()
    real = transforms.is_available()
    if not real:
        vars(transforms)['tf2_ros'] = STAND_IN
    rclpy.init()
    if options.sender:
        send(options.rate)
        return
    command = [sys.executable, __file__, '--sender', '--rate', str(options.rate)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as sender:
        before, after = measure(options.seconds, sender)
        sender.kill()
    what = 'tf2_ros' if real else 'a stand-in for tf2_ros'
    print(f'{options.rate:g} transforms a second, received by {what}, cores at work:')
    print(f'while the transform asked for is missing  {before:.3f}')
    print(f'once it is known                          {after:.3f}')


if __name__ == '__main__':
    main()
