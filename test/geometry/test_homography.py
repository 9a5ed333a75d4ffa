"""Matches against planes and mere rotations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from loftr_ros.geometry.homography import (
    decompose,
    fit_homography,
    homography_errors,
    rotation_errors,
)
from loftr_ros.geometry.rotations import angle_between, rotation_from_vector
from test.geometry.conftest import motion_of, rays_of, slopes_by_difference

if TYPE_CHECKING:
    from test.geometry.conftest import MakeScene


def test_rotation_slopes_are_derivatives(scene: MakeScene) -> None:
    made = scene(translation=(0, 0, 0), noise=2.0, count=50)
    pairs, rotation = rays_of(made), made.reference_T_query[:3, :3]
    _, slopes = rotation_errors(rotation, pairs)
    expected = slopes_by_difference(
        lambda step: rotation_errors(rotation_from_vector(step) @ rotation, pairs)[0], 3
    )
    np.testing.assert_allclose(slopes, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_a_plane_is_found_with_its_motion(scene: MakeScene) -> None:
    made = scene(plane_tilt=30, noise=0.0, translation=(0.5, 0.1, 0.05))
    truth, pairs = motion_of(made), rays_of(made)
    homography = fit_homography(pairs, np.ones(len(pairs)))
    assert homography is not None
    np.testing.assert_allclose(homography_errors(homography, pairs), 0.0, atol=1e-6)
    motions = decompose(homography, pairs, np.ones(len(pairs), np.bool_))
    nearest = min(motions, key=lambda one: angle_between(one.translation, truth.translation))
    np.testing.assert_allclose(nearest.rotation, truth.rotation, atol=1e-6)
    np.testing.assert_allclose(nearest.translation, truth.translation, atol=1e-5)


def test_points_on_a_line_determine_no_plane(scene: MakeScene) -> None:
    made = scene(noise=0.0, count=50)
    made.reference_points[:, 1] = 100.0
    made.query_points[:, 1] = 120.0
    assert fit_homography(rays_of(made), np.ones(50)) is None
