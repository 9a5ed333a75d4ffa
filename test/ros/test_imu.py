"""A gyroscope on the topic imu: dark images are bridged, and what is wrong with it is named."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from harness import Camera, Client, running_node, wait_until
from nav_msgs.msg import Odometry
from scenes import HEIGHT, STEP_NS, WIDTH, header
from sensor_msgs.msg import Imu

from loftr_ros.codecs.stamps import stamp_from_msg
from loftr_ros.msg import RelativePose

PARAMETERS = {
    'mode': 'mono',
    'odometry.scale': 'odometry',
    'odometry.extrinsics': 'parameter',
    'input.process_every_frame': 'true',
    'input.gyroscope': '[0.001,0.00001,0.0,0.0,0.0,1.0]',
}
RATE = 0.3
SAMPLES = 10


def imu_msg(stamp_ns: int, frame_id: str = 'imu') -> Imu:
    msg = Imu(header=header(stamp_ns))
    msg.header.frame_id = frame_id
    msg.angular_velocity.y = RATE
    return msg


class Robot:
    """A camera with wheels and a gyroscope."""

    def __init__(self, client: Client) -> None:
        self.camera = Camera(client, start_ns=100 * 10**9)
        self.speeds = client.publisher(Odometry, '/speed', 50)
        self.rates = client.publisher(Imu, '/imu', 500)
        self._noise = np.random.default_rng(0)
        self.camera.wait_for_subscriber()
        wait_until(self.speeds.get_subscription_count, 'a subscriber of /speed')
        wait_until(self.rates.get_subscription_count, 'a subscriber of /imu')

    def send(self, *, dark: bool = False) -> int:
        start = self.camera.stamp_ns
        for part in range(SAMPLES + 2):
            self.rates.publish(imu_msg(start + part * STEP_NS // SAMPLES + 1))
        speed = Odometry(header=header(start + 2 * STEP_NS))
        speed.twist.twist.linear.x = 1.0
        self.speeds.publish(speed)
        pixels = self._noise.integers(0, 4, (HEIGHT, WIDTH), np.uint8) if dark else None
        return self.camera.send(self.camera.next_image(pixels))


def test_odometry_goes_on_through_dark_images_by_the_gyroscope(tmp_path: Path) -> None:
    with running_node(tmp_path, PARAMETERS), closing(Client()) as client:
        robot, received = Robot(client), list[Odometry]()
        client.listen(Odometry, '/loftr/odometry', received.append)
        wait_until(lambda: len(received) > 2, 'odometry', robot.send)
        dark_ns = robot.send(dark=True)
        wait_until(lambda: pose_at(client, dark_ns), 'the pose of the dark image')
        wait_until(lambda: odometry_at(received, dark_ns), 'odometry of the dark image')
        pose, odometry = pose_at(client, dark_ns), odometry_at(received, dark_ns)
    assert pose is not None
    assert odometry is not None
    assert pose.state not in (RelativePose.STATE_OK, RelativePose.STATE_ROTATION_ONLY)
    assert pose.tracking == RelativePose.TRACKING_BRIDGED
    # The default camera looks along x of the base: its y is -z of the base.
    assert odometry.twist.twist.angular.z == pytest.approx(-RATE, abs=0.1)
    before = max((m for m in received if stamp(m) < dark_ns), key=stamp)
    assert odometry.pose.covariance[0] > before.pose.covariance[0]


def stamp(msg: Odometry | RelativePose) -> int:
    return stamp_from_msg(msg.header.stamp)


def pose_at(client: Client, stamp_ns: int) -> RelativePose | None:
    return next((msg for msg in list(client.poses) if stamp(msg) == stamp_ns), None)


def odometry_at(received: list[Odometry], stamp_ns: int) -> Odometry | None:
    return next((msg for msg in list(received) if stamp(msg) == stamp_ns), None)


def test_a_silent_gyroscope_and_samples_without_a_rate_are_named(tmp_path: Path) -> None:
    parameters = PARAMETERS | {'input.silent_timeout': '0.5'}
    with running_node(tmp_path, parameters) as node, closing(Client()) as client:
        rates = client.publisher(Imu, '/imu', 50)
        wait_until(lambda: '/imu: no sample of the gyroscope' in node.text(), 'the silence')
        empty = imu_msg(100 * 10**9)
        empty.angular_velocity_covariance[0] = -1.0
        wait_until(
            lambda: 'it holds no angular velocity' in node.text(),
            'the refusal',
            lambda: rates.publish(empty),
        )
