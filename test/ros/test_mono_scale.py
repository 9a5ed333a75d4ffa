"""One camera: no odometry without an external scale, and odometry with it."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import numpy as np
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


def test_one_camera_has_odometry_only_with_speeds(tmp_path: Path) -> None:
    parameters = {'mode': 'mono', 'odometry_scale': 'odometry', 'extrinsics': 'parameter'}
    parameters |= {'process_every_frame': 'true'}
    with running_node(tmp_path, parameters) as node, closing(Client()) as client:
        camera = Camera(client, start_ns=100 * 10**9)
        camera.wait_for_subscriber()
        heard: list[Odometry] = []
        client.listen(Odometry, '/loftr/odometry', heard.append)
        speeds = client.publisher(Odometry, '/speed', 50)
        wait_until(speeds.get_subscription_count, 'a subscriber of /speed')
        wait_until(
            lambda: 'no speed of that time has come' in client.message('odometry'),
            'the missing speed to be told',
            lambda: send_in_circles(camera),
        )
        assert not heard
        assert client.call(Trigger, '/loftr/reset', Trigger.Request()).success
        camera.index, start_ns = FIRST, camera.stamp_ns

        def send() -> None:
            speed = Odometry(header=header(camera.stamp_ns + STEP_NS))
            speed.twist.twist.linear.x = STEP / (STEP_NS / 1e9)
            speeds.publish(speed)
            time.sleep(0.1)
            camera.send()

        # Farther on the scene has too little in common with the keyframe.
        for _ in range(8):
            send()
            time.sleep(0.3)
        wait_until(lambda: len(heard) > 3, 'odometry')
        last = heard[-1]
        place = last.pose.pose.position
    assert not node.text().count('unexpected')
    frames = (stamp_from_msg(last.header.stamp) - start_ns) / STEP_NS
    # The first picture after the reset is where the way begins.
    assert np.linalg.norm([place.x, place.y, place.z]) == pytest.approx(
        STEP * (frames - 1), rel=0.2, abs=STEP
    )
    assert place.y < 0
