"""Odometry of a robot's base, whose camera is found on it once frames come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from loftr_ros.frontend.gyroscope import Gyroscope
from loftr_ros.frontend.odometry import Odometry, OdometryEstimate
from loftr_ros.frontend.tracker import TrackingResult
from loftr_ros.geometry.types import Array

FindExtrinsics = Callable[[str], Array | None]
"""Returns base_T_camera (4, 4) for the frame id of a camera; None as long as it is not known."""

MAX_SPEEDS = 1000
"""So many speeds are kept until the odometry starts."""


def camera_is_base(_: str) -> Array:
    """Return base_T_camera where the motion of the camera itself is wanted."""
    return np.eye(4)


class BaseOdometry:
    """`Odometry` that starts as soon as it is known where the camera stands on the base.

    A pose of the base and speeds that come before are used at the start. Not for use by several
    threads at the same time.

    Attributes:
        base_T_camera: float64 (4, 4), m; None as long as it is not known.
    """

    def __init__(
        self,
        find_extrinsics: FindExtrinsics = camera_is_base,
        gyroscope: Gyroscope | None = None,
    ) -> None:
        """Start at the origin; `find_extrinsics` is asked at each result until it knows."""
        self._find_extrinsics = find_extrinsics
        self._gyroscope = gyroscope
        self._odometry: Odometry | None = None
        self.base_T_camera: Array | None = None
        self._pose: tuple[Array, Array] | None = None
        self._speeds: deque[tuple[int, float]] = deque(maxlen=MAX_SPEEDS)

    @property
    def started(self) -> bool:
        """Whether it is known where the camera stands on the base."""
        return self._odometry is not None

    def update(self, result: TrackingResult) -> OdometryEstimate | None:
        """Go on by one result of the tracker; None where it has no motion to go on by."""
        odometry = self._odometry or self._start(result.query.frame_id)
        return None if odometry is None else odometry.update(result)

    def branch(self) -> Odometry | None:
        """Return an odometry that goes on from here by itself; None before it has started."""
        return None if self._odometry is None else self._odometry.branch()

    def extrinsics(self, camera_frame: str) -> Array | None:
        """Return base_T_camera (4, 4) of a camera's frame; None as long as it is not known."""
        if self.base_T_camera is None:
            self.base_T_camera = self._find_extrinsics(camera_frame)
        return self.base_T_camera

    def set_pose(self, odom_T_base: Array, covariance: Array) -> None:
        """Set the present pose (4, 4) of the base, m, and its covariance (6, 6).

        Raises:
            ValueError: The pose is no rigid transform, or the covariance is none.
        """
        self._pose = (odom_T_base, covariance)
        if self._odometry is not None:
            self._odometry.reset(odom_T_base, covariance)

    def set_speed(self, stamp_ns: int, metres_per_second: float) -> None:
        """Give the forward speed of the base at a time, as scale for poses that have none.

        Raises:
            ValueError: The speed is not finite.
        """
        if self._odometry is not None:
            self._odometry.set_speed(stamp_ns, metres_per_second)
        else:
            # The first keyframe needs the speeds from its own time on.
            self._speeds.append((stamp_ns, metres_per_second))

    def reset(self) -> None:
        """Forget all motion, and where the camera stands; the base is at the origin again."""
        self._odometry = self._pose = self.base_T_camera = None
        self._speeds.clear()

    def _start(self, camera_frame: str) -> Odometry | None:
        base_T_camera = self.extrinsics(camera_frame)
        if base_T_camera is None:
            return None
        self._odometry = Odometry(base_T_camera, gyroscope=self._gyroscope)
        if self._pose is not None:
            self._odometry.reset(*self._pose)
        while self._speeds:
            self._odometry.set_speed(*self._speeds.popleft())
        return self._odometry
