"""Rotations of a gyroscope, their covariance, and its bias, against motions that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loftr_ros.frontend.gyroscope import Gyroscope, GyroscopeOptions
from loftr_ros.geometry import RelativePose
from loftr_ros.geometry.rotations import rotation_from_vector, rotation_vector
from loftr_ros.rendering.gyroscope import SimulatedGyroscope

Array = npt.NDArray[np.float64]
SECOND_NS = 1_000_000_000
MOUNTED = rotation_from_vector(np.array([0.3, -1.2, 0.8]))
EXACT = GyroscopeOptions(bias_sigma=0.0, bias_walk=0.0, scale_sigma=0.0, time_sigma=0.0)
VECTORS = st.lists(st.floats(-2.0, 2.0), min_size=3, max_size=3).map(np.array)


def swinging(seconds: float) -> Array:
    """Return the rotation of a camera in hand, (3, 3)."""
    vector = [0.4 * np.sin(2.1 * seconds), 0.3 * np.sin(3.3 * seconds + 1), 0.2 * seconds]
    return rotation_from_vector(np.array(vector))


def path(seconds: float = 10.0) -> tuple[npt.NDArray[np.int64], Array]:
    times = np.arange(0.0, seconds, 0.02)
    stamps = np.rint(times * SECOND_NS).astype(np.int64)
    return stamps, np.stack([swinging(time) for time in times])


def true_rotation(start: float, end: float) -> Array:
    return swinging(start).T @ swinging(end)


def filled(
    simulated: SimulatedGyroscope,
    options: GyroscopeOptions | None = None,
    without: slice = slice(0, 0),
) -> Gyroscope:
    gyroscope = Gyroscope(simulated.camera_R_imu, options)
    stamps, rates = simulated.samples(*path())
    kept = np.delete(np.arange(len(stamps)), without)
    for stamp, rate in zip(stamps[kept].tolist(), rates[kept], strict=True):
        gyroscope.add(stamp, rate)
    return gyroscope


def error_of(gyroscope: Gyroscope, start: float, end: float) -> Array:
    rotation = gyroscope.between(round(start * SECOND_NS), round(end * SECOND_NS))
    assert rotation is not None
    return rotation_vector(true_rotation(start, end) @ rotation.start_R_end.T)


@pytest.mark.parametrize(('start', 'end'), [(1.0, 1.05), (1.0, 2.0), (0.333, 4.777)])
def test_rates_become_the_rotation_of_the_camera(start: float, end: float) -> None:
    gyroscope = filled(SimulatedGyroscope(MOUNTED), EXACT)
    assert np.linalg.norm(error_of(gyroscope, start, end)) < 2e-4


@given(VECTORS)
def test_a_constant_rate_for_a_time_rotates_by_their_product(rate: Array) -> None:
    gyroscope = Gyroscope(np.eye(3), EXACT)
    for stamp in range(0, SECOND_NS, 10_000_000):
        gyroscope.add(stamp, rate)
    rotation = gyroscope.between(100_000_000, 600_000_000)
    assert rotation is not None
    np.testing.assert_allclose(rotation.start_R_end, rotation_from_vector(rate * 0.5), atol=1e-9)
    np.testing.assert_allclose(rotation.rate, rate)


def test_the_covariance_is_that_of_many_gyroscopes() -> None:
    options = replace(EXACT, noise_density=5e-3, bias_sigma=0.02, time_sigma=0.004)
    rng, errors = np.random.default_rng(0), []
    for seed in range(150):
        simulated = SimulatedGyroscope(
            MOUNTED, 0.02 * rng.normal(size=3), 5e-3, 0.004 * rng.normal(), seed=seed
        )
        gyroscope = filled(simulated, options)
        errors.append(error_of(gyroscope, 2.0, 3.0))
    rotation = gyroscope.between(2 * SECOND_NS, 3 * SECOND_NS)
    assert rotation is not None
    inverse = np.linalg.inv(rotation.covariance)
    squared = [error @ inverse @ error for error in errors]
    # A chi-square of three degrees of freedom; the mean of 150 has a deviation of 0.2.
    assert 2.3 < np.mean(squared) < 3.7


def test_the_bias_is_learned_from_rotations_of_the_images() -> None:
    bias = np.array([0.03, -0.02, 0.05])
    gyroscope = filled(SimulatedGyroscope(MOUNTED, bias, 1e-3))
    rng, sigma = np.random.default_rng(1), 1e-3
    for start in np.arange(0.5, 9.0, 0.2):
        seen = rotation_from_vector(sigma * rng.normal(size=3)) @ true_rotation(start, start + 0.2)
        times = round(start * SECOND_NS), round((start + 0.2) * SECOND_NS)
        gyroscope.observe(*times, seen, sigma**2 * np.eye(3))
    error = gyroscope.bias - bias
    assert np.linalg.norm(error) < 4e-3
    assert error @ np.linalg.solve(gyroscope.bias_covariance, error) < 16.3
    assert gyroscope.problem == ''


def test_a_wrong_rotation_of_the_images_hardly_moves_the_bias() -> None:
    gyroscope = filled(SimulatedGyroscope(MOUNTED, noise_density=1e-3))
    for start in range(1, 8):
        times = start * SECOND_NS, start * SECOND_NS + SECOND_NS // 5
        seen = true_rotation(start, start + 0.2)
        gyroscope.observe(*times, seen, 1e-6 * np.eye(3))
    before = gyroscope.bias
    wrong = rotation_from_vector(np.array([0.0, 0.3, 0.0])) @ true_rotation(8.0, 8.2)
    gyroscope.observe(8 * SECOND_NS, 8 * SECOND_NS + SECOND_NS // 5, wrong, 1e-6 * np.eye(3))
    assert np.linalg.norm(gyroscope.bias - before) < 2e-3


def rotation_alone(rotation: Array) -> RelativePose:
    none = np.zeros(0, np.bool_)
    return RelativePose.rotation_only(
        rotation,
        1e-8 * np.eye(3),
        method='homography',
        inliers=none,
        median_residual=0.1,
        reason='-',
    )


def constant(rate: Array, seconds: int = 10) -> Gyroscope:
    gyroscope = Gyroscope(np.eye(3))
    for stamp in range(0, seconds * SECOND_NS, 5_000_000):
        gyroscope.add(stamp, rate)
    return gyroscope


def test_a_camera_that_stands_still_tells_the_bias() -> None:
    bias = np.array([0.01, -0.02, 0.005])
    gyroscope = constant(bias)
    for stamp in range(SECOND_NS // 10, 9 * SECOND_NS, SECOND_NS // 10):
        gyroscope.learn(rotation_alone(np.eye(3)), 0, stamp)
    assert np.linalg.norm(gyroscope.bias - bias) < 2e-3
    assert np.trace(gyroscope.bias_covariance) < 3 * 2e-3**2


def test_what_a_rotation_alone_hides_is_within_the_covariance_of_the_bias() -> None:
    gyroscope = constant(np.zeros(3))
    # A translation that looks like 1 mrad a second.
    for stamp in range(SECOND_NS // 10, 3 * SECOND_NS, SECOND_NS // 10):
        hidden = rotation_from_vector(np.array([0.0, 1e-3 * stamp / SECOND_NS, 0.0]))
        gyroscope.learn(rotation_alone(hidden), 0, stamp)
    error = gyroscope.bias
    assert error @ np.linalg.solve(gyroscope.bias_covariance, error) < 16.3


def test_a_wrong_mounting_is_reported() -> None:
    gyroscope = filled(SimulatedGyroscope(MOUNTED))
    gyroscope.camera_R_imu = np.eye(3)
    for start in np.arange(0.5, 9.0, 0.2):
        times = round(start * SECOND_NS), round((start + 0.2) * SECOND_NS)
        gyroscope.observe(*times, true_rotation(start, start + 0.2), 1e-8 * np.eye(3))
    assert 'is camera_R_imu right' in gyroscope.problem


def test_over_missing_samples_there_is_no_rotation_and_the_gap_is_named() -> None:
    gyroscope = filled(SimulatedGyroscope(MOUNTED), without=slice(400, 440))
    assert gyroscope.between(SECOND_NS, 2 * SECOND_NS - 50_000_000) is not None
    assert gyroscope.missing(SECOND_NS, 2 * SECOND_NS - 50_000_000) == ''
    assert gyroscope.between(SECOND_NS, 3 * SECOND_NS) is None
    assert gyroscope.missing(SECOND_NS, 3 * SECOND_NS) == (
        'no sample of the gyroscope from 1.995 to 2.200 s'
    )
    assert gyroscope.between(20 * SECOND_NS, 21 * SECOND_NS) is None
    assert 'no sample' in gyroscope.missing(20 * SECOND_NS, 21 * SECOND_NS)


def test_the_last_samples_may_come_a_little_late() -> None:
    gyroscope = Gyroscope(np.eye(3), EXACT)
    for stamp in range(0, 200_000_000, 5_000_000):
        gyroscope.add(stamp, [0.0, 0.5, 0.0])
    rotation = gyroscope.between(100_000_000, 220_000_000)
    assert rotation is not None
    np.testing.assert_allclose(rotation_vector(rotation.start_R_end), [0, 0.06, 0], atol=1e-9)
    assert gyroscope.between(100_000_000, 300_000_000) is None


def test_without_its_mounting_there_is_no_rotation() -> None:
    gyroscope = Gyroscope(None)
    gyroscope.add(0, [0.0, 0.0, 0.0])
    assert gyroscope.between(0, 10_000_000) is None
    assert 'not known' in gyroscope.missing(0, 10_000_000)


@pytest.mark.parametrize('rate', [[0.0, np.nan, 0.0], [1.0, 2.0], [np.inf, 0.0, 0.0]])
def test_a_rate_that_is_none_is_refused(rate: list[float]) -> None:
    with pytest.raises(ValueError, match='three finite numbers'):
        Gyroscope().add(0, rate)


def test_late_samples_are_refused_and_a_clock_that_went_back_starts_anew() -> None:
    gyroscope = Gyroscope(np.eye(3))
    for stamp in (10 * SECOND_NS, 10 * SECOND_NS + 5_000_000):
        gyroscope.add(stamp, [0.0, 0.0, 0.1])
    with pytest.raises(ValueError, match='not after the last one'):
        gyroscope.add(10 * SECOND_NS, [0.0, 0.0, 0.1])
    gyroscope.add(2 * SECOND_NS, [0.0, 0.0, 0.1])
    assert gyroscope.between(10 * SECOND_NS, 10 * SECOND_NS + 4_000_000) is None
    assert gyroscope.between(2 * SECOND_NS, 2 * SECOND_NS + 4_000_000) is not None


@pytest.mark.parametrize('name', ['noise_density', 'time_sigma', 'longest_gap'])
def test_options_out_of_their_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        GyroscopeOptions(**{name: -1.0})
