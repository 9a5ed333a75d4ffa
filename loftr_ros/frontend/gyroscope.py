"""Rotation of the camera between two times, from the angular rates of a gyroscope.

The rates are integrated as in C. Forster et al., "On-manifold preintegration for real-time
visual-inertial odometry", IEEE T-RO 2017, without the accelerometer. The bias is the state of a
Kalman filter, which the rotations of the images correct; while the camera stands still these are
the most exact, and the bias with them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise, takewhile

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from loftr_ros.geometry import KnownRotation, PoseState, RelativePose
from loftr_ros.geometry.constants import HIDDEN
from loftr_ros.geometry.rotations import rotation_vector
from loftr_ros.geometry.types import Array
from loftr_ros.ranges import require_not_negative, require_positive

MOST_SAMPLES = 10_000
"""Samples that are kept: 50 s at 200 Hz, 10 s at 1000 Hz."""
LATEST_NS = 1_000_000_000
"""A sample that is older than the last by more than this belongs to a clock that went back."""
OBSERVED_NS = 150_000_000
"""Least time between two frames whose rotation corrects the bias."""
STANDING_NS = 2_000_000_000
"""The same where they show no translation: what a rotation hides must not look like a bias."""
AGREEING = 7.81
"""Squared error of three degrees of freedom, in deviations, that 95 % do not exceed (chi-square):
rotations farther off weigh less (P. J. Huber, Robust Statistics, 1981)."""
DOUBTED = 4.0
"""Mean error, in deviations, from which on images and gyroscope disagree."""
FEWEST_OBSERVED = 20
_FORGETTING = 0.05


@dataclass(frozen=True)
class GyroscopeOptions:
    """What is known of a gyroscope; density and walk are those of its data sheet, or of Kalibr.

    Attributes:
        noise_density: Of the white noise of its rates, rad/s/sqrt(Hz).
        bias_walk: Of the random walk of its bias, rad/s^2/sqrt(Hz).
        bias_sigma: Standard deviation of the bias before anything is known of it, rad/s.
        scale_sigma: Standard deviation of scale and alignment, as a share of the rotation.
        time_sigma: Standard deviation of the offset between its stamps and the camera's, s.
        longest_gap: Samples farther apart leave the rotation between them unknown, s.

    Raises:
        ValueError: A field is out of its range.
    """

    noise_density: float = 2e-3
    bias_walk: float = 1e-4
    bias_sigma: float = 0.02
    scale_sigma: float = 0.005
    time_sigma: float = 0.002
    longest_gap: float = 0.05

    def __post_init__(self) -> None:
        """Check all ranges."""
        require_positive(self, 'noise_density', 'longest_gap')
        require_not_negative(self, 'bias_walk', 'bias_sigma', 'scale_sigma', 'time_sigma')


@dataclass(frozen=True, eq=False)
class GyroscopeRotation:
    """Rotation of the camera between two times.

    Attributes:
        start_R_end: float64 (3, 3), rotation of the later camera in the earlier one.
        covariance: float64 (3, 3), about the axes of the earlier one, rad^2.
        rate: float64 (3,), angular rate at the end, about the axes of the later one, rad/s.
        rate_covariance: float64 (3, 3) of it.
    """

    start_R_end: Array
    covariance: Array
    rate: Array
    rate_covariance: Array


@dataclass(frozen=True, eq=False)
class _Bias:
    """float64 (3,) in the axes of the gyroscope, rad/s, its covariance (3, 3), and when, ns."""

    value: Array
    covariance: Array
    stamp_ns: int | None = None


@dataclass(frozen=True, eq=False)
class _Integral:
    """An integral over samples, in the axes of the gyroscope.

    Attributes:
        rotation: float64 (3, 3), of the later axes in the earlier ones.
        by_bias: float64 (3, 3), derivative of its error by the bias.
        own: float64 (3, 3), its covariance where the bias is known.
        rate: float64 (3,), at the end, rad/s.
        rate_variance: Of its white noise.
    """

    rotation: Array
    by_bias: Array
    own: Array
    rate: Array
    rate_variance: float


@dataclass(frozen=True, eq=False)
class _Seen:
    """A frame whose rotation in its reference is known from the images."""

    stamp_ns: int
    reference_ns: int
    rotation: Array
    covariance: Array


class Gyroscope:
    """Samples of a gyroscope that is fixed to the camera.

    One thread may add samples, one correct the bias, and others ask for rotations meanwhile.

    Attributes:
        camera_R_imu: float64 (3, 3), rotation of its axes in the optical frame; None while unknown.
    """

    def __init__(
        self, camera_R_imu: Array | None = None, options: GyroscopeOptions | None = None
    ) -> None:
        """Start without samples."""
        self.camera_R_imu = camera_R_imu
        self._options = options or GyroscopeOptions()
        # Threads share it: to append and to copy a deque are single steps of the interpreter.
        self._samples: deque[tuple[int, Array]] = deque(maxlen=MOST_SAMPLES)
        self._bias = _Bias(np.zeros(3), self._options.bias_sigma**2 * np.eye(3))
        self._seen: _Seen | None = None
        self._observed = 0
        self._error = 1.0

    @property
    def bias(self) -> Array:
        """Bias (3,) in the axes of the gyroscope, rad/s."""
        return self._bias.value

    @property
    def bias_covariance(self) -> Array:
        """Covariance (3, 3) of the bias."""
        return self._bias.covariance

    @property
    def problem(self) -> str:
        """What is wrong with the gyroscope as a whole; '' for nothing."""
        if self._observed < FEWEST_OBSERVED or self._error < DOUBTED**2:
            return ''
        return (
            f'the gyroscope and the images disagree about the rotation, by {self._error**0.5:.0f} '
            'standard deviations: is camera_R_imu right, and are both stamps of one clock?'
        )

    def add(self, stamp_ns: int, rate: npt.ArrayLike) -> None:
        """Add a sample: angular rate (3,) in the axes of the gyroscope, rad/s.

        Raises:
            ValueError: It is not finite, or not after the last one.
        """
        value = np.array(rate, np.float64)
        if value.shape != (3,) or not np.isfinite(value).all():
            raise ValueError('the angular rate is not three finite numbers')
        last = self._samples[-1][0] if self._samples else None
        if last is not None and stamp_ns <= last:
            if last - stamp_ns < LATEST_NS:
                late = (last - stamp_ns) / 1e9
                raise ValueError(f'the sample is not after the last one ({late:.6f} s earlier)')
            self.forget_samples()
        self._samples.append((stamp_ns, value))

    def forget_samples(self) -> None:
        """Forget the samples, as where the clock jumped; the bias stays."""
        self._samples.clear()
        self._seen = None

    def between(self, start_ns: int, end_ns: int) -> GyroscopeRotation | None:
        """Return the rotation of the camera from one time to a later one.

        None where samples are missing: `missing` says which.
        """
        integral, mounted = self._integrate(start_ns, end_ns), self.camera_R_imu
        if integral is None or mounted is None:
            return None
        bias = self._bias_covariance_at(end_ns)
        covariance = integral.own + integral.by_bias @ bias @ integral.by_bias.T
        return GyroscopeRotation(
            mounted @ integral.rotation @ mounted.T,
            mounted @ covariance @ mounted.T,
            mounted @ integral.rate,
            mounted @ (bias + integral.rate_variance * np.eye(3)) @ mounted.T,
        )

    def known_between(self, reference_ns: int, query_ns: int) -> KnownRotation | None:
        """Return the rotation for estimates; None also where the images disagree altogether."""
        found = None if self.problem else self.between(reference_ns, query_ns)
        return None if found is None else KnownRotation(found.start_R_end, found.covariance)

    def fused(self, pose: RelativePose, reference_ns: int, query_ns: int) -> RelativePose:
        """Return the pose of a frame in its reference that takes account of the rotation.

        A pose in metres stays as it is: depth tells rotation and translation apart, and the error
        of the bias, which all frames share, would add up from one to the next.
        """
        known = None if pose.metric else self.known_between(reference_ns, query_ns)
        return pose if known is None else known.fused(pose)

    def missing(self, start_ns: int, end_ns: int) -> str:
        """Say why there is no rotation between two times; '' where there is one."""
        if self.camera_R_imu is None:
            return 'the rotation of the gyroscope in the camera is not known'
        stamps = [stamp for stamp, _ in self._samples.copy()]
        near = [stamp for stamp in stamps if start_ns < stamp < end_ns]
        before = [stamp for stamp in stamps if stamp <= start_ns]
        after = [stamp for stamp in stamps if stamp >= end_ns]
        times = [*before[-1:], *near, *after[:1]]
        if not times:
            return 'no sample of the gyroscope has come'
        ends = [min(times[0], start_ns), *times, max(times[-1], end_ns)]
        widest = max(pairwise(ends), key=lambda pair: pair[1] - pair[0])
        if widest[1] - widest[0] <= self._options.longest_gap * 1e9:
            return ''
        first, last = (stamp / 1e9 for stamp in widest)
        return f'no sample of the gyroscope from {first:.3f} to {last:.3f} s'

    def learn(self, pose: RelativePose, reference_ns: int, query_ns: int) -> None:
        """Correct the bias by the pose of a frame in its reference, where it is believed."""
        if pose.reference_T_query is None or pose.covariance is None:
            return
        rotation, covariance = pose.reference_T_query[:3, :3], pose.covariance[3:, 3:]
        least = OBSERVED_NS
        if pose.state is PoseState.ROTATION_ONLY:
            least, covariance = STANDING_NS, covariance + HIDDEN**2 * np.eye(3)
        now, last = _Seen(query_ns, reference_ns, rotation, covariance), self._seen
        if last is None or last.reference_ns != reference_ns or last.stamp_ns >= query_ns:
            last = _Seen(reference_ns, reference_ns, np.eye(3), np.zeros((3, 3)))
        if now.stamp_ns - last.stamp_ns >= least:
            back = last.rotation.T
            covariance = back @ (last.covariance + now.covariance) @ back.T
            self.observe(last.stamp_ns, now.stamp_ns, back @ now.rotation, covariance)
            last = now
        self._seen = last

    def observe(self, start_ns: int, end_ns: int, start_R_end: Array, covariance: Array) -> None:
        """Correct the bias by a rotation of the camera that is known otherwise.

        Args:
            start_ns: Time of its start, ns.
            end_ns: Of its end, ns.
            start_R_end: (3, 3), rotation of the later camera in the earlier one.
            covariance: (3, 3), about the axes of the earlier one, rad^2.
        """
        integral, mounted = self._integrate(start_ns, end_ns), self.camera_R_imu
        if integral is None or mounted is None:
            return
        seen = mounted.T @ start_R_end @ mounted
        error = rotation_vector(seen @ integral.rotation.T)
        noise = integral.own + mounted.T @ covariance @ mounted
        before = self._bias_covariance_at(end_ns)
        spread = integral.by_bias @ before @ integral.by_bias.T
        squared = float(error @ np.linalg.solve(spread + noise, error))
        noise = noise * max(1.0, squared / AGREEING)
        gain = before @ integral.by_bias.T @ np.linalg.inv(spread + noise)
        rest = np.eye(3) - gain @ integral.by_bias
        after = rest @ before @ rest.T + gain @ noise @ gain.T
        self._bias = _Bias(self._bias.value + gain @ error, after, end_ns)
        self._observed += 1
        self._error += _FORGETTING * (squared / 3.0 - self._error)

    def _bias_covariance_at(self, stamp_ns: int) -> Array:
        known = self._bias
        seconds = 0.0 if known.stamp_ns is None else max(0.0, (stamp_ns - known.stamp_ns) / 1e9)
        return known.covariance + self._options.bias_walk**2 * seconds * np.eye(3)

    def _integrate(self, start_ns: int, end_ns: int) -> _Integral | None:
        around = self._around(start_ns, end_ns)
        if around is None or end_ns <= start_ns:
            return None
        seconds, rates = around
        ends = np.array([0.0, (end_ns - start_ns) / 1e9])
        inner = seconds[(seconds > ends[0]) & (seconds < ends[1])]
        times = np.concatenate([ends[:1], inner, ends[1:]])
        # Beyond the first and the last sample the rate is taken to stay.
        at = np.column_stack([np.interp(times, seconds, rate) for rate in rates.T])
        at -= self._bias.value
        steps = np.diff(times)
        return self._chain(at, steps)

    def _chain(self, rates: Array, steps: Array) -> _Integral:
        """Chain constant rates, the means of neighbouring ones (N + 1, 3), over N steps, s."""
        vectors = 0.5 * (rates[1:] + rates[:-1]) * steps[:, None]
        each = Rotation.from_rotvec(vectors).as_matrix()
        half = Rotation.from_rotvec(0.5 * vectors).as_matrix()
        rotation, by_bias = np.eye(3), np.zeros((3, 3))
        for step, through, middle in zip(steps, each, half, strict=True):
            by_bias -= step * rotation @ middle
            rotation = rotation @ through
        options = self._options
        moved = options.scale_sigma * rotation_vector(rotation)
        shifted = options.time_sigma * (rotation @ rates[-1] - rates[0])
        own = options.noise_density**2 * float(steps.sum()) * np.eye(3)
        own += np.outer(moved, moved) + np.outer(shifted, shifted)
        noise = options.noise_density**2 / float(steps.max())
        return _Integral(rotation, by_bias, own, rates[-1], noise)

    def _around(self, start_ns: int, end_ns: int) -> tuple[Array, Array] | None:
        """Return times (N,), s after the start, and rates (N, 3) of the samples around an interval.

        None where there is a gap.
        """
        gap_ns = self._options.longest_gap * 1e9
        first = start_ns - gap_ns
        late = takewhile(lambda sample: sample[0] >= first, reversed(self._samples.copy()))
        chosen = [sample for sample in late if sample[0] <= end_ns + gap_ns][::-1]
        if not chosen:
            return None
        stamps = np.array([stamp - start_ns for stamp, _ in chosen], np.float64)
        rates = np.stack([rate for _, rate in chosen])
        end = end_ns - start_ns
        inside = stamps[(stamps > 0) & (stamps < end)]
        before, after = stamps[stamps <= 0], stamps[stamps >= end]
        times = np.concatenate([before[-1:], inside, after[:1]])
        if not len(times):
            return None
        ends = np.concatenate([[min(times[0], 0.0)], times, [max(times[-1], end)]])
        return None if np.diff(ends).max() > gap_ns else (stamps / 1e9, rates)
