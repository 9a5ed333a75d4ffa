"""The models that may explain the matches: a rotation alone, or a motion.

Each is refined by the likelihood of its errors, and then scored by the density of the query points
in the image, in which models of different dimension can be compared. A rotation says where a point
is; a motion says only its epipolar line. Along that line a point moves by its parallax, from the
place of a point at infinity on, and right matches have positive depth. Their parallax is taken as
exponentially distributed, with one mean for the pair. So a camera that stands still, far points and
points behind the camera need no rules of their own: P. H. S. Torr, "An assessment of information
criteria for motion model selection", CVPR 1997, with a density along the line in place of a
constant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from loftr_ros.geometry.constants import INLIER, SURE, SURELY
from loftr_ros.geometry.epipolar import Motion, epipolar_errors
from loftr_ros.geometry.homography import (
    decompose,
    fit_homography,
    homography_errors,
    rotation_errors,
)
from loftr_ros.geometry.likelihood import Fit, MatchPrior, maximize
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.rotations import rotation_from_vector
from loftr_ros.geometry.types import Array, Flags

PARAMETERS = {'rotation': 3, 'essential': 6}
"""Unknowns of each model that the matches share; of a motion 5 and the mean parallax."""

_PLANE_ROUNDS = 3
_HALF_GAUSSIAN = np.sqrt(np.pi / 2.0)
_FIRST_STEPS = 4
"""Steps before the sign of the translation is decided: its lines are near their place by then."""
_LEAST_DEPTH = 0.05
"""Smallest z of a rotated unit ray: beyond, the place of a point at infinity is not seen."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """A model of the motion with what it says about N matches.

    Attributes:
        method: 'rotation' or 'essential'.
        motion: Rotation and direction of translation; of a rotation the direction is meaningless.
        fit: Its fit, whose first parameters are those of `Motion.moved`.
        gains: float64 (N,), logarithm of the density of each match in the image, relative to that
            of a wrong match: it chooses between a rotation and a motion.
        line_gains: float64 (N,), the same without the parallax, which is as large as the scene is
            near: it chooses between motions.
        log_parallax: float64 (N,), logarithm of the density of the parallax, by that of a match
            that is wrong.
        weights: float64 (N,), the probability that each match is right.
        distances: float64 (N,), distance of the matches from the model, px.
    """

    method: str
    motion: Motion
    fit: Fit[Motion] | Fit[Array]
    gains: Array
    line_gains: Array
    log_parallax: Array
    weights: Array
    distances: Array

    @property
    def cost(self) -> float:
        """Half the number of parameters times the logarithm of the number of matches (BIC)."""
        found = max(float(self.weights.sum()), 1.0)
        return 0.5 * PARAMETERS[self.method] * float(np.log(found))

    @property
    def evidence(self) -> float:
        """Log-likelihood less the cost of the parameters (G. Schwarz, 1978)."""
        return float(self.gains.sum()) - self.cost

    @property
    def inliers(self) -> Flags:
        """Matches (N,) that are more likely right than wrong."""
        return np.asarray(self.weights >= INLIER)


def motion_model(start: Motion, pairs: RayPairs, prior: MatchPrior) -> Model:
    """Refine a motion by the distances from its epipolar lines."""

    def evaluate(motion: Motion) -> tuple[Array, Array]:
        errors, slopes = epipolar_errors(motion, pairs, prior.sigma)
        return errors[:, None], slopes[:, None]

    fit = maximize(evaluate, Motion.moved, start, prior, _FIRST_STEPS)
    # The sign of a translation moves no epipolar line, but it moves points behind the cameras.
    along, _ = parallax(fit.state, pairs)
    opposite = replace(fit, state=fit.state.reversed())
    forward = _seen_along(fit, along, prior)
    backward = _seen_along(opposite, -along, prior)
    best = forward if forward.line_gains.sum() >= backward.line_gains.sum() else backward
    # A wrong match near its line, but far along it, would outweigh all others.
    fit = maximize(evaluate, Motion.moved, best.motion, prior.given(best.log_parallax))
    return _seen_along(fit, parallax(fit.state, pairs)[0], prior)


def rotation_model(starts: list[Array], pairs: RayPairs, prior: MatchPrior) -> Model:
    """Refine the most likely of some rotations without a translation."""

    def evaluate(rotation: Array) -> tuple[Array, Array]:
        return rotation_errors(rotation, pairs, prior.sigma)

    def move(rotation: Array, step: Array) -> Array:
        return rotation_from_vector(step) @ rotation

    def score(rotation: Array) -> float:
        squares = np.sum(evaluate(rotation)[0] ** 2, axis=1)
        return float(prior.posterior(squares, 2, 1.0)[1].sum())

    fit = maximize(evaluate, move, max(starts, key=score), prior)
    squares = np.sum(fit.errors**2, axis=1)
    weights, gains = prior.posterior(squares, 2, fit.scale)
    motion = Motion(fit.state, np.array([0.0, 0.0, 1.0]))
    return Model(
        method='rotation',
        motion=motion,
        fit=fit,
        gains=gains,
        line_gains=gains,
        log_parallax=np.zeros(len(pairs)),
        weights=weights,
        distances=np.sqrt(squares) * prior.sigma,
    )


def planar_motions(general: Model, pairs: RayPairs, prior: MatchPrior) -> list[Motion]:
    """Return the motions that a plane through the matches of a motion allows: none, or two.

    A plane seen from two places fits two motions (E. Malis and M. Vargas, "Deeper understanding of
    the homography decomposition for vision-based control", INRIA RR-6303, 2007). Where the plane
    does not explain the matches of the motion there are none.
    """
    weights = general.weights
    for _ in range(_PLANE_ROUNDS):
        homography = fit_homography(pairs, weights)
        if homography is None:
            return []
        errors = homography_errors(homography, pairs) / prior.sigma[:, None]
        near = np.sum(errors**2, axis=1) / SURELY**2
        # Cauchy weights: the points beside the plane may be few or many.
        weights = general.weights / (1.0 + near)
    explained = general.inliers & (near < 1.0)
    few = not explained.any() or explained.sum() < INLIER * general.inliers.sum()
    return [] if few or homography is None else decompose(homography, pairs, explained)


def parallax(motion: Motion, pairs: RayPairs) -> tuple[Array, Array]:
    """Split what moves the query points beside the rotation, px.

    Args:
        motion: The motion.
        pairs: N matches.

    Returns:
        float64 (N,), the part along the epipolar line, positive towards nearer points, and float64
        (N,), the part across it. NaN where the point at infinity lies behind the query camera.
    """
    far = pairs.reference @ motion.rotation
    depth = np.where(far[:, 2] > _LEAST_DEPTH, far[:, 2], np.nan)
    place = far[:, :2] / depth[:, None]
    # The derivative of the direction R^T (r - w t) by the inverse depth w.
    nearer = -motion.translation @ motion.rotation
    line = (nearer[:2] - place * nearer[2]) / depth[:, None]
    moved, scale = pairs.query[:, :2] - place, pairs.query_scale
    line = scale[:, :, 0] * line[:, :1] + scale[:, :, 1] * line[:, 1:]
    moved = scale[:, :, 0] * moved[:, :1] + scale[:, :, 1] * moved[:, 1:]
    length = np.maximum(np.hypot(line[:, 0], line[:, 1]), 1e-12)
    along = (moved[:, 0] * line[:, 0] + moved[:, 1] * line[:, 1]) / length
    across = (moved[:, 0] * line[:, 1] - moved[:, 1] * line[:, 0]) / length
    return along, across


def _seen_along(fit: Fit[Motion], along: Array, prior: MatchPrior) -> Model:
    """Score a motion by the density of the query points along and across its epipolar lines."""
    sigma, side = fit.scale * prior.sigma, prior.side
    across = fit.errors[:, 0] / fit.scale
    known = np.isfinite(along)
    along = np.where(known, along, 0.0)
    ahead, behind = np.maximum(along, 0.0), np.minimum(along, 0.0) / sigma
    right = fit.weights * np.exp(-0.5 * behind**2) * known
    mean = float(right @ np.minimum(ahead, side)) / max(float(right.sum()), 1e-9)
    mean = max(mean, float(np.median(sigma)))
    near = np.exp(-ahead / mean - 0.5 * behind**2) / (mean + _HALF_GAUSSIAN * sigma)
    # The parallax of the exceptions is anything, as that of things close to the camera.
    density = SURE * np.where(known, near, 0.0) + (1.0 - SURE) / side
    normal = -0.5 * across**2 - np.log(sigma * np.sqrt(2.0 * np.pi))
    normal += np.log(prior.reach)
    log_parallax = np.log(density * prior.reach)
    weights, gains = prior.weigh(normal + log_parallax)
    _, line_gains = prior.weigh(normal - 0.5 * behind**2)
    distances = np.abs(fit.errors[:, 0]) * prior.sigma
    return Model(
        method='essential',
        motion=fit.state,
        fit=fit,
        gains=gains,
        line_gains=line_gains,
        log_parallax=log_parallax,
        weights=weights,
        distances=distances,
    )
