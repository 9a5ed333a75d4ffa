"""Distances from speeds and from an odometer, and where none is known."""

from __future__ import annotations

import numpy as np
import pytest

from loftr_ros.frontend.distances import DistanceLog

SECOND = 10**9
# Stamps of today do not fit a double.
START = 1_763_800_000_123_456_789


def constant(speed: float, seconds: float) -> DistanceLog:
    log = DistanceLog(0.5)
    for index in range(round(seconds * 10) + 1):
        log.add_speed(START + index * SECOND // 10, speed)
    return log


def test_speed_adds_up_to_distance() -> None:
    log = constant(2.0, 3.0)
    assert log.between(START, START + SECOND) == pytest.approx(2.0)
    assert log.between(START + SECOND // 3, START + SECOND) == pytest.approx(4 / 3)


def test_a_rising_speed_is_integrated_exactly() -> None:
    log = DistanceLog(0.5)
    for index in range(11):
        log.add_speed(START + index * SECOND // 10, 0.3 * index)
    assert log.between(START, START + SECOND) == pytest.approx(0.5 * 3.0)


def test_backwards_is_a_distance_too_and_forth_and_back_is_none() -> None:
    assert constant(-2.0, 1.0).between(START, START + SECOND) == pytest.approx(2.0)
    log = constant(2.0, 1.0)
    for index in range(11, 22):
        log.add_speed(START + index * SECOND // 10, -2.0)
    assert log.between(START, START + 21 * SECOND // 10) == pytest.approx(0.0, abs=1e-9)


def test_an_odometer_counts_from_any_start() -> None:
    log = DistanceLog(0.5)
    for index in range(11):
        log.add_distance(START + index * SECOND // 10, 5000.0 + 0.2 * index)
    assert log.between(START, START + SECOND) == pytest.approx(2.0)


def test_images_may_be_a_little_newer_than_the_last_sample() -> None:
    log = constant(2.0, 1.0)
    assert log.between(START, START + 14 * SECOND // 10) == pytest.approx(2.8)
    late = START + 11 * SECOND // 10
    assert log.between(late, late + SECOND // 5) == pytest.approx(0.4)


def test_where_nothing_was_measured_nothing_is_known() -> None:
    log = constant(2.0, 1.0)
    assert DistanceLog(0.5).between(START, START + SECOND) is None
    assert log.between(START - 1, START + SECOND) is None
    assert log.between(START, START + 2 * SECOND) is None


def test_over_a_gap_nothing_is_known() -> None:
    log = constant(2.0, 1.0)
    log.add_speed(START + 2 * SECOND, 2.0)
    assert log.between(START, START + 2 * SECOND) is None


def test_a_clock_that_jumps_back_starts_over() -> None:
    log = constant(2.0, 1.0)
    log.add_speed(START - 100 * SECOND, 2.0)
    log.add_speed(START - 100 * SECOND + SECOND // 10, 2.0)
    assert log.between(START, START + SECOND) is None
    distance = log.between(START - 100 * SECOND, START - 100 * SECOND + SECOND // 10)
    assert distance == pytest.approx(0.2)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match='speed must be finite'):
        DistanceLog(0.5).add_speed(START, value)
    with pytest.raises(ValueError, match='distance must be finite'):
        DistanceLog(0.5).add_distance(START, value)
