"""Relative poses of the camera in, pose and velocity of the robot's base out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loftr_ros.frontend.frame import Frame
from loftr_ros.frontend.tracker import TrackingResult
from loftr_ros.geometry.transforms import (
    compound,
    exponential,
    inverse_transform,
    invert_covariance,
    is_transform,
    logarithm,
    move_covariance,
)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OdometryOptions:
    """Options of `Odometry`.

    Over a gap, where no motion was estimated, the base is taken to go on as before. What it really
    did is unknown by the speed it had plus these:

    Attributes:
        gap_speed: Standard deviation of the velocity over a gap, m/s.
        gap_turn_rate: Standard deviation of the angular velocity over a gap, rad/s.

    Raises:
        ValueError: A field is out of its range.
    """

    gap_speed: float = 1.0
    gap_turn_rate: float = 0.5

    def __post_init__(self) -> None:
        """Check all ranges."""
        for name in ('gap_speed', 'gap_turn_rate'):
            if not 0 < getattr(self, name) < float('inf'):
                raise ValueError(f'{name} must be positive and finite, not {getattr(self, name)!r}')


@dataclass(frozen=True, eq=False)
class OdometryEstimate:
    """Pose and velocity of the base at the time of one frame.

    Attributes:
        stamp_ns: Time of the frame, ns.
        odom_T_base: float64 (4, 4), pose of the base in the odometry frame, m.
        covariance: float64 (6, 6) of the pose, x y z rx ry rz about the axes of the odometry frame.
        twist: float64 (6,), velocity of the base in its own axes, vx vy vz wx wy wz, m/s and rad/s.
        twist_covariance: float64 (6, 6) of the twist.
        metric: Whether lengths are in metres; otherwise in an unknown unit.
        gap: Whether motion before this frame is missing: the pose goes on from a prediction, and
            its covariance has grown.
    """

    stamp_ns: int
    odom_T_base: Array
    covariance: Array
    twist: Array
    twist_covariance: Array
    metric: bool
    gap: bool


@dataclass(frozen=True, eq=False)
class _Placed:
    """A frame whose pose in the odometry frame is known."""

    stamp_ns: int
    odom_T_base: Array
    covariance: Array


@dataclass(frozen=True, eq=False)
class _Motion:
    """Motion of the base from the reference to the query of a result."""

    stamp_ns: int
    reference_T_query: Array
    covariance: Array
    metric: bool


class Odometry:
    """Chain the relative poses of a tracker to the pose of the base in the odometry frame.

    The pose starts at the origin, or where `reset` puts it. Not for use by several threads.
    """

    def __init__(
        self, base_T_camera: Array | None = None, options: OdometryOptions | None = None
    ) -> None:
        """Chain motions of a camera that stands at `base_T_camera` (4, 4) on the base.

        Raises:
            ValueError: It is no rigid transform.
        """
        self._base_T_camera = np.eye(4) if base_T_camera is None else np.array(base_T_camera)
        if not is_transform(self._base_T_camera):
            raise ValueError('base_T_camera must be a rotation and a translation, 4 x 4')
        self._options = options or OdometryOptions()
        self._start = _Placed(0, np.eye(4), np.zeros((6, 6)))
        self._reference: _Placed | None = None
        self._last_motion: _Motion | None = None
        self._last: OdometryEstimate | None = None
        self._gap = False

    def reset(self, odom_T_base: Array, covariance: Array | None = None) -> None:
        """Set the present pose of the base; the next estimate goes on from there.

        Args:
            odom_T_base: (4, 4), m.
            covariance: (6, 6), in the order of `OdometryEstimate`; None if known exactly.

        Raises:
            ValueError: It is no rigid transform, or no covariance.
        """
        pose = np.array(odom_T_base, dtype=np.float64)
        spread = np.zeros((6, 6)) if covariance is None else np.array(covariance, np.float64)
        if not is_transform(pose):
            raise ValueError('odom_T_base must be a rotation and a translation, 4 x 4')
        if spread.shape != (6, 6) or not np.isfinite(spread).all():
            raise ValueError('covariance must be a finite 6 x 6 matrix')
        self._start = _Placed(0, pose, spread)
        self._reference = self._reset_reference()
        self._last, self._last_motion, self._gap = None, None, False

    def update(self, result: TrackingResult) -> OdometryEstimate | None:
        """Go on by one result of the tracker.

        Returns:
            The estimate, or None where the result has no motion to go on by.
        """
        reference = self._place(result.reference)
        motion = self._base_motion(result)
        if motion is None:
            return None
        pose, covariance = compound(
            reference.odom_T_base,
            reference.covariance,
            motion.reference_T_query,
            motion.covariance,
        )
        twist, twist_covariance = self._twist(reference, motion)
        estimate = OdometryEstimate(
            motion.stamp_ns, pose, covariance, twist, twist_covariance, motion.metric, self._gap
        )
        self._last, self._last_motion, self._gap = estimate, motion, False
        if result.new_keyframe:
            self._reference = _Placed(motion.stamp_ns, pose, covariance)
        return estimate

    def _place(self, frame: Frame) -> _Placed:
        """Return the pose of the reference; where it is not known, predict it."""
        if self._reference is not None and self._reference.stamp_ns == frame.stamp_ns:
            return self._reference
        if self._last is not None:
            self._reference, self._gap = self._predicted(self._last, frame.stamp_ns), True
        else:
            self._gap = self._reference is not None
            start = self._reference or self._start
            still = self._resting(start)
            self._reference = (
                self._predicted(still, frame.stamp_ns)
                if self._gap
                else _Placed(frame.stamp_ns, start.odom_T_base, start.covariance)
            )
        return self._reference

    def _resting(self, placed: _Placed) -> OdometryEstimate:
        return OdometryEstimate(
            placed.stamp_ns,
            placed.odom_T_base,
            placed.covariance,
            np.zeros(6),
            np.zeros((6, 6)),
            metric=True,
            gap=True,
        )

    def _predicted(self, last: OdometryEstimate, stamp_ns: int) -> _Placed:
        seconds = abs(stamp_ns - last.stamp_ns) / 1e9
        speed, turn_rate = np.linalg.norm(last.twist[:3]), np.linalg.norm(last.twist[3:])
        deviations = np.repeat(
            [speed + self._options.gap_speed, turn_rate + self._options.gap_turn_rate], 3
        )
        pose, covariance = compound(
            last.odom_T_base,
            last.covariance,
            exponential(last.twist * seconds),
            np.diag((deviations * seconds) ** 2),
        )
        return _Placed(stamp_ns, pose, covariance)

    def _base_motion(self, result: TrackingResult) -> _Motion | None:
        pose = result.pose
        if not pose.metric or pose.reference_T_query is None or pose.covariance is None:
            return None
        camera = self._base_T_camera
        return _Motion(
            result.query.stamp_ns,
            camera @ pose.reference_T_query @ inverse_transform(camera),
            move_covariance(camera, pose.reference_T_query, pose.covariance),
            True,
        )

    def _twist(self, reference: _Placed, motion: _Motion) -> tuple[Array, Array]:
        """Return the mean velocity since the last estimate, or since the reference."""
        last = self._last_motion
        if last is None or last.stamp_ns <= reference.stamp_ns:
            step, covariance = motion.reference_T_query, motion.covariance
            seconds = (motion.stamp_ns - reference.stamp_ns) / 1e9
        else:
            back = inverse_transform(last.reference_T_query)
            uncertain = invert_covariance(last.reference_T_query, last.covariance)
            step, covariance = compound(
                back, uncertain, motion.reference_T_query, motion.covariance
            )
            seconds = (motion.stamp_ns - last.stamp_ns) / 1e9
        return logarithm(step) / seconds, covariance / seconds**2

    def _reset_reference(self) -> _Placed | None:
        """Place the reference so that the base of the last frame is at the start."""
        if self._reference is None or self._last_motion is None:
            return None
        last = self._last_motion
        if last.stamp_ns <= self._reference.stamp_ns:
            return _Placed(
                self._reference.stamp_ns, self._start.odom_T_base, self._start.covariance
            )
        pose, covariance = compound(
            self._start.odom_T_base,
            self._start.covariance,
            inverse_transform(last.reference_T_query),
            invert_covariance(last.reference_T_query, last.covariance),
        )
        return _Placed(self._reference.stamp_ns, pose, covariance)
