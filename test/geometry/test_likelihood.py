"""The mixture of right and wrong matches."""

from __future__ import annotations

import numpy as np
import pytest

from loftr_ros.geometry.likelihood import MatchPrior, maximize

SIDE = 500.0


def prior_of(confidence: float, sigma: float = 0.5, count: int = 1) -> MatchPrior:
    return MatchPrior.of(np.full(count, confidence), np.full(count, sigma), SIDE)


@pytest.mark.parametrize(('confidence', 'error'), [(0.2, 1.8), (0.5, 2.45), (0.95, 3.45)])
def test_a_surer_match_may_lie_farther_off(confidence: float, error: float) -> None:
    prior = prior_of(confidence)
    near, _ = prior.posterior(np.array([(error - 0.1) ** 2]), 1, 1.0)
    far, _ = prior.posterior(np.array([(error + 0.1) ** 2]), 1, 1.0)
    assert near[0] > 0.5 > far[0]


def test_the_posterior_follows_bayes() -> None:
    prior = prior_of(0.7)
    normal = np.exp(-0.5 * 1.2**2) / (0.5 * np.sqrt(2 * np.pi))
    right, wrong = 0.7 * normal, 0.3 / prior.reach
    weights, gains = prior.posterior(np.array([1.2**2]), 1, 1.0)
    assert weights[0] == pytest.approx(right / (right + wrong))
    assert gains[0] == pytest.approx(np.log((right + wrong) * prior.reach))


def test_a_match_is_neither_certain_nor_impossible() -> None:
    for confidence in (0.0, 1.0):
        assert 0 < prior_of(confidence).probability[0] < 1


def test_evidence_multiplies_the_odds() -> None:
    given = prior_of(0.5).given(np.array([np.log(3.0)]))
    assert given.probability[0] == pytest.approx(0.75)


@pytest.mark.parametrize('spread', [0.2, 0.5])
def test_a_line_is_found_despite_wrong_points_and_with_the_scale_of_its_errors(
    spread: float,
) -> None:
    rng = np.random.default_rng(0)
    x, sigma = np.linspace(0, 100, 400), 0.5
    y = 2.0 * x + 1.0 + spread * rng.normal(size=400)
    y[::4] = rng.uniform(0, 200, 100)
    slopes = np.stack([x, np.ones(400)], axis=1)[:, None] / sigma

    def evaluate(state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return ((state[0] * x + state[1] - y) / sigma)[:, None], slopes

    start = np.array([2.001, 0.9])
    fit = maximize(evaluate, lambda state, step: state + step, start, prior_of(0.8, sigma, 400))
    np.testing.assert_allclose(fit.state, [2.0, 1.0], atol=0.15)
    assert fit.scale == pytest.approx(spread / sigma, rel=0.15)
    assert fit.weights[::4].mean() < 0.1
    assert fit.weights[1::4].mean() > 0.9
