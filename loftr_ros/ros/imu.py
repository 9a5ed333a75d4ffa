"""The subscription of a gyroscope."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Imu

from loftr_ros.codecs.imu import rate_from_msg
from loftr_ros.geometry.types import Array
from loftr_ros.ros.frames import Refuse

if TYPE_CHECKING:
    from rclpy.node import Node

    from loftr_ros.frontend import Gyroscope

TOPIC = 'imu'
DEPTH = 200
"""Samples that wait while the executor is busy: a second of most sensors."""
OnRate = Callable[[int, Array, str], None]


class ImuInput:
    """Takes the angular rates of sensor_msgs/Imu."""

    def __init__(self, node: Node, on_rate: OnRate, refuse: Refuse, silent_timeout: float) -> None:
        """Subscribe.

        Args:
            node: Whose subscription it is.
            on_rate: Called with the time, ns, the rate (3,), rad/s, and the frame of the sensor.
            refuse: Called with the topic and the reason of each sample that is not used.
            silent_timeout: So long without a sample is too long, s.
        """
        self._node = node
        self._on_rate = on_rate
        self._refuse = refuse
        self._timeout = silent_timeout
        self._last = time.monotonic()
        qos = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._subscription = node.create_subscription(Imu, TOPIC, self._on_imu, qos)

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def problem(self, gyroscope: Gyroscope | None) -> str:
        """Say why no rotation comes of the samples; '' where one does."""
        topic = self._subscription.topic_name
        silence = time.monotonic() - self._last
        if silence > self._timeout:
            return f'{topic}: no sample of the gyroscope for {silence:.1f} s'
        if gyroscope is not None and gyroscope.camera_R_imu is None:
            return (
                f'{topic}: tf2 knows no transform from the frame of the gyroscope to that of the '
                'camera; the last four numbers of input.gyroscope can tell it'
            )
        return ''

    def _on_imu(self, msg: Imu) -> None:
        self._last = time.monotonic()
        try:
            self._on_rate(*rate_from_msg(msg), msg.header.frame_id)
        except ValueError as error:
            self._refuse(self._subscription.topic_name, str(error))
