"""Covariance of a robust fit to matches that are not independent of each other.

Two errors of a dense matcher are shared by neighbouring matches: matches of overlapping windows
err together, and what the calibration (or a rolling shutter, or the time stamps) leaves is smooth
over the image. Counting the matches as independent makes the covariance shrink with their number
without limit. Here the image is divided into tiles, and

- each tile has an error of its own of `smooth_sigma` px, common to all its matches, which no
  number of matches removes: the effective number of matches is at most that of the tiles. It grows
  by `smooth_growth` of the way that the rotation moves the points: what the calibration leaves is
  the same for near pixels and cancels, and the translation moves them along their epipolar lines,
  where it does no harm. Blur moves neighbours alike, so that of matches which are less certain it
  is the same share;
- the spread of the tiles' summed gradients shows how much the errors within a tile agree
  (a cluster-robust estimate: K.-Y. Liang and S. L. Zeger, "Longitudinal data analysis using
  generalized linear models", 1986). Its ratio to the spread that the above would show inflates the
  covariance where it is larger than chance makes it, as does a residual scale above the expected
  one; neither deflates it.

Where points move hardly more than their noise, the slopes are noisy too, and their squares promise
more than there is to know about the direction of translation. The caller may tell how much of them
is noise (the bias of errors in variables: W. A. Fuller, "Measurement error models", 1987).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.least_squares import Fit, huber_weights
from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.types import Array

State = TypeVar('State')

_REAL_SHARE = 0.1
_SHARP = 0.6
"""The sigma, px, above which neighbours share more than `smooth_sigma`, in proportion to it."""
_LEAST_DEPTH = 0.1
"""Smallest z of a turned ray: beyond, it is hardly seen."""

_CHANCE = 1.5
"""What the ratio of the gradients reaches by chance; with less, growth in one of three estimates
that need none makes all of them too cautious."""


def fit_covariance(
    fit: Fit[State], pairs: RayPairs, shared_sigma: Array, slope_noise: Array | None = None
) -> tuple[Array, float]:
    """Compute the covariance of the parameters of a fit.

    Args:
        fit: A fit of P parameters to N matches.
        pairs: These matches.
        shared_sigma: float64 (N,), standard deviation of the error that the matches share with
            their tile, px; see `shared_deviations`.
        slope_noise: float64 (P, P), what the noise of the points adds to the sum of the squared
            slopes; None where it is negligible.

    Returns:
        float64 (P, P), and the factor by which the tiles' gradients exceed the expected ones.
        Infinite where the matches do not determine the parameters.
    """
    parameters = fit.slopes.shape[2]
    weights = huber_weights(fit.errors / fit.scale)[..., None]
    # Matches in the linear part of the Huber cost hold no curvature.
    core = fit.slopes * (weights >= 1.0)
    information = np.einsum('nkp,nkq->pq', core, core)
    if not np.linalg.cond(_equilibrated(information)) < 1e12:
        return np.full((parameters, parameters), np.inf), np.inf
    inverse = np.linalg.inv(_without(information, slope_noise))

    _, index = np.unique(pairs.tiles, return_inverse=True)
    shares = shared_sigma / np.minimum(pairs.sigma, _SHARP)
    shared = _tile_sums(core * shares[:, None, None], index)
    # The residuals hold the shared errors, too, which have a term of their own.
    own = max(1.0, fit.scale**2 - float(np.median(shares)) ** 2)
    expected = own * information + np.einsum('tkp,tkq->pq', shared, shared)

    gradients = _tile_sums(np.sum(weights * fit.slopes * fit.errors[..., None], axis=1), index)
    few_tiles = len(gradients) / max(len(gradients) - parameters, 1)
    # The fit makes the sum over all tiles zero; comparing with `expected` treats all axes alike.
    ratio = np.einsum('tp,pq,tq->', gradients, np.linalg.inv(expected), gradients)
    inflation = max(1.0, few_tiles * float(ratio) / parameters / _CHANCE)
    return inflation * inverse @ expected @ inverse, inflation


def shared_deviations(pairs: RayPairs, rotation: Array, options: TwoViewOptions) -> Array:
    """Return the standard deviation (N,) of the error that each match shares with its tile, px.

    Args:
        pairs: The matches.
        rotation: (3, 3), that of `reference_T_query`; it moves the points across the image.
        options: The error of points that stay where they are, and its growth.
    """
    turned = pairs.reference @ rotation
    moved = turned[:, :2] / np.maximum(turned[:, 2:], _LEAST_DEPTH) - pairs.reference[:, :2]
    way = np.linalg.norm(np.einsum('nij,nj->ni', pairs.query_scale, moved), axis=1)
    return np.hypot(options.smooth_sigma, options.smooth_growth * way)


def is_within(covariance: Array, deviations: npt.ArrayLike) -> bool:
    """Tell if a covariance (P, P) is finite, and no standard deviation is above its limit (P,)."""
    within = np.diag(covariance) <= np.square(deviations)
    return bool(np.isfinite(covariance).all() and within.all())


def _without(information: Array, noise: Array | None) -> Array:
    """Return the information that is not noise; of each direction at least `_REAL_SHARE` stays."""
    if noise is None:
        return information
    root = np.linalg.cholesky(information)
    half = np.linalg.solve(root, np.linalg.solve(root, noise).T)
    values, vectors = np.linalg.eigh((half + half.T) / 2.0)
    kept = vectors * np.maximum(1.0 - values, _REAL_SHARE) @ vectors.T
    return np.asarray(root @ kept @ root.T)


def _tile_sums(values: Array, index: npt.NDArray[np.int64]) -> Array:
    sums = np.zeros((int(index.max()) + 1, *values.shape[1:]))
    np.add.at(sums, index, values)
    return sums


def _equilibrated(information: Array) -> Array:
    size = np.sqrt(np.diag(information))
    with np.errstate(divide='ignore', invalid='ignore'):
        scaled = information / np.outer(size, size)
    return scaled if np.isfinite(scaled).all() else np.zeros_like(information)
