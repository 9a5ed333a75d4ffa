"""Signs that a motion which fits many matches is not that of the scene.

- Right matches lie close to their epipolar lines, and hardly any lie a little farther away. Those
  of blurred images are spread evenly, and the ones within the threshold are there by chance.
- Every part of the image sees the same motion. Where something else moves, where the texture
  repeats or the focal length is wrong, one motion is a compromise, and the matches of one half of
  the image fit another motion far better: the test of G. C. Chow, "Tests of equality between sets
  of coefficients in two linear regressions", Econometrica, 1960, with a robust cost.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.candidates import motion_distances
from loftr_ros.geometry.epipolar import Motion, refine_motion
from loftr_ros.geometry.least_squares import robust_scale
from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.rays import TILES, RayPairs
from loftr_ros.geometry.types import Array, Flags

_USUAL_SIDE = 640
"""Matchers see larger images shrunk to about this size, and err by more of their px."""
_FEWEST = 30
_MOST = 150
_SMALLEST_ERROR = 0.1
"""Distances below this, px, are exact for all that matters."""


def noise_band(size: tuple[int, int], options: TwoViewOptions) -> float:
    """Return how far from the motion right matches may lie in an image (height, width), px."""
    return options.threshold * max(1.0, max(size) / _USUAL_SIDE)


def noise_share(distances: Array, band: float) -> float:
    """Return the standard deviation of the matches near a motion, as a share of the band.

    It is found among all within four bands, since those within one look exact however wide the
    noise is. Wrong matches are anywhere, and hardly any of them lie so near.

    Args:
        distances: (N,), distances of all matches from the motion, px.
        band: Distance from which a match is an outlier, px.
    """
    return robust_scale(distances[distances <= 4.0 * band]) / band


def split_gain(motion: Motion, pairs: RayPairs, band: float, options: TwoViewOptions) -> float:
    """Return by how much the matches of one half of the image fit a motion of their own better.

    Args:
        motion: The motion that was estimated from all matches.
        pairs: All N matches.
        band: Distance from which a match is an outlier, px.
        options: Options of the estimate.

    Returns:
        The largest ratio of the mean truncated squared distances before and after, 1 or more, of
        the left, right, upper and lower half. About 1.1 is what a fit gains from noise.
    """
    shuffled = np.random.default_rng(options.seed).permutation(len(pairs))
    gains = [1.0]
    for half in _halves(pairs.tiles[shuffled]):
        some = shuffled[half][:_MOST]
        if len(some) >= _FEWEST:
            gains.append(_gain(motion, pairs.select(some), band, options))
    return max(gains)


def _halves(tiles: npt.NDArray[np.int64]) -> list[Flags]:
    rows, columns = tiles // TILES, tiles % TILES
    return [flags for axis in (columns, rows) for flags in (axis < TILES // 2, axis >= TILES // 2)]


def _gain(motion: Motion, pairs: RayPairs, band: float, options: TwoViewOptions) -> float:
    distances = motion_distances(motion, pairs, options)
    before = after = _cost(distances, band)
    # A motion of its own may lie farther off than the band at first.
    for reach in (2.0 * band, band):
        near = distances < reach
        if near.sum() < _FEWEST // 2:
            break
        motion = refine_motion(motion, pairs.select(near), options.reference_sigma, 1.0).state
        distances = motion_distances(motion, pairs, options)
        after = min(after, _cost(distances, band))
    return before / after


def _cost(distances: Array, band: float) -> float:
    return float(np.mean(np.minimum(distances, band) ** 2)) + _SMALLEST_ERROR**2
