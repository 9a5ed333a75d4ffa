"""What the matches of two images tell about the focal length of their camera.

A wrong focal length bends the motion, and leaves errors that no motion removes. With it as a sixth
parameter of the motion, common to both images, it can be measured where the camera turns while it
moves, or has a distortion: A. Zisserman, D. Liebowitz and M. Armstrong, "Resolving ambiguities in
auto-calibration", Philosophical Transactions of the Royal Society A, 1998, tell when it cannot be.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from loftr_ros.geometry.camera import Camera
from loftr_ros.geometry.covariance import fit_covariance, shared_deviations
from loftr_ros.geometry.epipolar import Motion, sampson_errors
from loftr_ros.geometry.least_squares import minimize
from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.rotations import tangent_basis
from loftr_ros.geometry.types import Array

MODEL_SIGMA = 0.05
"""Error of one estimate that comes from distortion and shutter, as a share of the focal length. A
frame with little motion promises less."""
_FEWEST = 30
_USEFUL_SIGMA = 0.3
"""An estimate that is less certain than this is not worth its time."""
_SUPPORT = 0.25
_TOLERANCE = 0.1
_LARGEST_STEP = 0.2
_CHANCE = 2.0
"""What the square of the error reaches by chance, in units of its variance."""
_DIFFERENCE = 1e-3
_SMALLEST_SQUARE = 1e-12


@dataclass(frozen=True, eq=False)
class FocalError:
    """How much longer the focal length seems than the calibration says.

    Attributes:
        log_ratio: Natural logarithm of the ratio of the two.
        sigma: Its standard deviation; infinite where the matches tell nothing.
        bend: float64 (6,), how the pose with a translation of length 1 moves with the focal length
            that fits best, x y z rx ry rz, 1 and rad; zero if not known.
    """

    log_ratio: float
    sigma: float
    bend: Array = field(default_factory=lambda: np.zeros(6))

    def covariance(self, length: float = 1.0) -> Array:
        """Return what is uncertain of a pose since the focal length may be wrong.

        It is the square of the bend, less what chance makes of it.

        Args:
            length: Of the translation.

        Returns:
            float64 (6, 6), x y z rx ry rz.
        """
        chance = (self.sigma**2 + MODEL_SIGMA**2) / max(self.log_ratio**2, _SMALLEST_SQUARE)
        bend = self.bend * np.repeat([length, 1.0], 3)
        return max(0.0, 1.0 - _CHANCE * chance) * np.outer(bend, bend)


@dataclass(frozen=True)
class _State:
    motion: Motion
    log_ratio: float

    def moved(self, step: Array) -> _State:
        change = float(np.clip(step[5], -_LARGEST_STEP, _LARGEST_STEP))
        return _State(self.motion.moved(step[:5]), self.log_ratio + change)


def estimate_focal_error(
    motion: Motion,
    reference_points: Array,
    query_points: Array,
    cameras: tuple[Camera, Camera],
    sigma: Array,
    options: TwoViewOptions,
) -> FocalError | None:
    """Estimate the error of the focal length together with the motion.

    Args:
        motion: The motion that fits the calibration.
        reference_points: (N, 2) px, of the matches that agree with it.
        query_points: (N, 2) px.
        cameras: Camera of the reference and of the query image.
        sigma: (N,), standard deviation of the query points per axis, px.
        options: Options of the estimate.

    Returns:
        The error, or None where the matches hardly tell.
    """
    seen = _PairsByFocalLength.of(reference_points, query_points, cameras, sigma)
    if len(seen.pairs) < _FEWEST:
        return None

    def evaluate(state: _State) -> tuple[Array, Array]:
        return _errors(state, seen, options)

    start = _State(motion, 0.0)
    if not _certainty(evaluate(start)[1]) < _USEFUL_SIGMA:
        return None
    fit = minimize(evaluate, _State.moved, start, _TOLERANCE)
    used = seen.at(fit.state.log_ratio)
    shared = shared_deviations(used, fit.state.motion.rotation, options)
    covariance, _ = fit_covariance(fit, used, shared)
    turn, shift = np.split(motion.step_to(fit.state.motion), [3])
    bend = np.concatenate([tangent_basis(motion.translation) @ shift, turn])
    return FocalError(fit.state.log_ratio, float(np.sqrt(covariance[5, 5])), bend)


@dataclass(frozen=True, eq=False)
class _PairsByFocalLength:
    """Matches as cameras of other focal lengths see them.

    A longer focal length shrinks the rays; how it bends them too, where there is a distortion, is
    interpolated between `_SUPPORT` on both sides of the calibrated one.

    Attributes:
        pairs: The matches as the calibrated cameras see them.
        bends: For each field of rays or derivatives what s and s^2 add to it before it shrinks.
    """

    pairs: RayPairs
    bends: dict[str, tuple[Array, Array]]

    @classmethod
    def of(
        cls,
        reference_points: Array,
        query_points: Array,
        cameras: tuple[Camera, Camera],
        sigma: Array,
    ) -> _PairsByFocalLength:
        pairs = RayPairs.from_points(reference_points, query_points, *cameras, sigma)
        if not any(camera.is_distorted for camera in cameras):
            return cls(pairs, {})
        shorter, longer = (
            RayPairs.from_points(
                _moved(reference_points, cameras[0], log_ratio),
                _moved(query_points, cameras[1], log_ratio),
                *cameras,
                sigma,
            )
            for log_ratio in (-_SUPPORT, _SUPPORT)
        )
        # With a shorter focal length no ray may reach a point at the border of the image.
        usable = pairs.usable() & shorter.usable() & longer.usable()
        pairs, shorter, longer = (seen.select(usable) for seen in (pairs, shorter, longer))
        bends = {}
        for name in ('reference', 'query', 'reference_pixel', 'query_pixel'):
            middle = getattr(pairs, name)
            # The derivatives are by the moved points already.
            power = 0.0 if name.endswith('pixel') else _SUPPORT
            low = np.exp(-power) * getattr(shorter, name) - middle
            high = np.exp(power) * getattr(longer, name) - middle
            bends[name] = (high - low) / (2 * _SUPPORT), (high + low) / (2 * _SUPPORT**2)
        return cls(pairs, bends)

    def at(self, log_ratio: float) -> RayPairs:
        """Return the matches with focal lengths exp(log_ratio) times the calibrated ones."""
        shrunk = float(np.exp(-log_ratio))
        fields = {}
        for name in ('reference', 'query', 'reference_pixel', 'query_pixel'):
            values = getattr(self.pairs, name)
            first, second = self.bends.get(name, (0.0, 0.0))
            fields[name] = shrunk * (values + log_ratio * first + log_ratio**2 * second)
        for name in ('reference', 'query'):
            fields[name][:, 2] = 1.0
        return replace(self.pairs, **fields)


def _moved(points: Array, camera: Camera, log_ratio: float) -> Array:
    """Return points whose rays are those of `points` with another focal length."""
    centre = camera.matrix[:2, 2]
    return np.asarray(centre + (points - centre) * np.exp(-log_ratio))


def _errors(
    state: _State, seen: _PairsByFocalLength, options: TwoViewOptions
) -> tuple[Array, Array]:
    """Return the errors (N, 1) and their slopes (N, 1, 6) by motion and focal length."""
    here, there = seen.at(state.log_ratio), seen.at(state.log_ratio + _DIFFERENCE)
    sigmas = options.reference_sigma, here.sigma
    errors, slopes = sampson_errors(state.motion, here, *sigmas)
    change = (sampson_errors(state.motion, there, *sigmas)[0] - errors) / _DIFFERENCE
    return errors[:, None], np.column_stack([slopes, change])[:, None]


def _certainty(slopes: Array) -> float:
    """Return the standard deviation of the last parameter for independent errors."""
    information = np.einsum('nkp,nkq->pq', slopes, slopes)
    inverse = np.linalg.pinv(information, rcond=1e-12, hermitian=True)
    return float(np.sqrt(inverse[-1, -1])) if inverse[-1, -1] > 0 else np.inf
