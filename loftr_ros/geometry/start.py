"""First motions from samples of the matches, the surest first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.constants import ENOUGH, SHARP
from loftr_ros.geometry.epipolar import Motion
from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.robust import robust_estimator


def first_motion(pairs: RayPairs, focal_length: float, options: TwoViewOptions) -> Motion | None:
    """Find a motion to start from, by the robust estimator of the options.

    Args:
        pairs: N matches.
        focal_length: Of both cameras, px.
        options: Names the estimator.

    Returns:
        The motion, or None where there is none.
    """
    return _sampled(pairs, surest(pairs), focal_length, options)


def other_motions(pairs: RayPairs, focal_length: float, options: TwoViewOptions) -> list[Motion]:
    """Find motions from more and less certain matches than `first_motion` samples.

    Where few matches agree, the likelihood has several maxima; a start finds the nearest one.

    Args:
        pairs: N matches.
        focal_length: Of both cameras, px.
        options: Names the estimator.
    """
    everyone = np.arange(len(pairs))
    sharp = np.flatnonzero(pairs.sigma < SHARP)
    chosen = [sharp if len(sharp) >= ENOUGH else surest(pairs), everyone]
    found = [_sampled(pairs, one, focal_length, options) for one in chosen]
    return [motion for motion in found if motion is not None]


def _sampled(
    pairs: RayPairs,
    chosen: npt.NDArray[np.int64],
    focal_length: float,
    options: TwoViewOptions,
) -> Motion | None:
    rays = pairs.reference[chosen, :2], pairs.query[chosen, :2]
    estimator = robust_estimator(options.estimator)
    found = estimator.relative_pose(*rays, focal_length, SHARP, options.seed)
    return Motion(*found) if found else None


def surest(pairs: RayPairs) -> npt.NDArray[np.int64]:
    """Return the indices of the matches that are sampled, the surest first.

    Each tile of the image gives its surest one, then each its second, and so on: else an object of
    rich texture would be all that is sampled.
    """
    order = np.argsort(pairs.sigma, kind='stable')
    # Where none is surer than the others, all are taken.
    largest = max(SHARP, float(pairs.sigma[order[:ENOUGH]][-1]))
    order = order[pairs.sigma[order] <= largest]
    tiles = pairs.tiles[order]
    by_tile = np.argsort(tiles, kind='stable')
    first = np.searchsorted(tiles[by_tile], tiles[by_tile])
    rank = np.empty_like(by_tile)
    rank[by_tile] = np.arange(len(by_tile)) - first
    return order[np.argsort(rank, kind='stable')[:ENOUGH]]
