"""Angular rates of a bag, and how the gyroscope is mounted on the camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from loftr_ros.data.bags.imu import read_bag_imu
from loftr_ros.data.bags.writer import BagWriter
from loftr_ros.data.errors import DatasetError
from loftr_ros.geometry.rotations import rotation_from_vector
from loftr_ros.geometry.transforms import make_transform
from test.helpers.known_world import known_matcher

if TYPE_CHECKING:
    from pathlib import Path

    from loftr_ros.data.bags.message_types import Message

MOUNTED = make_transform(rotation_from_vector(np.array([0.1, -1.0, 0.4])), np.array([0.1, 0, 0]))


def imu_message(bag: BagWriter, stamp_ns: int, rate: float = 0.5) -> Message:
    types = bag.types.types
    vector = types['geometry_msgs/msg/Vector3']
    quaternion = types['geometry_msgs/msg/Quaternion'](0.0, 0.0, 0.0, 1.0)
    unknown = np.zeros(9)
    rates = vector(0.0, rate, 0.0), unknown.copy()
    header = bag.header(stamp_ns, 'imu')
    still = vector(0.0, 0.0, 9.8)
    return types['sensor_msgs/msg/Imu'](header, quaternion, unknown, *rates, still, unknown)


def write_bag(
    path: Path, topics: tuple[str, ...] = ('/imu',), *, joined: bool = True, covariance: float = 0.0
) -> Path:
    with BagWriter(path) as bag:
        bag.write_frame('/camera', known_matcher().frame(1, 10**9))
        if joined:
            bag.write('/tf_static', bag.transforms([('camera', 'imu', MOUNTED)], 0), 0)
        for topic in topics:
            for number in range(5):
                message = imu_message(bag, 10**9 + number * 5_000_000, 0.1 * number)
                message.angular_velocity_covariance[0] = covariance
                bag.write(topic, message, 10**9 + number * 5_000_000)
    return path


def test_rates_and_mounting_are_read(tmp_path: Path) -> None:
    samples = read_bag_imu(write_bag(tmp_path / 'bag'), None, '/camera/image_raw')
    assert samples.source == '/imu'
    assert samples.stamps_ns.tolist() == [10**9 + number * 5_000_000 for number in range(5)]
    np.testing.assert_allclose(samples.rates[:, 1], 0.1 * np.arange(5))
    assert samples.camera_R_imu is not None
    np.testing.assert_allclose(samples.camera_R_imu, MOUNTED[:3, :3], atol=1e-9)


def test_without_a_transform_the_mounting_is_unknown(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', joined=False)
    assert read_bag_imu(bag, '/imu', '/camera/image_raw').camera_R_imu is None


@pytest.mark.parametrize(
    ('topics', 'wanted', 'covariance', 'problem'),
    [
        ((), None, 0.0, 'there is no topic of sensor_msgs/Imu'),
        (('/imu', '/other'), None, 0.0, 'which gyroscope.*/imu, /other; --imu-topic'),
        (('/imu',), '/wrong', 0.0, 'which gyroscope'),
        (('/imu',), None, -1.0, '/imu holds no angular velocity'),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, topics: tuple[str, ...], wanted: str | None, covariance: float, problem: str
) -> None:
    bag = write_bag(tmp_path / 'bag', topics, covariance=covariance)
    with pytest.raises(DatasetError, match=problem):
        read_bag_imu(bag, wanted, '/camera/image_raw')
