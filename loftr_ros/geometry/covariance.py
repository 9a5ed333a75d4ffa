"""Covariance of a fit to matches that are not independent of each other.

Two errors of a dense matcher are shared by neighbouring matches: matches of overlapping windows err
together, and what the calibration (or a rolling shutter, or the time stamps) leaves is smooth over
the image. Counting the matches as independent makes the covariance shrink with their number without
limit. Here the image is divided into tiles, and

- each tile has an error of its own of `shared_sigma` px, common to all its matches, which no number
  of matches removes: the effective number of matches is at most that of the tiles. Blur moves
  neighbours alike, so that of matches that are less certain it is the same share;
- the whole image may be distorted smoothly, by a shift, a stretch and a shear along each axis of
  `shared_growth` of the distance that points move each: what time stamps, a rolling shutter and the
  calibration leave grows with the motion, and no tile shows it;
- the spread of the tiles' summed gradients shows how much the errors within a tile agree
  (a cluster-robust estimate: K.-Y. Liang and S. L. Zeger, "Longitudinal data analysis using
  generalized linear models", 1986). Its ratio to the spread that the above would show inflates the
  covariance; it never deflates it. It is measured on as many tiles as hold a right match, so that
  the error of the parameters has a t-distribution with as many degrees of freedom, less the
  parameters: in few tiles the variance is much larger, in seven or fewer there is none.

Where points move hardly more than their noise, the slopes are noisy too, and their squares promise
more than there is to know about the direction of translation. The caller may state how much of them
is noise (the bias of errors in variables: W. A. Fuller, "Measurement error models", 1987).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.constants import SHARP, TILES
from loftr_ros.geometry.likelihood import Fit
from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.types import Array, Flags

_REAL_SHARE = 0.1
"""Of the information in each direction at least this share is no noise."""
_LEAST_DEPTH = 0.1
"""Smallest z of a rotated ray: beyond, it is hardly seen."""
_CONDITION = 1e12
_LEAST_FREEDOM = 2.0
"""Degrees of freedom up to which a t-distribution has no variance."""


def fit_covariance(
    fit: Fit[Any],
    pairs: RayPairs,
    sigma: Array,
    shared_sigma: float,
    slope_noise: Array | None = None,
    common: Array | None = None,
) -> Array:
    """Compute the covariance of the parameters of a fit.

    Args:
        fit: A fit of P parameters to N matches.
        pairs: These matches.
        sigma: float64 (N,), the standard deviations in units of which the fit has its errors, px.
        shared_sigma: Standard deviation of the error that the matches of a tile share, px.
        slope_noise: float64 (N, P, P), what the noise of the points adds to the squared slopes of
            each match; None where it is negligible.
        common: float64 (F, N, K), how each of F distortions of the whole image that may be there
            changes the errors, at their standard deviation; see `common_changes`.

    Returns:
        float64 (P, P); infinite where the matches do not determine the parameters.
    """
    count, _, parameters = fit.slopes.shape
    unknown = np.full((parameters, parameters), np.inf)
    if common is not None and not np.isfinite(common).all():
        return unknown
    weighted = fit.slopes * fit.weights[:, None, None]
    information = weighted.reshape(-1, parameters).T @ fit.slopes.reshape(-1, parameters)
    if not np.linalg.cond(_equilibrated(information)) < _CONDITION:
        return unknown
    noise = None
    if slope_noise is not None:
        noise = fit.scale**2 * np.tensordot(fit.weights, slope_noise, 1)
    inverse = np.linalg.inv(_without(information, noise))

    member = tile_members(pairs)
    shares = shared_sigma / np.minimum(sigma, SHARP)
    shared = member @ (weighted * shares[:, None, None]).reshape(count, -1)
    shared = shared.reshape(-1, parameters)
    expected = fit.scale**2 * information + shared.T @ shared
    gradients = member @ np.sum(weighted * fit.errors[..., None], axis=1)
    # The fit makes the sum over all tiles zero; comparing with `expected` treats all axes alike.
    ratio = np.sum((gradients @ np.linalg.inv(expected)) * gradients)
    held = float(np.minimum(member @ fit.weights, 1.0).sum())
    freedom = held - parameters
    if freedom <= _LEAST_FREEDOM:
        return unknown
    inflation = max(1.0, held / freedom * float(ratio) / parameters)
    inflation *= freedom / (freedom - 2.0)
    covariance = inflation * inverse @ expected @ inverse
    if common is not None:
        steps = inverse @ np.einsum('nkp,fnk->pf', weighted, common)
        covariance = covariance + steps @ steps.T
    return np.asarray((covariance + covariance.T) / 2)


def tile_members(pairs: RayPairs) -> Array:
    """Return which match lies in which tile, float64 (T, N) of 0 and 1, of the T tiles in use."""
    member = np.zeros((TILES * TILES, len(pairs)))
    member[pairs.tiles, np.arange(len(pairs))] = 1.0
    return np.asarray(member[member.any(axis=1)])


def common_changes(
    errors: Callable[[RayPairs], Array], pairs: RayPairs, agreeing: Flags, options: TwoViewOptions
) -> Array:
    """Return how the smooth distortions of an image that moves change the errors of a model.

    Time stamps, a rolling shutter and the calibration leave errors that grow with the motion and
    vary slowly over the image: to first order a shift, a stretch and a shear along each axis.

    Args:
        errors: Computes the errors (N, K) of matches.
        pairs: N matches.
        agreeing: (N,), those that a model explains.
        options: Say how large the distortions are for points that move by 1 rad.

    Returns:
        float64 (6, N, K), the changes by one standard deviation of each; infinite where no match
        agrees, since then nobody knows how far points move.
    """
    query, before = pairs.query[:, :2], errors(pairs)
    if not agreeing.any():
        return np.full((6, *before.shape), np.inf)
    moved = query - pairs.reference[:, :2]
    size = options.shared_growth * float(np.median(np.hypot(*moved[agreeing].T)))
    extent = float(np.sqrt(np.mean(query[agreeing] ** 2)))
    shifts = np.array([errors(pairs.shifted(size * axis)) - before for axis in np.eye(2)])
    forms = np.column_stack([np.ones(len(pairs)), query / extent])
    return np.asarray((forms.T[:, None, :, None] * shifts).reshape(-1, *before.shape))


def is_within(covariance: Array, deviations: npt.ArrayLike) -> bool:
    """Return whether a covariance (P, P) is finite and within the deviations (P,)."""
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


def _equilibrated(information: Array) -> Array:
    size = np.sqrt(np.diag(information))
    with np.errstate(divide='ignore', invalid='ignore'):
        scaled = information / np.outer(size, size)
    return scaled if np.isfinite(scaled).all() else np.zeros_like(information)
