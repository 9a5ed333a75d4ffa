"""Figures of merit agree with values computed by hand and keep their properties."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from loftr_ros.evaluation.records.metrics import (
    direction_angle_error,
    disparity_errors,
    epipolar_distances,
    pose_auc,
    pose_error,
    precision,
    rotation_angle_error,
)
from loftr_ros.geometry import Camera
from loftr_ros.geometry.transforms import inverse_transform, make_transform

CAMERA = Camera(640, 480, np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]))
angles = st.floats(-180, 180)
error_lists = st.lists(st.floats(0, 40) | st.just(float('inf')), min_size=1, max_size=30)
vectors = arrays(np.float64, 3, elements=st.floats(-5, 5)).filter(
    lambda v: float(np.linalg.norm(v)) > 1e-3
)


def about_y(degrees: float) -> npt.NDArray[np.float64]:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def make_pose(degrees: float, translation: list[float]) -> npt.NDArray[np.float64]:
    return make_transform(about_y(degrees), np.array(translation))


@given(angles, angles)
def test_the_rotation_error_is_the_angle_between(first: float, second: float) -> None:
    difference = abs((first - second + 180) % 360 - 180)
    error = rotation_angle_error(about_y(first), about_y(second))
    assert error == pytest.approx(difference, abs=1e-6)


def test_tiny_rotations_are_measured_exactly() -> None:
    assert rotation_angle_error(about_y(1e-7), np.eye(3)) == pytest.approx(1e-7, rel=1e-6)


def test_the_direction_error_ignores_length() -> None:
    x, y = np.array([2.0, 0, 0]), np.array([0, 0.5, 0])
    assert direction_angle_error(x, y) == pytest.approx(90)
    assert direction_angle_error(x, -x) == pytest.approx(180)


def test_no_translation_has_no_direction() -> None:
    assert np.isnan(direction_angle_error(np.zeros(3), np.ones(3)))


@given(vectors, vectors, st.floats(0.1, 9))
def test_the_direction_error_is_symmetric(
    first: npt.NDArray[Any], second: npt.NDArray[Any], scale: float
) -> None:
    error = direction_angle_error(first, second)
    assert 0 <= error <= 180
    assert direction_angle_error(second * scale, first) == pytest.approx(error, abs=1e-6)


def test_the_pose_error_is_the_greater_angle() -> None:
    true = make_pose(0, [1, 0, 0])
    assert pose_error(make_pose(3, [1, 0, 0]), true) == pytest.approx(3)
    assert pose_error(make_pose(3, [1, 1, 0]), true) == pytest.approx(45)


def test_the_pose_error_leaves_the_sign_of_the_direction_open() -> None:
    assert pose_error(make_pose(3, [-9, 0, 0]), make_pose(0, [1, 0, 0])) == pytest.approx(3)


def test_no_estimate_and_no_direction_are_infinitely_wrong() -> None:
    true = make_pose(0, [1, 0, 0])
    assert pose_error(None, true) == np.inf
    assert pose_error(make_pose(0, [0, 0, 0]), true) == np.inf


def test_the_auc_of_one_error() -> None:
    # Recall rises from (0, 0) to (2, 1) and stays: (2 / 2 + 3) / 5 and (1 + 8) / 10.
    assert pose_auc([2.0], [5, 10]) == pytest.approx([0.8, 0.9])


def test_the_auc_of_three_errors() -> None:
    # Points (0, 0), (1, 1/3), (4, 2/3), then level to 5: 1/6 + 3/2 + 2/3 = 7/3, over 5.
    assert pose_auc([4.0, np.inf, 1.0], [5]) == pytest.approx([7 / 15])


def test_the_auc_without_a_good_estimate_is_zero() -> None:
    assert pose_auc([np.inf, np.nan, 30.0]) == [0, 0, 0]
    assert np.isnan(pose_auc([])).all()


def reference_auc(errors: list[float], thresholds: tuple[float, ...]) -> list[float]:
    """Compute the area as the code published with SuperGlue does."""
    values = np.array(sorted(errors))
    recall = (np.arange(len(values)) + 1) / len(values)
    values, recall = np.r_[0.0, values], np.r_[0.0, recall]
    areas = []
    for threshold in thresholds:
        last = np.searchsorted(values, threshold)
        r = np.r_[recall[:last], recall[last - 1]]
        e = np.r_[values[:last], threshold]
        areas.append(sum((e[1:] - e[:-1]) * (r[1:] + r[:-1]) / 2) / threshold)
    return areas


@given(error_lists)
def test_the_auc_is_that_of_superglue(errors: list[float]) -> None:
    assert pose_auc(errors) == pytest.approx(reference_auc(errors, (5.0, 10.0, 20.0)))


@given(error_lists, st.randoms())
def test_the_auc_is_a_share_and_knows_no_order(errors: list[float], random: Any) -> None:  # noqa: ANN401
    areas = pose_auc(errors)
    assert all(0 <= area <= 1 for area in areas)
    random.shuffle(errors)
    assert pose_auc(errors) == pytest.approx(areas)


@given(error_lists, st.floats(0, 1))
def test_smaller_errors_never_lower_the_auc(errors: list[float], factor: float) -> None:
    smaller = pose_auc([error * factor if np.isfinite(error) else error for error in errors])
    assert all(a >= b - 1e-12 for a, b in zip(smaller, pose_auc(errors), strict=True))


def test_the_epipolar_distance_of_a_sideways_motion_is_vertical() -> None:
    left, right = np.array([[100.0, 200.0]]), np.array([[60.0, 203.0]])
    distances = epipolar_distances(left, right, CAMERA, CAMERA, make_pose(0, [1, 0, 0]))
    assert distances == pytest.approx([3.0])


@given(
    arrays(np.float64, (5, 3), elements=st.floats(-1, 1)),
    st.floats(-20, 20),
    arrays(np.float64, 2, elements=st.floats(-0.3, 0.3)).map(lambda yz: np.array([1.0, *yz])),
)
def test_true_matches_lie_on_their_lines_and_order_does_not_matter(
    points: npt.NDArray[Any], degrees: float, translation: npt.NDArray[Any]
) -> None:
    reference_T_query = make_transform(about_y(degrees), translation)
    world = points + np.array([0, 0, 5])
    query_T_reference = inverse_transform(reference_T_query)
    reference = CAMERA.project(world)
    query = CAMERA.project(world @ query_T_reference[:3, :3].T + query_T_reference[:3, 3])
    exact = epipolar_distances(reference, query, CAMERA, CAMERA, reference_T_query)
    assert np.all(exact < 1e-4)
    moved = query + np.array([3.0, -2.0])
    there = epipolar_distances(reference, moved, CAMERA, CAMERA, reference_T_query)
    back = epipolar_distances(moved, reference, CAMERA, CAMERA, query_T_reference)
    assert np.allclose(there, back, rtol=1e-6, atol=1e-6)


def test_the_epipolar_distance_knows_distortion() -> None:
    distorted = Camera(640, 480, CAMERA.matrix, 'plumb_bob', np.array([-0.3, 0.1, 0, 0]))
    world = np.array([[1.0, 0.8, 3.0]])
    reference, query = distorted.project(world), distorted.project(world - [0.5, 0, 0])
    pose = make_pose(0, [0.5, 0, 0])
    assert epipolar_distances(reference, query, distorted, distorted, pose) < 1e-3
    assert epipolar_distances(reference, query, CAMERA, CAMERA, pose) > 1


def test_cameras_at_one_place_have_no_epipolar_lines() -> None:
    point = np.ones((2, 2))
    assert np.isnan(epipolar_distances(point, point, CAMERA, CAMERA, np.eye(4))).all()


def test_disparity_errors_by_hand() -> None:
    disparity = np.full((10, 20), 4.0)
    disparity[5, 9] = np.nan
    left = np.array([[10.2, 3.0], [10.0, 3.0], [9.0, 5.0], [30.0, 3.0], [np.nan, 1.0]])
    right = np.array([[6.2, 3.0], [9.0, 7.0], [5.0, 5.0], [26.0, 3.0], [0.0, 0.0]])
    errors = disparity_errors(left, right, disparity)
    assert errors[:2] == pytest.approx([0.0, 5.0])
    assert np.isnan(errors[2:]).all()


def test_precision_counts_only_what_is_known() -> None:
    assert precision(np.array([0.5, 2.0, 2.1, np.nan]), 2.0) == pytest.approx(2 / 3)
    assert np.isnan(precision(np.array([np.nan]), 1.0))
    assert np.isnan(precision(np.empty(0), 1.0))
