"""Covariance of a robust fit to matches that are not independent of each other.

Two errors of a dense matcher are shared by neighbouring matches: matches of overlapping windows
err together, and what the calibration (or a rolling shutter, or the time stamps) leaves is smooth
over the image. Counting the matches as independent makes the covariance shrink with their number
without limit. Here the image is divided into tiles, and

- the spread of the tiles' summed gradients shows how much the errors within a tile agree
  (a cluster-robust estimate: K.-Y. Liang and S. L. Zeger, "Longitudinal data analysis using
  generalized linear models", 1986). Its ratio to the spread that independent matches would show
  inflates the covariance, as does a residual scale above the expected one; neither deflates it;
- each tile has an error of its own of `smooth_sigma` px, common to all its matches, which no
  number of matches removes: the effective number of matches is at most that of the tiles.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from loftr_ros.geometry.least_squares import Fit, huber_weights
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.types import Array

State = TypeVar('State')


def fit_covariance(fit: Fit[State], pairs: RayPairs, smooth_sigma: float) -> tuple[Array, float]:
    """Compute the covariance of the parameters of a fit.

    Args:
        fit: A fit of P parameters to N matches.
        pairs: These matches.
        smooth_sigma: Standard deviation of the error that a tile's matches share, px.

    Returns:
        float64 (P, P), and the factor by which the variance exceeds that of independent matches
        with the expected errors. Infinite where the matches do not determine the parameters.
    """
    parameters = fit.slopes.shape[2]
    weights = huber_weights(fit.errors / fit.scale)[..., None]
    # Matches in the linear part of the Huber cost hold no curvature.
    core = fit.slopes * (weights >= 1.0)
    information = np.einsum('nkp,nkq->pq', core, core)
    if not np.linalg.cond(_equilibrated(information)) < 1e12:
        return np.full((parameters, parameters), np.inf), np.inf
    inverse = np.linalg.inv(information)

    _, index = np.unique(pairs.tiles, return_inverse=True)
    count = int(index.max()) + 1
    gradients = np.zeros((count, parameters))
    np.add.at(gradients, index, np.sum(weights * fit.slopes * fit.errors[..., None], axis=1))
    few_tiles = count / max(count - parameters, 1)
    agreement = few_tiles * np.trace(inverse @ gradients.T @ gradients) / parameters
    inflation = max(1.0, fit.scale**2, float(agreement))

    shared = np.zeros((count, *core.shape[1:]))
    np.add.at(shared, index, core * (smooth_sigma / pairs.sigma)[:, None, None])
    smooth = inverse @ np.einsum('tkp,tkq->pq', shared, shared) @ inverse
    return inflation * inverse + smooth, inflation


def _equilibrated(information: Array) -> Array:
    size = np.sqrt(np.diag(information))
    with np.errstate(divide='ignore', invalid='ignore'):
        scaled = information / np.outer(size, size)
    return scaled if np.isfinite(scaled).all() else np.zeros_like(information)
