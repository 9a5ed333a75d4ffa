"""One camera: no odometry without an external scale, and odometry with it."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from harness import Camera, Client, running_node, wait_until
from nav_msgs.msg import Odometry
from scenes import STEP_NS, header
from std_srvs.srv import Trigger

from loftr_ros.codecs.stamps import stamp_from_msg

# The camera of the scene moves so far from picture to picture if its walls are where they seem.
STEP = 0.05
FIRST = 5


def send_in_circles(camera: Camera) -> None:
    """Send a picture, and start over before the scene does."""
    camera.index = FIRST + camera.index % 10
    camera.send()


def position(msg: Odometry) -> npt.NDArray[np.float64]:
    place = msg.pose.pose.position
    return np.array([place.x, place.y, place.z])


def test_one_camera_has_odometry_only_with_speeds(tmp_path: Path) -> None:
    parameters = {'mode': 'mono', 'odometry.scale': 'odometry', 'odometry.extrinsics': 'parameter'}
    parameters |= {'input.process_every_frame': 'true'}
    with running_node(tmp_path, parameters) as node, closing(Client()) as client:
        camera = Camera(client, start_ns=100 * 10**9)
        camera.wait_for_subscriber()
        received: list[Odometry] = []
        client.listen(Odometry, '/loftr/odometry', received.append)
        speeds = client.publisher(Odometry, '/speed', 50)
        wait_until(speeds.get_subscription_count, 'a subscriber of /speed')
        wait_until(
            lambda: 'no speed of that time has come' in client.message('odometry'),
            'the missing speed to be reported',
            lambda: send_in_circles(camera),
        )
        assert not received
        # What is still in the queue would come after the reset.
        wait_until(
            lambda: (
                client.poses and stamp_from_msg(client.poses[-1].header.stamp) == camera.stamp_ns
            ),
            'the pose of the last image',
        )
        assert client.call(Trigger, '/loftr/reset', Trigger.Request()).success
        camera.index = FIRST

        def publish_speed(stamp_ns: int) -> None:
            speed = Odometry(header=header(stamp_ns))
            speed.twist.twist.linear.x = STEP / (STEP_NS / 1e9)
            speeds.publish(speed)
            time.sleep(0.1)

        # Wheels are ahead of the images. Farther on the scene has too little in common with the
        # keyframe.
        for ahead in range(1, 4):
            publish_speed(camera.stamp_ns + ahead * STEP_NS)
        client.poses.clear()
        for count in range(8):
            publish_speed(camera.stamp_ns + 4 * STEP_NS)
            camera.send()
            wait_until(lambda count=count: len(client.poses) >= count, 'the pose of each image')
        wait_until(lambda: len(received) > 3, 'odometry')
        # The very first step is so short that it may pass for a rotation.
        first, last = received[1], received[-1]
    assert not node.text().count('unexpected')
    steps = (stamp_from_msg(last.header.stamp) - stamp_from_msg(first.header.stamp)) / STEP_NS
    moved = position(last) - position(first)
    assert np.linalg.norm(moved) == pytest.approx(STEP * steps, rel=0.2)
    assert moved[1] < 0
