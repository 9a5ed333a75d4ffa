"""Transforms and their covariance against evo, numerical derivatives and matrix exponentials."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from evo.core import lie_algebra
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from loftr_ros.geometry.rotations import rotation_from_vector, rotation_vector, skew
from loftr_ros.geometry.transforms import (
    compound,
    exponential,
    inverse_transform,
    invert_covariance,
    is_transform,
    logarithm,
    make_transform,
    move_covariance,
)

Array = npt.NDArray[np.float64]
SIX = st.lists(st.floats(-1.5, 1.5), min_size=6, max_size=6).map(np.array)
STEP = 1e-6


def pose_of(six: Array) -> Array:
    return make_transform(rotation_from_vector(six[3:]), six[:3])


def stepped(pose: Array, step: Array) -> Array:
    return make_transform(rotation_from_vector(step[3:]) @ pose[:3, :3], pose[:3, 3] + step[:3])


def step_between(pose: Array, other: Array) -> Array:
    rotvec = rotation_vector(other[:3, :3] @ pose[:3, :3].T)
    return np.concatenate([other[:3, 3] - pose[:3, 3], rotvec])


def slopes(function: object, pose: Array) -> Array:
    """Return the numerical derivative (6, 6) of a pose by the step of another."""
    columns = [
        step_between(function(pose), function(stepped(pose, STEP * axis))) / STEP  # type: ignore[operator]
        for axis in np.eye(6)
    ]
    return np.stack(columns, axis=1)


def covariance_of(seed: int) -> Array:
    root = np.random.default_rng(seed).normal(size=(6, 6))
    return np.asarray(root @ root.T)


@settings(max_examples=40, deadline=None)
@given(SIX, SIX)
def test_a_compound_has_the_covariance_of_first_order(first: Array, second: Array) -> None:
    one, other = pose_of(first), pose_of(second)
    both, covariance = compound(one, covariance_of(1), other, covariance_of(2))
    by_first = slopes(lambda pose: pose @ other, one)
    by_second = slopes(lambda pose: one @ pose, other)
    expected = by_first @ covariance_of(1) @ by_first.T + by_second @ covariance_of(2) @ by_second.T
    np.testing.assert_allclose(both, one @ other)
    np.testing.assert_allclose(covariance, expected, atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(SIX)
def test_an_inverse_has_the_covariance_of_first_order(six: Array) -> None:
    pose = pose_of(six)
    by_pose = slopes(inverse_transform, pose)
    expected = by_pose @ covariance_of(3) @ by_pose.T
    np.testing.assert_allclose(invert_covariance(pose, covariance_of(3)), expected, atol=1e-3)
    np.testing.assert_allclose(inverse_transform(pose), lie_algebra.se3_inverse(pose), atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(SIX, SIX)
def test_the_motion_of_a_base_has_the_covariance_of_first_order(
    mounting: Array, motion: Array
) -> None:
    base_T_camera, camera = pose_of(mounting), pose_of(motion)
    by_motion = slopes(lambda pose: base_T_camera @ pose @ inverse_transform(base_T_camera), camera)
    expected = by_motion @ covariance_of(4) @ by_motion.T
    found = move_covariance(base_T_camera, camera, covariance_of(4))
    np.testing.assert_allclose(found, expected, atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(SIX)
def test_a_twist_leads_where_the_matrix_exponential_does(twist: Array) -> None:
    generator = np.zeros((4, 4))
    generator[:3, :3], generator[:3, 3] = skew(twist[3:]), twist[:3]
    np.testing.assert_allclose(exponential(twist), expm(generator), atol=1e-9)
    np.testing.assert_allclose(logarithm(exponential(twist)), twist, atol=1e-7)


@pytest.mark.parametrize('angle', [0.0, 1e-9, 1e-5, 1e-4, 1.1e-4, 1e-3, 3.1])
def test_a_twist_is_exact_for_small_and_large_rotations(angle: float) -> None:
    twist = np.array([1.0, -2.0, 0.5, 0.0, 0.6 * angle, 0.8 * angle])
    np.testing.assert_allclose(logarithm(exponential(twist)), twist, atol=1e-7)


@pytest.mark.parametrize(
    'matrix',
    [
        None,
        'pose',
        np.eye(3),
        2 * np.eye(4),
        np.full((4, 4), np.nan),
        np.diag([1.0, 1.0, -1.0, 1.0]),
        np.vstack([np.eye(4)[:3], [0, 0, 1e-3, 1]]),
    ],
)
def test_what_is_no_transform_is_none(matrix: object) -> None:
    assert not is_transform(matrix)


@given(SIX)
def test_rotation_and_translation_make_a_transform(six: Array) -> None:
    assert is_transform(pose_of(six))
