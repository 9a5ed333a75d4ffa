"""What a network claims about its matches is measured, and set right."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from loftr_ros.matching.coarse_matching import CoarseMatches, calibrate
from loftr_ros.training.validation import MatchSamples, fit_confidence, fit_sigma


def samples(count: int, power: float, seed: int = 0) -> MatchSamples:
    """Matches that are close to the truth with the probability confidence ** power."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0, 1, count).astype(np.float32)
    close = rng.uniform(0, 1, count) < confidence**power
    residuals = np.where(close[:, None], [1.0, 1.0], [math.inf, 0.0]).astype(np.float32)
    return MatchSamples(confidence, residuals, np.ones(count, np.float32), np.zeros(count, bool))


@pytest.mark.parametrize('power', [0.6, 1.0, 2.0])
def test_knots_follow_the_share_of_close_matches(power: float) -> None:
    knots = fit_confidence(samples(60_000, power))

    assert knots == pytest.approx(np.linspace(0, 1, 11) ** power, abs=0.06)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 4), st.integers(0, 1000))
def test_knots_rise_from_zero_within_one(power: float, seed: int) -> None:
    knots = fit_confidence(samples(1500, power, seed))

    assert knots[0] == 0
    assert knots[-1] <= 1
    assert (np.diff(knots) >= 0).all()


def test_calibrated_confidence_is_the_share_of_close_matches() -> None:
    knots, fresh = fit_confidence(samples(60_000, 0.4)), samples(60_000, 0.4, seed=1)
    index = torch.arange(len(fresh.confidence))
    matches = CoarseMatches(index, index, index, torch.from_numpy(fresh.confidence))

    stated = calibrate(matches, knots).confidence.numpy()

    for low in np.arange(0.3, 1, 0.1):
        inside = (stated >= low) & (stated < low + 0.1)
        assert np.mean(fresh.errors[inside] < 3) == pytest.approx(stated[inside].mean(), abs=0.04)


def test_too_few_matches_calibrate_nothing() -> None:
    assert fit_confidence(samples(500, 1.0)) == ()


@pytest.mark.parametrize(('scale', 'exponent'), [(1.0, 1.0), (0.6, 2.0), (2.0, 0.5)])
def test_sigma_becomes_the_deviation_of_right_matches(scale: float, exponent: float) -> None:
    rng = np.random.default_rng(2)
    deviation = rng.uniform(0.8, 1.8, 20_000)
    residuals = rng.normal(0, 1, (20_000, 2)) * (scale * deviation**exponent)[:, None]
    residuals[::10] = math.inf
    found = MatchSamples(
        np.ones(20_000, np.float32),
        residuals.astype(np.float32),
        deviation.astype(np.float32),
        np.zeros(20_000, bool),
    )

    assert fit_sigma(found) == pytest.approx((scale, exponent), abs=0.06)
    assert fit_sigma(found.select(found.errors > 100)) == (1, 1)
