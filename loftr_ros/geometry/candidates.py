"""Models that may explain the matches, each refined on the matches that it explains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from loftr_ros.geometry.epipolar import (
    Motion,
    direction_for,
    in_front,
    refine_motion,
    sampson_distances,
    sampson_errors,
)
from loftr_ros.geometry.homography import (
    decompose,
    refine_plane,
    refine_rotation,
    rotation_errors,
)
from loftr_ros.geometry.least_squares import TOLERANCE, Fit, leverage_factors, robust_scale
from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.types import Array, Flags

Model = TypeVar('Model')

_ROUNDS = 4
_TOLERANCES = (1.0, TOLERANCE, TOLERANCE, TOLERANCE)
_SETTLED = 0.01
_GATE = 3.5
_FEWEST = 8
_LEVERAGE = 10.0
_PLANE_SPREAD = 1.25


@dataclass(frozen=True, eq=False)
class Candidate(Generic[Model]):
    """A model with the matches that it explains.

    Attributes:
        model: The refined model.
        fit: Its fit.
        used: The M matches of the fit, with the sigmas that were used.
        inliers: bool (N,), the matches within the threshold.
        distances: float64 (N,), distance of all matches from the model, px.
        method: 'essential' or 'homography'.
    """

    model: Model
    fit: Fit[Model]
    used: RayPairs
    inliers: Flags
    distances: Array
    method: str


def motion_distances(motion: Motion, pairs: RayPairs, options: TwoViewOptions) -> Array:
    """Return the distances (N,) from the motion in px of the query image.

    With exact reference points this is the distance from the epipolar line.
    """
    distances = sampson_distances(motion, pairs, options.reference_sigma, pairs.sigma)
    return np.asarray(distances * pairs.sigma)


def motion_candidate(
    motion: Motion, pairs: RayPairs, options: TwoViewOptions
) -> Candidate[Motion] | None:
    """Refine a motion on its inliers, and find these again, until hardly any change.

    Inliers are within the threshold, and also within a few of their own standard deviations: one
    wrong match among many exact ones, still within the threshold, would outweigh them.
    """
    distances = motion_distances(motion, pairs, options)
    inliers = distances <= options.threshold
    for tolerance in _TOLERANCES:
        if inliers.sum() < _FEWEST:
            return None
        used = _levelled(motion, pairs.select(inliers), options)
        fit = refine_motion(motion, used, options.reference_sigma, tolerance)
        motion, fitted = fit.state, inliers
        distances = motion_distances(motion, pairs, options)
        inliers = distances <= _gate(fit, pairs, options)
        if tolerance == TOLERANCE and np.sum(inliers != fitted) <= _SETTLED * np.sum(fitted):
            break
    return Candidate(motion, fit, used, fitted, distances, 'essential')


def rotation_candidate(
    starts: list[Array], pairs: RayPairs, options: TwoViewOptions
) -> Candidate[Array] | None:
    """Refine the best of some rotations without translation, in the same way."""
    everything = [rotation_distances(start, pairs) <= options.threshold for start in starts]
    best = int(np.argmax([np.sum(inliers) for inliers in everything]))
    rotation, inliers = starts[best], everything[best]
    for _ in range(_ROUNDS):
        if inliers.sum() < _FEWEST:
            return None
        used = pairs.select(inliers)
        fit = refine_rotation(rotation, used)
        rotation, fitted = fit.state, inliers
        distances = rotation_distances(rotation, pairs)
        inliers = distances <= options.threshold
        if np.sum(inliers != fitted) <= _SETTLED * np.sum(fitted):
            break
    return Candidate(rotation, fit, used, fitted, distances, 'homography')


def far_candidate(
    turned: Candidate[Array], pairs: RayPairs, options: TwoViewOptions
) -> Candidate[Motion] | None:
    """Return the motion whose rotation is that of the points without parallax.

    A scene with far points may also fit a larger rotation with the opposite translation, before
    which all points are near. Estimators that demand positive depths in their score prefer that
    one, since noise throws half of the far points behind the camera.
    """
    if turned.inliers.sum() < options.min_inliers:
        return None
    motion = direction_for(turned.model, pairs, turned.distances, options.threshold, options.seed)
    return motion_candidate(motion, pairs, options)


def planar_candidates(
    homography: Array, explained: Flags, pairs: RayPairs, options: TwoViewOptions
) -> tuple[list[Candidate[Motion]], list[Candidate[Motion]]]:
    """Return the motions that a homography allows: free, and bound to its plane.

    The plane as a constraint is worth about twice the matches, but it would bend the motion of a
    scene that is only nearly flat: see `lies_on_plane`.
    """
    free, bound = [], []
    used = pairs.select(explained)
    for planar in decompose(homography, pairs, explained):
        candidate = motion_candidate(planar.motion, pairs, options)
        if candidate is not None:
            free.append(candidate)
        fit = refine_plane(planar, used)
        distances = motion_distances(fit.state, pairs, options)
        inliers = distances <= _gate(fit, pairs, options)
        bound.append(Candidate(fit.state, fit, used, inliers, distances, 'homography'))
    return free, bound


def lies_on_plane(bound: Candidate[Motion], free: list[Candidate[Motion]]) -> bool:
    """Tell if the matches lie on the plane as well as they do on their epipolar lines."""
    if not free:
        return True
    return _spread(bound.fit) <= _PLANE_SPREAD * min(_spread(candidate.fit) for candidate in free)


def parallax_limit(distances: Array, options: TwoViewOptions) -> float:
    """Return the distance from a mere rotation that counts as parallax, px.

    Args:
        distances: Distances of the inliers from the motion, px: what noise can feign.
        options: Options of the estimate.
    """
    return max(options.min_parallax, 3.0 * robust_scale(distances))


def points_behind(
    candidate: Candidate[Motion], pairs: RayPairs, options: TwoViewOptions
) -> tuple[Flags, Flags]:
    """Return which inliers (N,) show parallax, and which of them lie behind a camera."""
    parallax = rotation_distances(candidate.model.rotation, pairs)
    moving = candidate.inliers & (
        parallax > parallax_limit(candidate.distances[candidate.inliers], options)
    )
    return moving, moving & ~in_front(candidate.model, pairs)


def _spread(fit: Fit[Motion]) -> float:
    """Return the size of the larger errors: the points off a plane may be few."""
    return float(np.quantile(np.abs(fit.errors), 0.9))


def _gate(fit: Fit[Motion], pairs: RayPairs, options: TwoViewOptions) -> Array:
    return np.minimum(options.threshold, _GATE * fit.scale * pairs.sigma)


def _levelled(motion: Motion, pairs: RayPairs, options: TwoViewOptions) -> RayPairs:
    _, slopes = sampson_errors(motion, pairs, options.reference_sigma, pairs.sigma)
    return replace(pairs, sigma=pairs.sigma * leverage_factors(slopes[:, None], _LEVERAGE))


def rotation_distances(rotation: Array, pairs: RayPairs) -> Array:
    """Return the distances (N,) from a mere rotation in px of the query image: the parallax."""
    return np.asarray(np.hypot(*rotation_errors(rotation, pairs)[0].T))
