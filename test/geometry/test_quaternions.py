"""Rotations and unit quaternions convert in both directions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from loftr_ros.geometry.quaternions import quaternion_from_rotation, rotation_from_quaternion
from loftr_ros.geometry.transforms import inverse_transform, make_transform

quaternions = (
    arrays(np.float64, 4, elements=st.floats(-1, 1))
    .filter(lambda q: float(np.linalg.norm(q)) > 0.1)
    .map(lambda q: q / np.linalg.norm(q))
)


@given(quaternions)
def test_quaternions_and_rotations_convert_both_ways(quaternion: npt.NDArray[Any]) -> None:
    rotation = rotation_from_quaternion(quaternion)
    assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    back = quaternion_from_rotation(rotation)
    assert np.allclose(rotation_from_quaternion(back), rotation, atol=1e-9)
    assert back[3] >= 0


def test_a_rotation_by_90_degrees_about_z_takes_x_to_y() -> None:
    rotation = rotation_from_quaternion(np.array([0, 0, np.sqrt(0.5), np.sqrt(0.5)]))
    assert np.allclose(rotation @ [1, 0, 0], [0, 1, 0])


@given(quaternions, arrays(np.float64, 3, elements=st.floats(-9, 9)))
def test_a_transform_times_its_inverse_is_the_identity(
    quaternion: npt.NDArray[Any], translation: npt.NDArray[Any]
) -> None:
    matrix = make_transform(rotation_from_quaternion(quaternion), translation)
    assert np.allclose(matrix @ inverse_transform(matrix), np.eye(4), atol=1e-9)


def test_many_quaternions_convert_at_once() -> None:
    rotations = np.array([[0, 0, 0, 1.0], [0, 0, 1.0, 0]])
    expected = [rotation_from_quaternion(rotation) for rotation in rotations]
    np.testing.assert_array_equal(rotation_from_quaternion(rotations), expected)
    assert rotation_from_quaternion(np.empty((0, 4))).shape == (0, 3, 3)


@pytest.mark.parametrize('quaternion', [[0, 0, 0, 0], [0, 0, 0, 2], [0, 0, 0, np.nan]])
def test_what_is_no_unit_quaternion_is_refused(quaternion: list[float]) -> None:
    with pytest.raises(ValueError, match='must be a unit quaternion'):
        rotation_from_quaternion(np.array([[0, 0, 0, 1], quaternion], np.float64))
