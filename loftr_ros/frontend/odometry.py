"""Relative poses of the camera in, pose and velocity of the robot's base out."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loftr_ros.frontend.distances import DistanceLog
from loftr_ros.frontend.frame import Frame
from loftr_ros.frontend.gyroscope import Gyroscope
from loftr_ros.frontend.mono_scale import PointScale
from loftr_ros.frontend.states import TrackingState
from loftr_ros.frontend.tracker import TrackingResult
from loftr_ros.geometry import PoseState
from loftr_ros.geometry.constants import HIDDEN
from loftr_ros.geometry.rotations import nearest_rotation, rotation_vector
from loftr_ros.geometry.transforms import (
    compound,
    exponential,
    inverse_transform,
    invert_covariance,
    is_transform,
    logarithm,
    make_transform,
    move_covariance,
)
from loftr_ros.ranges import require_positive

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class OdometryOptions:
    """Options of `Odometry`.

    Over a gap, where no motion was estimated, the base is taken to go on as before. What it really
    did is unknown by the speed it had plus these:

    Attributes:
        gap_speed: Standard deviation of the velocity over a gap, m/s.
        gap_angular_rate: Standard deviation of the angular velocity over a gap, rad/s.
        distance_sigma: Standard deviation of an external distance, as a share of it.
        distance_gap_s: External speeds or distances farther apart than this leave the distance
            between them unknown, s.
        longest_bridge_s: So long after its last motion the base goes on by the gyroscope, s.

    Raises:
        ValueError: A field is out of its range.
    """

    gap_speed: float = 1.0
    gap_angular_rate: float = 0.5
    distance_sigma: float = 0.02
    distance_gap_s: float = 0.5
    longest_bridge_s: float = 5.0

    def __post_init__(self) -> None:
        """Check all ranges."""
        require_positive(self, 'gap_speed', 'gap_angular_rate', 'distance_sigma', 'distance_gap_s')
        require_positive(self, 'longest_bridge_s')


@dataclass(frozen=True, eq=False, kw_only=True)
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
        bridged: Whether the images told no motion up to this frame: its rotation is that of the
            gyroscope, and its position goes on by the last velocity.
    """

    stamp_ns: int
    odom_T_base: Array
    covariance: Array
    twist: Array
    twist_covariance: Array
    metric: bool
    gap: bool
    bridged: bool = False


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

    The pose starts at the origin, or where `reset` puts it. Poses without scale are chained in a
    unit of their own, which the first of them defines and shared points carry on, until external
    speeds or distances give them one; the position then starts over, in metres. Not for use by
    several threads at the same time.
    """

    def __init__(
        self,
        base_T_camera: Array | None = None,
        options: OdometryOptions | None = None,
        gyroscope: Gyroscope | None = None,
    ) -> None:
        """Chain motions of a camera that stands at `base_T_camera` (4, 4) on the base.

        Args:
            base_T_camera: m; None for a base that is the camera.
            options: What is taken for known over gaps.
            gyroscope: Of the camera; None for none.

        Raises:
            ValueError: It is no rigid transform.
        """
        self._base_T_camera = np.eye(4) if base_T_camera is None else np.array(base_T_camera)
        if not is_transform(self._base_T_camera):
            raise ValueError('base_T_camera must be a rotation and a translation, 4 x 4')
        self._options = options or OdometryOptions()
        self._gyroscope = gyroscope
        self._distances = DistanceLog(self._options.distance_gap_s)
        self._points = PointScale()
        self._start = _Placed(0, np.eye(4), np.zeros((6, 6)))
        self._reference: _Placed | None = None
        self._before_gap: tuple[_Placed, PointScale] | None = None
        self._last_motion: _Motion | None = None
        self._last: OdometryEstimate | None = None
        self._metric: bool | None = None
        self._gap = False

    def branch(self) -> Odometry:
        """Return an odometry that goes on from here by itself, such as by poses of frames between.

        This one knows nothing of it.
        """
        branch = copy.copy(self)
        branch._points, branch._distances = copy.copy(self._points), copy.deepcopy(self._distances)  # noqa: SLF001 - its own
        return branch

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
        self._reference, self._before_gap = self._reset_reference(), None
        self._last, self._last_motion, self._gap = None, None, False

    def set_speed(self, stamp_ns: int, metres_per_second: float) -> None:
        """Give the forward speed of the base at a time, as scale for poses that have none.

        Raises:
            ValueError: The speed is not finite.
        """
        self._distances.add_speed(stamp_ns, metres_per_second)

    def set_distance(self, stamp_ns: int, metres: float) -> None:
        """Give the distance travelled so far (an odometer), instead of speeds.

        Raises:
            ValueError: The distance is not finite.
        """
        self._distances.add_distance(stamp_ns, metres)

    def update(self, result: TrackingResult) -> OdometryEstimate | None:
        """Go on by one result of the tracker.

        Returns:
            The estimate, or None where the result has no motion to go on by, and no gyroscope tells
            the rotation.
        """
        reference = self._place(result.reference)
        motion = self._base_motion(result)
        if motion is None:
            return self._bridged(result)
        self._before_gap = None
        if self._metric is False and motion.metric:
            reference = self._start_over(reference)
        self._metric = motion.metric
        pose, covariance = compound(
            reference.odom_T_base,
            reference.covariance,
            motion.reference_T_query,
            motion.covariance,
        )
        twist, twist_covariance = self._twist(reference, motion)
        estimate = OdometryEstimate(
            stamp_ns=motion.stamp_ns,
            odom_T_base=pose,
            covariance=covariance,
            twist=twist,
            twist_covariance=twist_covariance,
            metric=motion.metric,
            gap=self._gap,
        )
        self._last, self._last_motion, self._gap = estimate, motion, False
        if result.new_keyframe:
            # Rounding adds up over many keyframes.
            pose = make_transform(nearest_rotation(pose[:3, :3]), pose[:3, 3])
            self._reference = _Placed(motion.stamp_ns, pose, covariance)
        return estimate

    def _start_over(self, reference: _Placed) -> _Placed:
        """Put the reference back to where the path began, since its position has no scale."""
        pose = reference.odom_T_base.copy()
        pose[:3, 3] = self._start.odom_T_base[:3, 3]
        covariance = np.zeros((6, 6))
        covariance[:3, :3] = self._start.covariance[:3, :3]
        covariance[3:, 3:] = reference.covariance[3:, 3:]
        self._reference = _Placed(reference.stamp_ns, pose, covariance)
        self._last_motion, self._gap = None, True
        return self._reference

    def _place(self, frame: Frame) -> _Placed:
        """Return the pose of the reference; where it is not known, predict it."""
        if self._reference is not None and self._reference.stamp_ns == frame.stamp_ns:
            return self._reference
        if self._before_gap is not None and self._before_gap[0].stamp_ns == frame.stamp_ns:
            # The tracker has found the keyframe from before the gap again: nothing is missing.
            self._reference, self._points = self._before_gap
            self._last_motion, self._gap = None, False
            return self._reference
        if self._reference is not None:
            self._before_gap = self._before_gap or (self._reference, self._points)
        self._points = PointScale()
        if self._last is not None:
            last = _Placed(self._last.stamp_ns, self._last.odom_T_base, self._last.covariance)
            self._reference = self._predicted(last, self._last.twist, frame.stamp_ns)
            self._gap = True
        elif self._reference is not None:
            self._reference = self._predicted(self._reference, np.zeros(6), frame.stamp_ns)
            self._gap = True
        else:
            start = self._start
            self._reference = _Placed(frame.stamp_ns, start.odom_T_base, start.covariance)
        return self._reference

    def _bridged(self, result: TrackingResult) -> OdometryEstimate | None:
        """Go on without motion of the images; None where the gyroscope tells no rotation."""
        last, stamp_ns = self._last, result.query.stamp_ns
        # A camera that repeats its image stands still, in a simulator without noise, or is broken.
        if last is None or self._gyroscope is None or result.state is TrackingState.FROZEN:
            return None
        rotated = self._gyroscope.between(last.stamp_ns, stamp_ns)
        if rotated is None or stamp_ns - last.stamp_ns > self._options.longest_bridge_s * 1e9:
            return None
        known = _Placed(last.stamp_ns, last.odom_T_base, last.covariance)
        now = self._predicted(known, last.twist, stamp_ns)
        base_R_camera = self._base_T_camera[:3, :3]
        twist, covariance = last.twist.copy(), np.zeros((6, 6))
        twist[3:] = base_R_camera @ rotated.rate
        covariance[:3, :3] = self._gap_speed(last.twist) ** 2 * np.eye(3)
        covariance[3:, 3:] = base_R_camera @ rotated.rate_covariance @ base_R_camera.T
        return OdometryEstimate(
            stamp_ns=stamp_ns,
            odom_T_base=now.odom_T_base,
            covariance=now.covariance,
            twist=twist,
            twist_covariance=covariance,
            metric=last.metric,
            gap=False,
            bridged=True,
        )

    def _predicted(self, before: _Placed, twist: Array, stamp_ns: int) -> _Placed:
        """Let the base go on by its last velocity, and rotate as the gyroscope says if it can."""
        seconds = abs(stamp_ns - before.stamp_ns) / 1e9
        angular_rate = np.linalg.norm(twist[3:]) + self._options.gap_angular_rate
        deviations = np.repeat([self._gap_speed(twist), angular_rate], 3)
        motion, covariance = twist * seconds, np.diag((deviations * seconds) ** 2)
        gyroscope, base_R_camera = self._gyroscope, self._base_T_camera[:3, :3]
        rotated = gyroscope.between(before.stamp_ns, stamp_ns) if gyroscope is not None else None
        if rotated is not None:
            motion[3:] = base_R_camera @ rotation_vector(rotated.start_R_end)
            covariance[3:, 3:] = base_R_camera @ rotated.covariance @ base_R_camera.T
        placed = compound(before.odom_T_base, before.covariance, exponential(motion), covariance)
        return _Placed(stamp_ns, *placed)

    def _gap_speed(self, twist: Array) -> float:
        return float(np.linalg.norm(twist[:3])) + self._options.gap_speed

    def _base_motion(self, result: TrackingResult) -> _Motion | None:
        pose = result.pose
        if pose.reference_T_query is None or pose.covariance is None:
            return None
        if pose.metric:
            self._points.forget()
            return self._moved_base(result, pose.reference_T_query, pose.covariance, True)
        length = self._length(result)
        if length is None:
            return None
        distance, deviation, metric = length
        if metric is False and self._metric:
            return None
        scaled, covariance = _scaled(pose.reference_T_query, pose.covariance, distance, deviation)
        self._points.remember(result, scaled)
        return self._moved_base(result, scaled, covariance, metric)

    def _length(self, result: TrackingResult) -> tuple[float, float, bool] | None:
        """Return the length of a translation without scale, its deviation, and if it is metric."""
        full = result.pose.state is PoseState.OK
        external = self._distances.between(result.reference.stamp_ns, result.query.stamp_ns)
        if external is not None:
            still = 0.0 if full else external
            deviation = float(np.hypot(self._options.distance_sigma * external, still))
            return external, deviation, True
        metric = bool(self._metric)
        depth = self._points.median_depth
        if depth is None:
            return None if metric else self._first_length(result)
        if not full:
            return 0.0, HIDDEN * depth, metric
        shared = self._points.length_of(result)
        return None if shared is None else (*shared, metric)

    def _first_length(self, result: TrackingResult) -> tuple[float, float, bool]:
        """Return the length of a motion that shares no points with those before it."""
        speed = 0.0 if self._last is None else float(np.linalg.norm(self._last.twist[:3]))
        seconds = (result.query.stamp_ns - result.reference.stamp_ns) / 1e9
        length = speed * seconds
        return (length, length, False) if length > 0 else (1.0, 0.0, False)

    def _moved_base(
        self, result: TrackingResult, motion: Array, covariance: Array, metric: bool
    ) -> _Motion:
        camera = self._base_T_camera
        return _Motion(
            result.query.stamp_ns,
            camera @ motion @ inverse_transform(camera),
            move_covariance(camera, motion, covariance),
            metric,
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


def _scaled(
    motion: Array, covariance: Array, length: float, deviation: float
) -> tuple[Array, Array]:
    """Give a length to the unit translation of a motion, or its deviation to one that has none."""
    scaled, direction = motion.copy(), motion[:3, 3]
    scaled[:3, 3] = length * direction
    spread = np.zeros((6, 6))
    spread[3:, 3:] = covariance[3:, 3:]
    if not direction.any():
        spread[:3, :3] = deviation**2 * np.eye(3)
        return scaled, spread
    sizes = np.array([length] * 3 + [1.0] * 3)
    spread = covariance * np.outer(sizes, sizes)
    spread[:3, :3] += deviation**2 * np.outer(direction, direction)
    return scaled, spread
