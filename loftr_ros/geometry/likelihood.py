"""The likelihood of matches under a model: it scores, refines, finds inliers and gives weights.

A match is right with the probability that its matcher states. The error of a right match is normal
with its own standard deviation, times one scale for the whole image pair; a wrong match lies
anywhere near. With the error e in K dimensions, the standard deviation s sigma, and the length D
over which wrong matches are spread, the density of a match is

    p N(e; s sigma) + (1 - p) D^-K        (1)

the mixture of P. H. S. Torr and A. Zisserman, "MLESAC: A new robust estimator with application to
estimating image geometry", CVIU 2000, with a probability and a deviation of each match's own. The
posterior probability that a match is right weighs it in the refinement (expectation maximization:
A. P. Dempster, N. M. Laird and D. B. Rubin, 1977).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.constants import REACH, SURE
from loftr_ros.geometry.types import Array, Flags

State = TypeVar('State')


MOST_STEPS = 12

_SMALLEST_SCALE = 0.1
_LOG_ROOT_TWO_PI = 0.5 * np.log(2.0 * np.pi)
_SHORTER = (1.0, 0.3, 0.1)
_TOLERANCE = 0.05
"""Steps end where the log-likelihood gains less; one standard deviation away it is 0.5 lower."""
_SETTLED = 0.05


@dataclass(frozen=True, eq=False)
class MatchPrior:
    """What is known about N matches before any model.

    Attributes:
        log_odds: float64 (N,), logarithm of the odds that a match is right.
        sigma: float64 (N,), standard deviation of the query point per axis if it is, px.
        side: Side of a square with the area of the query image, px.
    """

    log_odds: Array
    sigma: Array
    side: float

    @classmethod
    def of(cls, confidence: Array, sigma: Array, side: float) -> MatchPrior:
        """Take the confidence (N,) as the probability to be right."""
        share = np.clip(confidence, 1.0 - SURE, SURE)
        return cls(np.log(share / (1.0 - share)), sigma, side)

    def __len__(self) -> int:
        """Count the matches."""
        return len(self.sigma)

    def given(self, log_ratio: Array) -> MatchPrior:
        """Return the prior after evidence: the logarithms (N,) of its density if a match is right.

        They are relative to the density if it is wrong.
        """
        return replace(self, log_odds=self.log_odds + log_ratio)

    @property
    def reach(self) -> float:
        """D of equation 1, px."""
        return REACH * self.side

    def select(self, chosen: Flags | npt.NDArray[np.int64]) -> MatchPrior:
        """Return that of some of the matches."""
        return MatchPrior(self.log_odds[chosen], self.sigma[chosen], self.side)

    def scaled(self, factor: float) -> MatchPrior:
        """Return the prior with standard deviations `factor` times as large."""
        return replace(self, sigma=factor * self.sigma)

    @property
    def probability(self) -> Array:
        """Probability (N,) that each match is right, as it states itself."""
        return _sigmoid(self.log_odds)

    def posterior(self, squares: Array, dimensions: int, scale: float) -> tuple[Array, Array]:
        """Judge the matches under a model.

        Args:
            squares: (N,), squared errors in units of sigma.
            dimensions: K of the errors.
            scale: s of equation 1.

        Returns:
            The probabilities (N,) that the matches are right, and the logarithms (N,) of their
            densities, relative to those of wrong matches.
        """
        size = np.log(scale * self.sigma / self.reach) + _LOG_ROOT_TWO_PI
        return self.weigh(-0.5 * squares / scale**2 - dimensions * size)

    def weigh(self, log_ratio: Array) -> tuple[Array, Array]:
        """Do the same for densities of right matches relative to wrong ones, as logarithms (N,)."""
        odds = self.log_odds + log_ratio
        # log(1 - p) = -log(1 + odds): what a match of this probability costs if it is wrong.
        return _sigmoid(odds), np.logaddexp(0.0, odds) - np.logaddexp(0.0, self.log_odds)


@dataclass(frozen=True, eq=False)
class Fit(Generic[State]):
    """The most likely model near a start.

    Attributes:
        state: The model.
        errors: float64 (N, K), the errors of each match, in units of its sigma.
        slopes: float64 (N, K, P), their derivatives by the P parameters.
        weights: float64 (N,), the probability that each match is right.
        scale: s of equation 1.
        score: Logarithm of the likelihood, relative to that of wrong matches alone.
    """

    state: State
    errors: Array
    slopes: Array
    weights: Array
    scale: float
    score: float


def maximize(
    evaluate: Callable[[State], tuple[Array, Array]],
    move: Callable[[State, Array], State],
    start: State,
    prior: MatchPrior,
    steps: int = MOST_STEPS,
) -> Fit[State]:
    """Maximize the likelihood of equation 1 over a model and the scale of its errors.

    Args:
        evaluate: Returns errors (N, K), in units of sigma, and their derivatives (N, K, P).
        move: Applies a step (P,) to a model.
        start: Model to start from.
        prior: Of the N matches.
        steps: At most so many.
    """
    fit = _measure(evaluate, start, prior, 1.0)
    for _ in range(steps):
        step, expected = _step(fit)
        for share in _SHORTER:
            candidate = _measure(evaluate, move(fit.state, share * step), prior, fit.scale)
            if candidate.score >= fit.score:
                break
        else:
            candidate = fit
        scaled = _rescaled(candidate, prior)
        settled = abs(np.log(scaled.scale / fit.scale)) < _SETTLED
        stopped = expected < _TOLERANCE or candidate is fit
        fit = scaled
        if stopped and settled:
            break
    return fit


def _measure(
    evaluate: Callable[[State], tuple[Array, Array]], state: State, prior: MatchPrior, scale: float
) -> Fit[State]:
    errors, slopes = evaluate(state)
    weights, gains = prior.posterior(np.sum(errors**2, axis=1), errors.shape[1], scale)
    return Fit(state, errors, slopes, weights, scale, float(gains.sum()))


def _rescaled(fit: Fit[State], prior: MatchPrior) -> Fit[State]:
    squares, dimensions = np.sum(fit.errors**2, axis=1), fit.errors.shape[1]
    total = max(float(fit.weights.sum()), 1e-9)
    scale = float(np.sqrt(fit.weights @ squares / (dimensions * total)))
    # A pair whose errors are larger than stated has more wrong matches, and no more room for them.
    scale = float(np.clip(scale, _SMALLEST_SCALE, 1.0))
    weights, gains = prior.posterior(squares, dimensions, scale)
    return Fit(fit.state, fit.errors, fit.slopes, weights, scale, float(gains.sum()))


def _step(fit: Fit[State]) -> tuple[Array, float]:
    """Return the Gauss-Newton step (P,) and the gain of log-likelihood that it promises."""
    parameters = fit.slopes.shape[2]
    root = np.sqrt(fit.weights)[:, None]
    slopes = (fit.slopes * root[..., None]).reshape(-1, parameters)
    errors = (fit.errors * root).reshape(-1)
    information, gradient = slopes.T @ slopes, slopes.T @ errors
    information.flat[:: parameters + 1] *= 1.0 + 1e-9
    information.flat[:: parameters + 1] += 1e-12
    step = -np.linalg.solve(information, gradient)
    return step, float(-0.5 * gradient @ step) / fit.scale**2


def _sigmoid(odds: Array) -> Array:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * odds)))
