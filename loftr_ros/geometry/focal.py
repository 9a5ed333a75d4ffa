"""What the matches of two images say about the focal length of their camera.

A wrong focal length bends the motion, and leaves errors that no motion removes. With it as a sixth
parameter of the motion, common to both images, it can be measured where the camera rotates while it
moves, or has a distortion: A. Zisserman, D. Liebowitz and M. Armstrong, "Resolving ambiguities in
auto-calibration", Philosophical Transactions of the Royal Society A, 1998, say when it cannot be.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from loftr_ros.geometry.camera import Camera
from loftr_ros.geometry.constants import FOCAL_SIGMA
from loftr_ros.geometry.covariance import fit_covariance
from loftr_ros.geometry.epipolar import Motion, epipolar_errors
from loftr_ros.geometry.likelihood import Fit
from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.rotations import tangent_basis
from loftr_ros.geometry.types import Array

_STEPS = 3
_LARGEST_STEP = 0.2
_DIFFERENCE = 1e-4
"""Change of the logarithm of the focal length over which the derivative is taken."""
_SMALLEST_SQUARE = 1e-12


@dataclass(frozen=True, eq=False)
class FocalError:
    """How much longer the focal length seems than the calibration says.

    Attributes:
        log_ratio: Natural logarithm of the ratio of the two.
        sigma: Its standard deviation; infinite where the matches say nothing.
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
        chance = (self.sigma**2 + FOCAL_SIGMA**2) / max(self.log_ratio**2, _SMALLEST_SQUARE)
        bend = self.bend * np.repeat([length, 1.0], 3)
        return max(0.0, 1.0 - chance) * np.outer(bend, bend)


def estimate_focal_error(
    motion: Motion,
    points: tuple[Array, Array],
    pairs: RayPairs,
    cameras: tuple[Camera, Camera],
    options: TwoViewOptions,
) -> FocalError | None:
    """Estimate the error of the focal length together with the motion.

    Args:
        motion: The motion that fits the calibration.
        points: (N, 2) px each, reference and query points of the matches that agree with it.
        pairs: Their rays by the calibration.
        cameras: Camera of the reference and of the query image.
        options: Options of the estimate.

    Returns:
        The error, or None where too few matches agree.
    """
    if len(pairs) < options.min_matches:
        return None
    state, log_ratio, seen = motion, 0.0, pairs
    for _ in range(_STEPS):
        errors, slopes = _linearize(state, seen, points, cameras)
        information = slopes.T @ slopes
        if not np.isfinite(information).all():
            return None
        inverse = np.linalg.pinv(information, rcond=1e-12, hermitian=True)
        step = -inverse @ (slopes.T @ errors)
        state = state.moved(step[:5])
        before = log_ratio
        log_ratio += float(np.clip(step[5], -_LARGEST_STEP, _LARGEST_STEP))
        # An error that may be chance counts for nothing: it need not be exact.
        chance = float(np.mean(errors**2)) * inverse[5, 5]
        if abs(log_ratio - before) < FOCAL_SIGMA or log_ratio**2 < chance:
            break
        seen = _seen_with(log_ratio, points, cameras, pairs.sigma)
    scale = float(np.sqrt(np.mean(errors**2)))
    fit = Fit(state, errors[:, None], slopes[:, None], np.ones(len(errors)), scale, 0.0)
    covariance = fit_covariance(fit, seen, pairs.sigma, options.shared_sigma)
    rotvec, shift = np.split(motion.step_to(state), [3])
    bend = np.concatenate([tangent_basis(motion.translation) @ shift, rotvec])
    return FocalError(log_ratio, float(np.sqrt(covariance[5, 5])), bend)


def _linearize(
    motion: Motion, pairs: RayPairs, points: tuple[Array, Array], cameras: tuple[Camera, Camera]
) -> tuple[Array, Array]:
    """Return the errors (N,) at a focal length, and their slopes (N, 6) by motion and focal length.

    The derivative by the logarithm of the focal length is a difference quotient: a longer one has
    the rays of points that lie nearer to the centre.
    """
    errors, slopes = epipolar_errors(motion, pairs, pairs.sigma)
    there = replace(
        pairs,
        reference=_nearer(pairs.reference, pairs.reference_pixel, points[0], cameras[0]),
        query=_nearer(pairs.query, pairs.query_pixel, points[1], cameras[1]),
        query_pixel=pairs.query_pixel * (1.0 - _DIFFERENCE),
    )
    change = (epipolar_errors(motion, there, pairs.sigma)[0] - errors) / _DIFFERENCE
    # Far from the calibrated focal length no ray may reach a point at the border of the image.
    usable = np.isfinite(errors) & np.isfinite(change)
    errors, change = np.where(usable, errors, 0.0), np.where(usable, change, 0.0)
    slopes = np.where(usable[:, None], slopes, 0.0)
    return errors, np.column_stack([slopes, change])


def _nearer(rays: Array, by_pixel: Array, points: Array, camera: Camera) -> Array:
    """Return the rays (N, 3) of points (N, 2) moved towards the centre by `_DIFFERENCE`."""
    shift = _DIFFERENCE * (camera.matrix[:2, 2] - points)
    moved = rays.copy()
    moved[:, :2] += by_pixel[:, :, 0] * shift[:, :1] + by_pixel[:, :, 1] * shift[:, 1:]
    return moved


def _seen_with(
    log_ratio: float, points: tuple[Array, Array], cameras: tuple[Camera, Camera], sigma: Array
) -> RayPairs:
    """Return the matches as cameras with exp(log_ratio) times the focal lengths see them.

    Their rays are those of the calibrated cameras through points that lie nearer to the centre.
    """
    reference = _moved(points[0], cameras[0], log_ratio)
    query = _moved(points[1], cameras[1], log_ratio)
    pairs = RayPairs.from_points(reference, query, *cameras, sigma)
    shrunk = float(np.exp(-log_ratio))
    return replace(
        pairs,
        reference_pixel=shrunk * pairs.reference_pixel,
        query_pixel=shrunk * pairs.query_pixel,
        query_scale=pairs.query_scale / shrunk,
    )


def _moved(points: Array, camera: Camera, log_ratio: float) -> Array:
    """Return points whose rays are those of `points` with another focal length."""
    centre = camera.matrix[:2, 2]
    return np.asarray(centre + (points - centre) * np.exp(-log_ratio))
