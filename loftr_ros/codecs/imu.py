"""Angular rates of sensor_msgs/Imu, of ROS and of bags alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from loftr_ros.codecs.stamps import stamp_from_msg


class ImuError(ValueError):
    """A message has no angular rate; the text says why."""


def rate_from_msg(msg: Any) -> tuple[int, npt.NDArray[np.float64]]:  # noqa: ANN401 - of ROS or a bag
    """Return the time, ns, and the angular rate (3,) about the axes of the sensor, rad/s.

    Raises:
        ImuError: There is none.
    """
    if msg.angular_velocity_covariance[0] == -1.0:
        raise ImuError('the message says that it holds no angular velocity (covariance -1)')
    rate = msg.angular_velocity
    value = np.array([rate.x, rate.y, rate.z], np.float64)
    if not np.isfinite(value).all():
        raise ImuError('the angular velocity is not finite')
    return stamp_from_msg(msg.header.stamp), value
