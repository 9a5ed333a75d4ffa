"""The doubts that refuse a pose which a model explains: one list, each with its rate of errors.

`benchmarks/poses.py --without NAME` measures what each check removes and what it costs;
docs/poses.md has the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from loftr_ros.geometry.covariance import tile_members
from loftr_ros.geometry.likelihood import INLIER, Fit, MatchPrior
from loftr_ros.geometry.models import Model, motion_model, parallax
from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.pose import Check, PoseState
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.rotations import angle_between, rotation_vector
from loftr_ros.geometry.start import first_motion
from loftr_ros.geometry.types import Array, Flags

AMBIGUITY = 2.33
"""Deviations by which the likelihood of a motion has to exceed that of another one: 1 % of the
pairs of equally good motions are distinguished by chance (one-sided normal)."""
LIKE = np.deg2rad(3.0)
"""Motions whose rotations and directions differ by less are one."""
RIVAL = 0.6
"""Area of the image that follows a second motion, as a share of the first's, from which on nobody
can tell which of the two is that of the scene."""
AGREEMENT = 0.5
"""Share of the matches stated as right that have to agree with a motion. In difficult pairs the
matcher overstates; the poses of those where it does so twice over are as often wrong as right."""
PRECISE = 0.5
"""Sigma below which matches hardly differ in what they tell about the pair, px."""
BLURRED = 1.0
"""Median deviation of the matches of a motion from which on the images are blurred, px; it is 0.1
to 0.6 px in sharp ones."""
CLEAR_PARALLAX = 30.0
"""Median parallax, by that deviation, that tells the motion in spite of it: blur shifts whole parts
of an image alike, by about as much, and no number of matches removes that."""
CHANCE_WIDTH = 6.0
"""Width of the band around an epipolar line in which a wrong match agrees, in units of sigma."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known when a motion is doubted.

    Attributes:
        best: The model that explains the matches best.
        rivals: Other models of a motion.
        pairs: All N matches.
        prior: Of all matches.
        focal_length: px, of both cameras.
        options: Options of the estimate.
    """

    best: Model
    rivals: tuple[Model, ...]
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


def supported(weights: Array, prior: MatchPrior, dimensions: int = 1) -> float:
    """Return the expected number of right matches that agree with a model, beyond chance.

    A wrong match agrees by chance if it lies in the band around its epipolar line, or, where a
    model says where the point is, in a square.

    Args:
        weights: (N,), the probability that each match is right under the model.
        prior: Of the matches.
        dimensions: Of the errors of the model.
    """
    chance = np.minimum(CHANCE_WIDTH * prior.sigma / prior.side, 1.0) ** dimensions
    return float(np.sum(weights - chance))


def agreement(weights: Array, prior: MatchPrior) -> float:
    """Return how many matches are right under a model, as a share of those that state to be.

    Precise matches count most, since a matcher that is precise is rarely wrong: each counts by the
    inverse of its variance and that of `PRECISE`, which all have in common.

    Args:
        weights: (N,), the probability that each match is right under the model.
        prior: Of the matches.
    """
    value = 1.0 / (prior.sigma**2 + PRECISE**2)
    return float(weights @ value / (prior.probability @ value))


def is_blurred(evidence: Evidence) -> bool:
    """Return whether the matches are too inaccurate for the little that points move."""
    best, kept = evidence.best, evidence.best.inliers
    sigma = best.fit.scale * float(np.median(evidence.prior.sigma[kept])) if kept.any() else 0.0
    if sigma < BLURRED or best.method == 'rotation':
        return False
    along, _ = parallax(best.motion, evidence.pairs.select(kept))
    return float(np.nanmedian(np.abs(along))) < CLEAR_PARALLAX * sigma


def is_ambiguous(evidence: Evidence) -> bool:
    """Return whether another motion explains the matches as well.

    Q. H. Vuong, "Likelihood ratio tests for model selection and non-nested hypotheses",
    Econometrica, 1989, with the gains of a tile summed up, since its matches err together.
    """
    best, member = evidence.best, tile_members(evidence.pairs)
    for rival in evidence.rivals:
        if are_alike(best, rival):
            continue
        gains = member @ (best.line_gains - rival.line_gains)
        if float(gains.sum()) < AMBIGUITY * float(np.sqrt(np.sum(gains**2))):
            return True
    return False


def are_alike(one: Model, other: Model) -> bool:
    """Return whether two models are hardly different motions."""
    rotvec = rotation_vector(one.motion.rotation @ other.motion.rotation.T)
    across = angle_between(one.motion.translation, other.motion.translation)
    return max(float(np.linalg.norm(rotvec)), across) < LIKE


def has_second_motion(evidence: Evidence) -> bool:
    """Return whether the other matches support another motion, as those of a large object do."""
    prior, best = evidence.prior, evidence.best
    others = stray(best.fit, best.weights)
    if prior.probability[others].sum() <= evidence.options.min_support:
        return False
    pairs, rest = evidence.pairs.select(others), prior.select(others)
    start = first_motion(pairs, evidence.focal_length, evidence.options)
    if start is None:
        return False
    rival = motion_model(start, pairs, rest).weights
    return rivals(best.weights, rival, others, evidence.pairs, prior, evidence.options)


def stray(fit: Fit[Any], weights: Array) -> Flags:
    """Return which matches (N,) do not follow a model, and are no inaccurate ones of it either."""
    errors = np.sqrt(np.sum(fit.errors**2, axis=1))
    return np.asarray((weights < INLIER) & (errors > CHANCE_WIDTH * fit.scale))


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
    # Wrong matches hit the lines of some motion by chance, but most of them do not.
    if supported(second, rest) < options.min_support or agreement(second, rest) < AGREEMENT:
        return False
    tiles = int(pairs.tiles.max()) + 1
    of_first = np.bincount(pairs.tiles, first, tiles)
    of_second = np.bincount(pairs.tiles[others], second, tiles)
    # An object fills its part of the image; inaccurate matches lie among accurate ones.
    area = np.sum(of_second > of_first), np.sum(of_first >= np.maximum(of_second, INLIER))
    return bool(area[0] >= RIVAL * area[1])


def lacks_support(evidence: Evidence) -> bool:
    """Return whether too few matches agree with the motion beyond chance."""
    return supported(evidence.best.weights, evidence.prior) < evidence.options.min_support


def lacks_agreement(evidence: Evidence) -> bool:
    """Return whether fewer matches agree with the motion than state that they are right."""
    return agreement(evidence.best.weights, evidence.prior) < AGREEMENT


CHECKS = (
    Rule(
        Check.SUPPORT,
        PoseState.LOST,
        'too few matches agree on a motion beyond those that agree by chance',
        lacks_support,
    ),
    Rule(
        Check.AGREEMENT,
        PoseState.LOST,
        'fewer than half of the matches that seem to be right agree on a motion',
        lacks_agreement,
    ),
    Rule(
        Check.BLUR,
        PoseState.DEGENERATE,
        'the matches are too inaccurate, as those of blurred images, for how little points move',
        is_blurred,
    ),
    Rule(
        Check.AMBIGUITY,
        PoseState.DEGENERATE,
        'two different motions explain the matches equally well',
        is_ambiguous,
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
