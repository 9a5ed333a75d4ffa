"""First motions from samples of the matches, the surest first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.epipolar import Motion, epipolar_errors
from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.robust import robust_estimator
from loftr_ros.geometry.types import Array

SUREST = 200
"""Matches that are sampled: more find no better start, in more time."""
FEWEST = 100
"""So many are sampled however large their sigma is."""
START_SIGMA = 0.7
"""Sigma of the matches that are sampled, and the error from which one costs no more, px."""
USUAL_SIGMA = 1.0
"""The same for the other starts of pairs that are difficult, px."""
NEAR_LINE = 2.0
"""Distance from the first motion's line of matches that show how much they err, px."""
MOST_UNDERSTATED = 1.5
"""Beyond this factor it is not sigma that is too small: matches of blurred images are spread
evenly, and those near the lines are there by chance."""
ROBUST_SCALE = 1.4826
"""Standard deviation of normal errors, by the median of their sizes."""


def first_motion(pairs: RayPairs, focal_length: float, options: TwoViewOptions) -> Motion | None:
    """Find a motion to start from, by the robust estimator of the options.

    Args:
        pairs: N matches.
        focal_length: Of both cameras, px.
        options: Names the estimator.

    Returns:
        The motion, or None where there is none.
    """
    return _sampled(pairs, surest(pairs), focal_length, START_SIGMA, options)


def other_motions(pairs: RayPairs, focal_length: float, options: TwoViewOptions) -> list[Motion]:
    """Find motions from more and less certain matches than `first_motion` samples.

    Where few matches agree, the likelihood has several maxima; a start finds the nearest one.

    Args:
        pairs: N matches.
        focal_length: Of both cameras, px.
        options: Names the estimator.
    """
    everyone = np.arange(len(pairs))
    usual = np.flatnonzero(pairs.sigma < USUAL_SIGMA)
    chosen = [usual if len(usual) >= FEWEST else surest(pairs), everyone]
    found = [_sampled(pairs, one, focal_length, USUAL_SIGMA, options) for one in chosen]
    return [motion for motion in found if motion is not None]


def _sampled(
    pairs: RayPairs,
    chosen: npt.NDArray[np.int64],
    focal_length: float,
    threshold: float,
    options: TwoViewOptions,
) -> Motion | None:
    rays = pairs.reference[chosen, :2], pairs.query[chosen, :2]
    estimator = robust_estimator(options.estimator)
    found = estimator.relative_pose(*rays, focal_length, threshold, options.seed)
    return Motion(*found) if found else None


def understatement(motion: Motion, pairs: RayPairs, sigma: Array) -> float:
    """Return the factor, 1 to `MOST_UNDERSTATED`, by which the surest matches err too much.

    Weights whose sigma was calibrated on easier images, or never, state too little.

    Args:
        motion: The first motion.
        pairs: N matches.
        sigma: (N,), standard deviation of the query points, px.
    """
    chosen = surest(pairs)
    pairs, sigma = pairs.select(chosen), sigma[chosen]
    errors = np.abs(epipolar_errors(motion, pairs, sigma)[0])
    near = errors * sigma < NEAR_LINE
    if near.sum() < FEWEST // 2:
        return 1.0
    return float(np.clip(ROBUST_SCALE * np.median(errors[near]), 1.0, MOST_UNDERSTATED))


def surest(pairs: RayPairs) -> npt.NDArray[np.int64]:
    """Return the indices of the matches that are sampled, the surest first.

    Each tile of the image gives its surest one, then each its second, and so on: else an object of
    rich texture would be all that is sampled.
    """
    order = np.argsort(pairs.sigma, kind='stable')
    # Where none is surer than the others, all are taken.
    largest = max(START_SIGMA, float(pairs.sigma[order[:FEWEST]][-1]))
    order = order[pairs.sigma[order] <= largest]
    tiles = pairs.tiles[order]
    by_tile = np.argsort(tiles, kind='stable')
    first = np.searchsorted(tiles[by_tile], tiles[by_tile])
    rank = np.empty_like(by_tile)
    rank[by_tile] = np.arange(len(by_tile)) - first
    return order[np.argsort(rank, kind='stable')[:SUREST]]
