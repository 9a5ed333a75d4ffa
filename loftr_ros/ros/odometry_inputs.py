"""What the odometry receives from outside: where the base is, and how fast it moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import PoseWithCovarianceStamped, TwistWithCovarianceStamped
from nav_msgs.msg import Odometry as OdometryMsg
from rclpy.qos import qos_profile_sensor_data

from loftr_ros.codecs.conversions import pose_from_msg
from loftr_ros.codecs.stamps import stamp_from_msg
from loftr_ros.geometry.transforms import is_transform
from loftr_ros.ros.frames import Refuse
from loftr_ros.texts import shortened

if TYPE_CHECKING:
    from rclpy.node import Node

    from loftr_ros.settings.parameters import NodeParameters

Array = npt.NDArray[np.float64]
OnPose = Callable[[Array, Array], None]
OnSpeed = Callable[[int, float], None]

SPEED_TOPIC = 'speed'
SPEED_TYPES = {'odometry': OdometryMsg, 'twist': TwistWithCovarianceStamped}

ROUNDING = 1e-6
"""Of covariances that were computed elsewhere, as a share of their largest element."""


def pose_of_base(msg: PoseWithCovarianceStamped, odom_frame: str) -> tuple[Array, Array]:
    """Read where the base is: odom_T_base (4, 4) and its covariance (6, 6).

    Raises:
        ValueError: The pose is one in another frame, or not finite, or its covariance is none.
    """
    if msg.header.frame_id not in ('', odom_frame):
        raise ValueError(
            f'the pose is one in {shortened(msg.header.frame_id)!r}, not in {odom_frame!r}'
        )
    odom_T_base, covariance = pose_from_msg(msg.pose)
    if not is_transform(odom_T_base):
        raise ValueError('the position is not finite')
    _check_covariance(covariance)
    return odom_T_base, covariance


def _check_covariance(covariance: Array) -> None:
    """Refuse what is no covariance.

    Raises:
        ValueError: It is not finite, not symmetric or not positive semi-definite.
    """
    if not np.isfinite(covariance).all() or (np.diag(covariance) < 0).any():
        raise ValueError('the covariance is not finite, or has a negative variance')
    largest = float(np.abs(covariance).max())
    if not np.allclose(covariance, covariance.T, rtol=0.0, atol=ROUNDING * largest):
        raise ValueError('the covariance is not symmetric')
    smallest = float(np.linalg.eigvalsh((covariance + covariance.T) / 2)[0])
    if smallest < -ROUNDING * largest:
        raise ValueError(
            f'the covariance is not positive semi-definite: it has the eigenvalue {smallest:g}'
        )


def speed_of(msg: OdometryMsg | TwistWithCovarianceStamped) -> tuple[int, float]:
    """Read the time, ns, and the length of the velocity, m/s.

    Raises:
        ValueError: The velocity is not finite.
    """
    linear = msg.twist.twist.linear
    speed = float(np.linalg.norm([linear.x, linear.y, linear.z]))
    if not np.isfinite(speed):
        raise ValueError('the velocity is not finite')
    return stamp_from_msg(msg.header.stamp), speed


class OdometryInputs:
    """Subscriptions of the odometry."""

    def __init__(
        self,
        node: Node,
        parameters: NodeParameters,
        on_pose: OnPose,
        on_speed: OnSpeed,
        refuse: Refuse,
    ) -> None:
        """Subscribe to ~/set_pose, and to the speed where it gives the scale."""
        self._node = node
        self._parameters = parameters
        self._on_pose = on_pose
        self._on_speed = on_speed
        self._refuse = refuse
        self._set_pose = node.create_subscription(
            PoseWithCovarianceStamped, '~/set_pose', self._on_set_pose, 10
        )
        self._subscriptions: list[Any] = [self._set_pose]
        if parameters.mode == 'mono':
            kind = SPEED_TYPES[parameters.odometry.scale]
            self._subscriptions.append(
                node.create_subscription(
                    kind, SPEED_TOPIC, self._on_speed_msg, qos_profile_sensor_data
                )
            )

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _on_set_pose(self, msg: PoseWithCovarianceStamped) -> None:
        try:
            self._on_pose(*pose_of_base(msg, self._parameters.odometry.odom_frame))
        except ValueError as error:
            self._refuse(self._set_pose.topic_name, str(error))

    def _on_speed_msg(self, msg: OdometryMsg | TwistWithCovarianceStamped) -> None:
        try:
            self._on_speed(*speed_of(msg))
        except ValueError as error:
            self._refuse(self._node.resolve_topic_name(SPEED_TOPIC), str(error))
