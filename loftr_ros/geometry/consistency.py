"""Signs that a motion which fits many matches is not that of the scene.

- Right matches lie close to their epipolar lines, and hardly any lie a little farther away. Those
  of blurred images are spread evenly, and the ones within the threshold are there by chance. That
  does not matter where points move much farther than the matches scatter.
- Every part of the image sees the same motion. Where something else moves, where the texture
  repeats or the focal length is wrong, one motion is a compromise, and the matches of one half of
  the image fit another motion far better: the test of G. C. Chow, "Tests of equality between sets
  of coefficients in two linear regressions", Econometrica, 1960, with a robust cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.candidates import motion_distances, rotation_distances
from loftr_ros.geometry.covariance import fit_covariance, shared_deviations
from loftr_ros.geometry.epipolar import Motion, refine_motion
from loftr_ros.geometry.least_squares import robust_scale
from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.rays import TILES, RayPairs
from loftr_ros.geometry.types import Array, Flags

_USUAL_SIDE = 640
"""Matchers see larger images shrunk to about this size, and err by more of their px."""
_FEWEST = 30
_MOST = 240
_CLEAR_RATIO = 30.0
"""A parallax so many times larger than the noise tells the motion in spite of it."""
_CHANCE_GAIN = 20.0
"""What the five parameters of a motion gain from noise in one of a thousand halves, divided by the
number of its matches (chi-square)."""
_CHANCE = 3.0
"""What the squared difference of two motions reaches by chance, per degree of freedom."""
_SMALLEST_ERROR = 0.03
"""Distances below this, px, are exact for all that matters."""
_TAIL = 6.0
"""Where a distance stops to cost more, in units of the scale of all: some matches are wrong, and
shall not hide what precise ones tell."""
_SMALLEST_BAND = 0.3


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


def scatters(motion: Motion, pairs: RayPairs, band: float, options: TwoViewOptions) -> bool:
    """Tell if the matches scatter too widely about the motion for what parallax there is.

    Args:
        motion: The motion that was estimated.
        pairs: All N matches.
        band: Distance from which a match is an outlier, px.
        options: Options of the estimate.
    """
    distances = motion_distances(motion, pairs, options)
    share = noise_share(distances, band)
    parallax = rotation_distances(motion.rotation, pairs)[distances <= band]
    return share > options.max_noise and float(np.median(parallax)) < _CLEAR_RATIO * share * band


@dataclass(frozen=True)
class SplitTest:
    """How the motions that halves of the image fit best differ from that of all.

    Attributes:
        gain: Largest ratio of the mean truncated squared distances of a half from the motion of all
            and from its own, less what a fit gains from noise, 1 or more.
        inflation: Factor by which the covariance has to grow to explain how much the motions of
            opposite halves differ, 1 or more: errors that neighbours share over half of the image.
        smallest_share: Smallest share of the matches of a half within the band of the motion of
            all, 0..1; 1 where no half has matches enough to tell.
    """

    gain: float
    inflation: float
    smallest_share: float


def split_test(motion: Motion, pairs: RayPairs, band: float, options: TwoViewOptions) -> SplitTest:
    """Compare the motion of all matches with those of the left, right, upper and lower half.

    Args:
        motion: The motion that was estimated from all matches.
        pairs: All N matches.
        band: Distance from which a match is an outlier, px.
        options: Options of the estimate.
    """
    distances = motion_distances(motion, pairs, options)
    scale = robust_scale(distances[distances <= band])
    bands = band, float(np.clip(_TAIL * scale, min(_SMALLEST_BAND, band), band))
    shuffled = np.random.default_rng(options.seed).permutation(len(pairs))
    gains, shares, excesses = [1.0], [1.0], []
    for both in _halves(pairs.tiles[shuffled]):
        sides = [
            _fit_half(motion, pairs.select(shuffled[half][:_MOST]), bands, options) for half in both
        ]
        found = [side for side in sides if side is not None]
        gains += [side.gain for side in found]
        shares += [side.share for side in found]
        if len(found) == len(sides):
            one, other = found
            step = motion.step_to(one.motion) - motion.step_to(other.motion)
            excesses.append(excess(step, one.covariance + other.covariance))
    inflation = max(1.0, float(np.mean(excesses))) if excesses else 1.0
    return SplitTest(max(gains), inflation, min(shares))


@dataclass(frozen=True, eq=False)
class _Half:
    motion: Motion
    covariance: Array
    gain: float
    share: float


def excess(difference: Array, covariance: Array) -> float:
    """Return how far the difference of two motions (P,) exceeds what noise may make of it.

    Args:
        difference: float64 (P,), a step from one motion to the other.
        covariance: float64 (P, P), that of the step; where it is infinite nothing is exceeded.
    """
    if not np.isfinite(covariance).all():
        return 1.0
    square = float(difference @ np.linalg.solve(covariance, difference))
    return square / (len(difference) * _CHANCE)


def _halves(tiles: npt.NDArray[np.int64]) -> list[tuple[Flags, Flags]]:
    rows, columns = tiles // TILES, tiles % TILES
    return [(axis < TILES // 2, axis >= TILES // 2) for axis in (columns, rows)]


def _fit_half(
    start: Motion, pairs: RayPairs, bands: tuple[float, float], options: TwoViewOptions
) -> _Half | None:
    """Fit a motion of its own to the matches of a half; None with too few of them.

    Args:
        start: The motion of all.
        pairs: Of the half.
        bands: Distance from which a match is an outlier, and from which it costs no more, px.
        options: Options of the estimate.
    """
    if len(pairs) < _FEWEST:
        return None
    band, tail = bands
    motion, distances = start, motion_distances(start, pairs, options)
    before = after = _cost(distances, tail)
    share = float(np.mean(distances < band))
    best, covariance = None, np.full((5, 5), np.inf)
    # A motion of its own may lie farther off than the band at first.
    for reach in (2.0 * band, band):
        near = distances < reach
        if near.sum() < _FEWEST // 2:
            break
        used = pairs.select(near)
        fit = refine_motion(motion, used, options.reference_sigma, 1.0)
        distances = motion_distances(fit.state, pairs, options)
        cost = _cost(distances, tail)
        if cost <= after:
            after, best = cost, (fit, used)
        motion = fit.state
    if best is None:
        return _Half(start, covariance, 1.0, share)
    fit, used = best
    shared = shared_deviations(used, fit.state.rotation, options)
    covariance, _ = fit_covariance(fit, used, shared)
    gain = before / after - _CHANCE_GAIN / len(pairs)
    return _Half(fit.state, covariance, max(1.0, gain), share)


def _cost(distances: Array, band: float) -> float:
    return float(np.mean(np.minimum(distances, band) ** 2)) + _SMALLEST_ERROR**2
