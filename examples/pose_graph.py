"""A pose graph of keyframes on GTSAM: chained as motions come, optimised when a loop is closed.

Plain Python: no ROS here. Covariances are those of loftr_ros (order x y z rx ry rz, fixed axes of
the reference frame; see docs/odometry.md) and are translated to GTSAM's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gtsam
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

KEPT_FRAMES = 1000
"""So many frames are kept, of which a later message may say that they were keyframes."""

_ANCHOR_SIGMA = 1e-4


@dataclass(frozen=True)
class GraphOptions:
    """Options of `PoseGraph`.

    Attributes:
        sigma_factor: All standard deviations are multiplied by this: what the covariances leave
            out, as the normalised error (NEES) of your sequences shows.
        loop_kernel: Width of the Cauchy kernel on loop closures, in standard deviations: a wrong
            loop pulls with less and less weight. 0 for none.
        gap_position_sigma: Standard deviation of the position over a gap in the chain, m.
        gap_rotation_sigma: Standard deviation of the rotation over a gap in the chain, rad.

    Raises:
        ValueError: A field is out of its range.
    """

    sigma_factor: float = 1.0
    loop_kernel: float = 3.0
    gap_position_sigma: float = 10.0
    gap_rotation_sigma: float = 1.0

    def __post_init__(self) -> None:
        """Check all ranges."""
        for name in ('sigma_factor', 'gap_position_sigma', 'gap_rotation_sigma'):
            if not 0 < getattr(self, name) < float('inf'):
                raise ValueError(f'{name} must be positive and finite, not {getattr(self, name)!r}')
        if not 0 <= self.loop_kernel < float('inf'):
            raise ValueError(f'loop_kernel must be 0 or positive, not {self.loop_kernel!r}')


@dataclass(frozen=True, eq=False)
class Motion:
    """A measured pose of the camera at one time in the camera at another.

    Attributes:
        reference_ns: Time of the reference, ns.
        query_ns: Time of the query, ns.
        reference_T_query: float64 (4, 4), m.
        covariance: float64 (6, 6), order x y z rx ry rz about the fixed axes of the reference.

    Raises:
        ValueError: Both times are the same, a number is not finite or the covariance is none.
    """

    reference_ns: int
    query_ns: int
    reference_T_query: Array
    covariance: Array

    def __post_init__(self) -> None:
        """Check what GTSAM would not survive."""
        if self.reference_ns == self.query_ns:
            raise ValueError('reference and query are the same image')
        if not np.isfinite(self.reference_T_query).all():
            raise ValueError('the pose is not finite')
        if not np.isfinite(self.covariance).all():
            raise ValueError('the covariance is not finite')
        if not np.linalg.eigvalsh(self.covariance)[0] > 0:
            raise ValueError('the covariance is not positive definite')


@dataclass(frozen=True)
class LoopClosure:
    """What a loop closure did.

    Attributes:
        reference_ns: Time of the earlier keyframe, ns.
        query_ns: Time of the later one, ns.
        before: Distance between the graph and the measurement when it came, in standard deviations
            of the measurement (root of the Mahalanobis distance).
        after: The same after the last optimisation.
        weight: What the kernel leaves of it, 0 to 1; a small weight is a loop that is not believed.
    """

    reference_ns: int
    query_ns: int
    before: float
    after: float
    weight: float


class PoseGraph:
    """Keyframes and the motions between them.

    A frame becomes a keyframe when a motion refers to it, so nothing but relative poses is needed.
    Poses are `map_T_camera`; the first keyframe stands at `map_T_first`.
    """

    def __init__(
        self, map_T_first: Array | None = None, options: GraphOptions | None = None
    ) -> None:
        """Begin without any keyframe."""
        self._options = options or GraphOptions()
        self._map_T_first = np.eye(4) if map_T_first is None else np.array(map_T_first)
        self._factors = gtsam.NonlinearFactorGraph()
        self._values = gtsam.Values()
        self._keys: dict[int, int] = {}
        self._chained: list[Array] = []
        self._recent: dict[int, Motion] = {}
        self._waiting: list[Motion] = []
        self._loops: list[tuple[Motion, float]] = []
        self.gaps = 0

    def __len__(self) -> int:
        """Return the number of keyframes."""
        return len(self._keys)

    @property
    def stamps(self) -> list[int]:
        """Times of the keyframes in the order in which they became some, ns."""
        return list(self._keys)

    @property
    def poses(self) -> Array:
        """Present poses of the keyframes in the map, float64 (N, 4, 4)."""
        matrices = [self._values.atPose3(key).matrix() for key in range(len(self))]
        return np.array(matrices).reshape(-1, 4, 4)

    @property
    def chained_poses(self) -> Array:
        """What the poses would be without loop closures, float64 (N, 4, 4)."""
        return np.array(self._chained).reshape(-1, 4, 4)

    @property
    def loops(self) -> list[LoopClosure]:
        """All loop closures so far."""
        return [self._describe(loop, before) for loop, before in self._loops]

    def pose(self, stamp_ns: int) -> Array | None:
        """Return the present pose (4, 4) of a keyframe; None for what is none."""
        key = self._keys.get(stamp_ns)
        return None if key is None else np.asarray(self._values.atPose3(key).matrix())

    def add_motion(self, motion: Motion) -> bool:
        """Take note of a frame; what it refers to becomes a keyframe.

        Returns:
            Whether the poses changed by a loop closure that had waited for this frame.
        """
        self._ensure_keyframe(motion.reference_ns)
        self._recent[motion.query_ns] = motion
        if len(self._recent) > KEPT_FRAMES:
            del self._recent[next(iter(self._recent))]
        waiting, self._waiting = self._waiting, []
        closed = [self.add_loop(loop) for loop in waiting]
        return any(closed)

    def add_loop(self, loop: Motion) -> bool:
        """Close a loop between two frames, and optimise.

        Returns:
            Whether it was; a loop that came before its frames waits for them.
        """
        stamps = loop.reference_ns, loop.query_ns
        if not all(stamp in self._keys or stamp in self._recent for stamp in stamps):
            self._waiting = [*self._waiting[-KEPT_FRAMES:], loop]
            return False
        for stamp in stamps:
            self._ensure_keyframe(stamp)
        before = self._distance(loop)
        self._add_factor(loop, self._robust(self._noise(loop)))
        self._loops.append((loop, before))
        self._optimize()
        return True

    def _ensure_keyframe(self, stamp_ns: int) -> None:
        if stamp_ns in self._keys:
            return
        motion = self._recent.get(stamp_ns)
        if motion is not None:
            self._add_keyframe(stamp_ns, motion.reference_ns, motion.reference_T_query)
            self._add_factor(motion, self._noise(motion))
        elif self._keys:
            self._bridge(stamp_ns)
        else:
            self._insert(stamp_ns, self._map_T_first, self._map_T_first)
            anchor = gtsam.noiseModel.Isotropic.Sigma(6, _ANCHOR_SIGMA)
            first = gtsam.Pose3(self._map_T_first)
            self._factors.add(gtsam.PriorFactorPose3(0, first, anchor))

    def _bridge(self, stamp_ns: int) -> None:
        """Go on where the chain is broken: as if the camera stood still, which is uncertain."""
        last_ns = self.stamps[-1]
        rotation, position = self._options.gap_rotation_sigma, self._options.gap_position_sigma
        noise = gtsam.noiseModel.Diagonal.Sigmas(np.repeat([rotation, position], 3))
        self._add_keyframe(stamp_ns, last_ns, np.eye(4))
        keys = self._keys[last_ns], self._keys[stamp_ns]
        self._factors.add(gtsam.BetweenFactorPose3(*keys, gtsam.Pose3(), noise))
        self.gaps += 1

    def _add_keyframe(self, stamp_ns: int, reference_ns: int, reference_T_query: Array) -> None:
        key = self._keys[reference_ns]
        present = self._values.atPose3(key).matrix() @ reference_T_query
        self._insert(stamp_ns, present, self._chained[key] @ reference_T_query)

    def _insert(self, stamp_ns: int, present: Array, chained: Array) -> None:
        key = len(self._keys)
        self._keys[stamp_ns] = key
        self._values.insert(key, gtsam.Pose3(present))
        self._chained.append(chained)

    def _add_factor(self, motion: Motion, noise: Any) -> None:  # noqa: ANN401 - any noise model
        keys = self._keys[motion.reference_ns], self._keys[motion.query_ns]
        measured = gtsam.Pose3(motion.reference_T_query)
        self._factors.add(gtsam.BetweenFactorPose3(*keys, measured, noise))

    def _noise(self, motion: Motion) -> Any:  # noqa: ANN401 - noise models have no common public type
        covariance = covariance_to_gtsam(motion.reference_T_query, motion.covariance)
        return gtsam.noiseModel.Gaussian.Covariance(self._options.sigma_factor**2 * covariance)

    def _robust(self, noise: Any) -> Any:  # noqa: ANN401
        if not self._options.loop_kernel:
            return noise
        return gtsam.noiseModel.Robust.Create(self._kernel(), noise)

    def _kernel(self) -> Any:  # noqa: ANN401
        return gtsam.noiseModel.mEstimator.Cauchy.Create(self._options.loop_kernel)

    def _optimize(self) -> None:
        # Between loops nothing contradicts the chain, so this is all the optimisation there is;
        # batch Levenberg-Marquardt takes milliseconds for the keyframes of a long path.
        optimizer = gtsam.LevenbergMarquardtOptimizer(self._factors, self._values)
        self._values = optimizer.optimize()

    def _distance(self, loop: Motion) -> float:
        reference, query = (
            self._values.atPose3(self._keys[stamp]) for stamp in (loop.reference_ns, loop.query_ns)
        )
        error = gtsam.Pose3(loop.reference_T_query).localCoordinates(reference.between(query))
        return float(np.linalg.norm(self._noise(loop).whiten(error)))

    def _describe(self, loop: Motion, before: float) -> LoopClosure:
        after = self._distance(loop)
        weight = self._kernel().weight(after) if self._options.loop_kernel else 1.0
        return LoopClosure(loop.reference_ns, loop.query_ns, before, after, weight)


def covariance_to_gtsam(a_T_b: Array, covariance: Array) -> Array:
    """Translate the covariance (6, 6) of a pose to GTSAM's.

    Here the error is a step from the estimated to the true pose along the axes of a: R' = exp(r) R,
    t' = t + x, in the order (x, r). GTSAM's is a twist in the moved frame b, rotation first:
    T' = T Exp(w, v), so R' = R exp(w) and t' = t + R v. To first order w = R^T r and v = R^T x.
    """
    by_error = _gtsam_by_ours(a_T_b)
    return _symmetric(by_error @ covariance @ by_error.T)


def covariance_from_gtsam(a_T_b: Array, covariance: Array) -> Array:
    """Translate GTSAM's covariance (6, 6) of a pose, as its `Marginals` return it, to ours."""
    by_error = _gtsam_by_ours(a_T_b).T  # orthogonal
    return _symmetric(by_error @ covariance @ by_error.T)


def _gtsam_by_ours(a_T_b: Array) -> Array:
    matrix = np.zeros((6, 6))
    matrix[:3, 3:] = matrix[3:, :3] = a_T_b[:3, :3].T
    return matrix


def _symmetric(matrix: Array) -> Array:
    return np.asarray((matrix + matrix.T) / 2)
