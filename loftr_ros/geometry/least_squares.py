"""Robust nonlinear least squares, and the covariance of its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from loftr_ros.geometry.types import Array

State = TypeVar('State')

HUBER = 2.5
"""Errors beyond so many standard deviations count linearly instead of squared."""

_LEVERAGE_ROUNDS = 8
_STEPS = 20
TOLERANCE = 0.01
"""Steps end where they lower the cost by less; one standard deviation away it is 0.5 higher."""


@dataclass(frozen=True)
class Fit(Generic[State]):
    """A minimum.

    Attributes:
        state: What was fitted.
        errors: float64 (N, K), the errors of each match, in standard deviations.
        slopes: float64 (N, K, P), their derivatives by the P parameters.
        scale: Factor by which the errors exceed the expected ones, at least 1.
    """

    state: State
    errors: Array
    slopes: Array
    scale: float


def minimize(
    evaluate: Callable[[State], tuple[Array, Array]],
    move: Callable[[State, Array], State],
    start: State,
    tolerance: float = TOLERANCE,
) -> Fit[State]:
    """Minimize the Huber cost of errors by the Levenberg-Marquardt method.

    Args:
        evaluate: Returns errors (N, K), in standard deviations, and their derivatives (N, K, P).
        move: Applies a step (P,) to a state.
        start: State to start from.
        tolerance: Gain of cost below which the steps end.
    """
    state = start
    errors, slopes = evaluate(state)
    scale = max(1.0, robust_scale(errors))
    cost, damping = _huber_cost(errors / scale), 1e-4
    for _ in range(_STEPS):
        step = _solve_step(errors, slopes, scale, damping)
        candidate = move(state, step)
        new_errors, new_slopes = evaluate(candidate)
        new_cost = _huber_cost(new_errors / scale)
        if not new_cost < cost:
            damping *= 10.0
            if damping > 1e6 or np.abs(step).max() < 1e-12:
                break
            continue
        gain = cost - new_cost
        state, errors, slopes = candidate, new_errors, new_slopes
        # The scale at the start holds the error of the start.
        scale = min(scale, max(1.0, robust_scale(errors)))
        cost = _huber_cost(errors / scale)
        damping = max(damping / 10.0, 1e-9)
        if gain < tolerance:
            break
    return Fit(state, errors, slopes, max(1.0, robust_scale(errors)))


def robust_scale(errors: Array) -> float:
    """Return the standard deviation of normal errors with the same median as these."""
    return 1.4826 * float(np.median(np.abs(errors))) if errors.size else 0.0


def leverage_factors(slopes: Array, largest: float) -> Array:
    """Return factors (N,) >= 1 of sigmas with which no match decides much by itself.

    The leverage of a match is its share in the information on the parameters; the shares sum up to
    the number of parameters. A wrong match that moves far can hold nearly all of it, and then fits
    perfectly. (C. L. Mallows, "On some topics in robustness", 1975.)

    Args:
        slopes: (N, K, P), as `Fit.slopes`.
        largest: Largest leverage that a match may have, in units of the mean leverage.
    """
    squares = np.ones(len(slopes))
    limit = largest * slopes.shape[2] / len(slopes)
    for _ in range(_LEVERAGE_ROUNDS):
        scaled = slopes / np.sqrt(squares)[:, None, None]
        information = np.einsum('nkp,nkq->pq', scaled, scaled)
        leverage = np.sum(
            (scaled @ np.linalg.pinv(information, hermitian=True)) * scaled, axis=(1, 2)
        )
        squares *= np.maximum(leverage / limit, 1.0)
        if leverage.max() < 1.5 * limit:
            break
    return np.asarray(np.sqrt(squares))


def huber_weights(errors: Array) -> Array:
    """Return the weights (N, 1) of errors (N, K)."""
    size = np.sqrt(np.sum(errors**2, axis=1, keepdims=True))
    return np.asarray(HUBER / np.maximum(size, HUBER))


def _huber_cost(errors: Array) -> float:
    size = np.sqrt(np.sum(errors**2, axis=1))
    return float(np.sum(np.where(size < HUBER, 0.5 * size**2, HUBER * (size - 0.5 * HUBER))))


def _solve_step(errors: Array, slopes: Array, scale: float, damping: float) -> Array:
    weighted = slopes * huber_weights(errors / scale)[..., None]
    normal = np.einsum('nkp,nkq->pq', weighted, slopes)
    gradient = np.einsum('nkp,nk->p', weighted, errors)
    damped = normal + np.diag(damping * np.diag(normal) + 1e-12)
    return -np.asarray(np.linalg.solve(damped, gradient))
