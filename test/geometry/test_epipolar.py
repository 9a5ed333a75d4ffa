"""Distances from epipolar lines, and their derivatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from loftr_ros.geometry import Camera
from loftr_ros.geometry.epipolar import epipolar_errors
from loftr_ros.geometry.rotations import skew
from test.geometry.conftest import FISHEYE, motion_of, rays_of, slopes_by_difference

if TYPE_CHECKING:
    from test.geometry.conftest import MakeScene


@pytest.mark.parametrize('camera', [None, FISHEYE])
@pytest.mark.parametrize('sigma', [1.0, 0.3])
def test_slopes_are_derivatives(scene: MakeScene, camera: Camera | None, sigma: float) -> None:
    made = scene(camera=camera, noise=2.0, count=60)
    pairs, motion = rays_of(made), motion_of(made)
    _, slopes = epipolar_errors(motion, pairs, sigma)
    expected = slopes_by_difference(
        lambda step: epipolar_errors(motion.moved(step), pairs, sigma)[0], 5
    )
    np.testing.assert_allclose(slopes, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_errors_are_distances_from_the_lines_of_the_fundamental_matrix(scene: MakeScene) -> None:
    made = scene(noise=2.0, count=40)
    motion = motion_of(made)
    inverse = np.linalg.inv(made.camera.matrix)
    fundamental = inverse.T @ skew(motion.translation) @ motion.rotation @ inverse
    r = np.column_stack([made.reference_points, np.ones(40)])
    q = np.column_stack([made.query_points, np.ones(40)])
    lines = r @ fundamental
    expected = np.abs(np.sum(lines * q, axis=1)) / np.hypot(lines[:, 0], lines[:, 1])
    errors, _ = epipolar_errors(motion, rays_of(made))
    np.testing.assert_allclose(np.abs(errors), expected, atol=1e-7)


def test_the_other_rotation_and_the_other_sign_have_the_same_lines(scene: MakeScene) -> None:
    made = scene(noise=1.0, count=40)
    pairs, motion = rays_of(made), motion_of(made)
    errors = np.abs(epipolar_errors(motion, pairs)[0])
    for other in (motion.twisted(), motion.reversed()):
        np.testing.assert_allclose(np.abs(epipolar_errors(other, pairs)[0]), errors, atol=1e-7)
    np.testing.assert_allclose(np.linalg.det(motion.twisted().rotation), 1.0)
