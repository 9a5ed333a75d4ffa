"""Odometry of the base starts once it is known where its camera stands."""

from __future__ import annotations

import numpy as np
import pytest

from loftr_ros.frontend import BaseOdometry, Odometry, OdometryEstimate, Tracker, TrackingResult
from loftr_ros.geometry.transforms import make_transform
from test.frontend.conftest import STEP_NS, World

BASE_T_CAMERA = make_transform(
    np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.array([0.4, 0.1, 1.2])
)


@pytest.fixture(scope='module')
def results() -> list[TrackingResult]:
    world = World()
    tracker: Tracker[int] = Tracker(world)
    found = [tracker.process(world.frame(index)) for index in range(1, 7)]
    return [result for result in found if result is not None]


def require(estimate: OdometryEstimate | None) -> OdometryEstimate:
    assert estimate is not None
    return estimate


def test_the_camera_is_the_base_unless_said_otherwise(results: list[TrackingResult]) -> None:
    chained, odometry = BaseOdometry(), Odometry()
    for result in results:
        found, expected = require(chained.update(result)), require(odometry.update(result))
        np.testing.assert_array_equal(found.odom_T_base, expected.odom_T_base)
        np.testing.assert_array_equal(found.covariance, expected.covariance)


def test_it_starts_when_the_extrinsics_are_known(results: list[TrackingResult]) -> None:
    known: dict[str, np.ndarray[tuple[int, int], np.dtype[np.float64]]] = {}
    chained, odometry = BaseOdometry(known.get), Odometry(BASE_T_CAMERA)
    assert [chained.update(result) for result in results[:2]] == [None, None]
    assert not chained.started
    known['camera'] = BASE_T_CAMERA
    for result in results[2:]:
        found, expected = require(chained.update(result)), require(odometry.update(result))
        np.testing.assert_array_equal(found.odom_T_base, expected.odom_T_base)
    assert chained.started


def test_the_pose_that_was_set_before_is_where_it_starts(results: list[TrackingResult]) -> None:
    chained = BaseOdometry(lambda _: BASE_T_CAMERA)
    start = make_transform(np.eye(3), np.array([3.0, 4.0, 0.0]))
    chained.set_pose(start, np.zeros((6, 6)))
    odometry = Odometry(BASE_T_CAMERA)
    odometry.reset(start, np.zeros((6, 6)))
    for result in results:
        found, expected = require(chained.update(result)), require(odometry.update(result))
        np.testing.assert_array_equal(found.odom_T_base, expected.odom_T_base)


def test_speeds_that_come_before_the_first_motion_give_it_its_scale(
    results: list[TrackingResult],
) -> None:
    chained = BaseOdometry()
    for index in range(1, 8):
        chained.set_speed(index * STEP_NS, 2.0)
    estimate = [require(chained.update(result)) for result in results][-1]
    assert estimate.metric
    # 2 m/s for the 0.5 s from the first to the last frame.
    np.testing.assert_allclose(np.linalg.norm(estimate.odom_T_base[:3, 3]), 1.0, rtol=0.01)


def test_after_a_reset_nothing_is_known(results: list[TrackingResult]) -> None:
    chained = BaseOdometry()
    chained.set_pose(make_transform(np.eye(3), np.ones(3)), np.zeros((6, 6)))
    chained.set_speed(STEP_NS, 2.0)
    chained.update(results[0])
    chained.reset()
    assert not chained.started
    odometry = Odometry()
    for result in results[1:]:
        found, expected = require(chained.update(result)), require(odometry.update(result))
        assert not found.metric
        np.testing.assert_array_equal(found.odom_T_base, expected.odom_T_base)
