"""Resized images and their calibrations obey the half-pixel rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from loftr_ros.evaluation.matchers.resizing import resize, scale_camera
from loftr_ros.geometry import Camera

CAMERA = Camera(1241, 376, np.array([[707.0, 0, 601.9], [0, 707, 183.1], [0, 0, 1]]))


def test_large_images_shrink_to_the_longer_side_and_small_ones_stay() -> None:
    assert resize(np.zeros((376, 1241), np.uint8), 640).image.shape == (194, 640)
    assert resize(np.zeros((1241, 376, 3), np.uint8), 640).image.shape == (640, 194, 3)
    assert resize(np.zeros((48, 64), np.uint8), 640).image.shape == (48, 64)


@pytest.mark.parametrize('dtype', [np.uint16, np.float32])
def test_other_depths_become_8_bit(dtype: type[np.generic]) -> None:
    assert resize(np.zeros((48, 64), dtype), 640).image.dtype == np.uint8


def test_the_centre_of_the_image_stays_its_centre() -> None:
    resized = resize(np.zeros((400, 1200), np.uint8), 600)
    assert resized.to_original(np.array([[299.5, 99.5]])).tolist() == [[599.5, 199.5]]


@given(
    arrays(np.float64, (4, 3), elements=st.floats(-1, 1)),
    st.integers(300, 900),
    st.integers(90, 900),
)
def test_the_scaled_camera_sees_points_where_the_resized_image_shows_them(
    points: npt.NDArray[Any], width: int, height: int
) -> None:
    points = points + np.array([0, 0, 3])
    scale = np.array([width / CAMERA.width, height / CAMERA.height])
    expected = (CAMERA.project(points) + 0.5) * scale - 0.5
    assert np.allclose(scale_camera(CAMERA, width, height).project(points), expected)


def test_an_image_without_calibration_says_so() -> None:
    with pytest.raises(ValueError, match='no calibration'):
        _ = resize(np.zeros((4, 4), np.uint8), 640).calibration
