"""The doubts that refuse a pose which a model explains: one list, each with its rate of errors.

`benchmarks/poses.py --without NAME` measures what each check removes and what it costs;
docs/poses.md has the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.constants import BLURRED, CLEAR_PARALLAX, INLIER, RIVAL, SURELY
from loftr_ros.geometry.likelihood import Fit, MatchPrior
from loftr_ros.geometry.models import Model, motion_model, parallax
from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.pose import Check, PoseState
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.start import first_motion
from loftr_ros.geometry.types import Array, Flags


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known when a motion is doubted.

    Attributes:
        best: The model that explains the matches best.
        pairs: All N matches.
        prior: Of all matches.
        focal_length: px, of both cameras.
        options: Options of the estimate.
    """

    best: Model
    pairs: RayPairs
    prior: MatchPrior
    focal_length: float
    options: TwoViewOptions


@dataclass(frozen=True)
class Rule:
    """A doubt about a motion.

    Attributes:
        check: Its code and name.
        state: What the estimate is if the doubt holds.
        reason: Why the pose is refused, for people.
        holds: Whether the doubt holds.
    """

    check: Check
    state: PoseState
    reason: str
    holds: Callable[[Evidence], bool]


def support(weights: Array, prior: MatchPrior, dimensions: int = 1) -> float:
    """Return how many right matches a model has, and how united the matches are about it.

    It is the expected number S of right matches that agree beyond chance, times their share a of
    those that state to be right. With C of these, S a is about S^2 / C: the square of S in standard
    deviations of what chance makes agree, which grows with the root of C.

    Args:
        weights: (N,), the probability that each match is right under the model.
        prior: Of the matches.
        dimensions: Of the errors of the model.
    """
    beyond = supporters(weights, prior, dimensions)
    return beyond * min(agreement(weights, prior), 1.0)


def supporters(weights: Array, prior: MatchPrior, dimensions: int = 1) -> float:
    """Return the expected number of right matches that agree with a model, beyond chance.

    A wrong match agrees by chance if it lies in the band around its epipolar line, or, where a
    model says where the point is, in a square.
    """
    chance = np.minimum(2.0 * SURELY * prior.sigma / prior.side, 1.0) ** dimensions
    return float(np.sum(weights - chance))


def agreement(weights: Array, prior: MatchPrior) -> float:
    """Return how many matches are right under a model, as a share of those that state to be.

    Precise matches count most, since a matcher that is precise is rarely wrong: each counts by the
    inverse of its variance.

    Args:
        weights: (N,), the probability that each match is right under the model.
        prior: Of the matches.
    """
    value = 1.0 / prior.sigma**2
    return float(weights @ value / (prior.probability @ value))


def is_blurred(evidence: Evidence) -> bool:
    """Return whether the matches are too inaccurate for the little that points move."""
    best, kept = evidence.best, evidence.best.inliers
    sigma = best.fit.scale * float(np.median(evidence.prior.sigma[kept])) if kept.any() else 0.0
    if sigma < BLURRED or best.method == 'rotation':
        return False
    along, _ = parallax(best.motion, evidence.pairs.select(kept))
    return float(np.nanmedian(np.abs(along))) < CLEAR_PARALLAX * sigma


def has_second_motion(evidence: Evidence) -> bool:
    """Return whether the other matches support another motion, as those of a large object do."""
    prior, best = evidence.prior, evidence.best
    others = stray(best.fit, best.weights)
    least = evidence.options.min_support
    if prior.probability[others].sum() <= least or not may_rival(
        best.weights, others, evidence.pairs
    ):
        return False
    pairs, rest = evidence.pairs.select(others), prior.select(others)
    start = first_motion(pairs, evidence.focal_length, evidence.options)
    if start is None:
        return False
    rival = motion_model(start, pairs, rest).weights
    return rivals(best.weights, rival, others, evidence.pairs, prior, evidence.options)


def may_rival(first: Array, others: Flags, pairs: RayPairs) -> bool:
    """Return whether the stray matches would cover enough of the image if they had one motion.

    Args:
        first: (N,), the probability that each match is right under the first motion.
        others: (N,), the matches that do not follow it.
        pairs: All N matches.
    """
    tiles = int(pairs.tiles.max()) + 1
    of_first = np.bincount(pairs.tiles, first, tiles)
    return _covers(of_first, np.bincount(pairs.tiles[others], minlength=tiles))


def stray(fit: Fit[Any], weights: Array) -> Flags:
    """Return which matches (N,) do not follow a model, and are no inaccurate ones of it either."""
    errors = np.sqrt(np.sum(fit.errors**2, axis=1))
    return np.asarray((weights < INLIER) & (errors > 2.0 * SURELY * fit.scale))


def rivals(
    first: Array,
    second: Array,
    others: Flags,
    pairs: RayPairs,
    prior: MatchPrior,
    options: TwoViewOptions,
) -> bool:
    """Return whether a second motion covers so much that either may be that of the scene.

    What counts is the area and not the number of matches: a texture that is rich has more of them.

    Args:
        first: (N,), the probability that each match is right under the first motion.
        second: (M,), the same under the second one, of the matches that do not follow the first.
        others: (N,), which these are.
        pairs: All N matches.
        prior: Of all matches.
        options: Say what is support enough.
    """
    rest = prior.select(others)
    if support(second, rest) < options.min_support or agreement(second, rest) < INLIER:
        return False
    tiles = int(pairs.tiles.max()) + 1
    of_first = np.bincount(pairs.tiles, first, tiles)
    return _covers(of_first, np.bincount(pairs.tiles[others], second, tiles))


def _covers(of_first: npt.NDArray[Any], of_second: npt.NDArray[Any]) -> bool:
    """Compare the areas of two motions, by the right matches (T,) of each in each tile."""
    # An object fills its part of the image; inaccurate matches lie among accurate ones.
    area = np.sum(of_second > of_first), np.sum(of_first >= np.maximum(of_second, INLIER))
    return bool(area[0] >= RIVAL * area[1])


def lacks_support(evidence: Evidence) -> bool:
    """Return whether chance may have made the matches agree with the motion."""
    return support(evidence.best.weights, evidence.prior) < evidence.options.min_support


CHECKS = (
    Rule(
        Check.SUPPORT,
        PoseState.LOST,
        'too few of the matches that seem to be right agree on a motion',
        lacks_support,
    ),
    Rule(
        Check.BLUR,
        PoseState.DEGENERATE,
        'the matches are too inaccurate, as those of blurred images, for how little points move',
        is_blurred,
    ),
    Rule(
        Check.SECOND_MOTION,
        PoseState.DEGENERATE,
        'the matches follow two motions, and either may be that of the scene',
        has_second_motion,
    ),
)


def doubt(evidence: Evidence) -> Rule | None:
    """Return the first check that refuses the motion; None if all of them believe it."""
    for rule in CHECKS:
        if rule.check.label not in evidence.options.without and rule.holds(evidence):
            return rule
    return None
