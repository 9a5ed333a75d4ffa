"""A rotation or a motion: which of them explains the matches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from loftr_ros.geometry.likelihood import MatchPrior
from loftr_ros.geometry.models import (
    motion_model,
    parallax,
    planar_motions,
    rotation_model,
)
from loftr_ros.geometry.rotations import angle_between
from test.geometry.conftest import motion_of, rays_of

if TYPE_CHECKING:
    from test.geometry.conftest import MakeScene, Scene


def prior_of(scene: Scene, sigma: float = 0.3) -> MatchPrior:
    count = len(scene.query_points)
    return MatchPrior.of(np.full(count, 0.8), np.full(count, sigma), 554.0)


def test_the_true_motion_is_found_without_noise(scene: MakeScene) -> None:
    made = scene(noise=0.0)
    truth = motion_of(made)
    start = truth.moved(np.array([0.001, -0.001, 0.0005, 0.01, -0.01]))
    found = motion_model(start, rays_of(made), prior_of(made)).motion
    np.testing.assert_allclose(found.rotation, truth.rotation, atol=1e-5)
    np.testing.assert_allclose(found.translation, truth.translation, atol=1e-4)


def test_a_motion_backwards_becomes_the_one_that_sees_the_points(scene: MakeScene) -> None:
    made = scene()
    truth = motion_of(made)
    found = motion_model(truth.reversed(), rays_of(made), prior_of(made)).motion
    assert angle_between(found.translation, truth.translation) < np.deg2rad(1.0)


def test_parallax_is_that_of_the_depth(scene: MakeScene) -> None:
    made = scene(noise=0.0)
    along, across = parallax(motion_of(made), rays_of(made))
    assert (along > 0).all()
    np.testing.assert_allclose(across, 0.0, atol=1e-6)


@pytest.mark.parametrize('seed', range(3))
def test_a_rotation_explains_a_camera_that_only_rotates_better_than_a_motion(
    scene: MakeScene, seed: int
) -> None:
    made = scene(translation=(0, 0, 0), outliers=0.3, seed=seed)
    pairs, prior, truth = rays_of(made), prior_of(made), made.reference_T_query[:3, :3]
    rotation = rotation_model([truth], pairs, prior)
    np.testing.assert_allclose(rotation.motion.rotation, truth, atol=1e-3)
    for direction in np.eye(3):
        start = motion_of(scene(translation=tuple(direction)))
        assert rotation.evidence > motion_model(start, pairs, prior).evidence


def test_a_motion_explains_a_moving_camera_better_than_a_rotation(scene: MakeScene) -> None:
    made = scene(translation=(0.02, 0.0, 0.0), outliers=0.3)
    pairs, prior = rays_of(made), prior_of(made)
    motion = motion_model(motion_of(made), pairs, prior)
    assert motion.evidence > rotation_model([motion.motion.rotation], pairs, prior).evidence


def test_a_plane_allows_two_motions_and_a_scene_in_depth_one(scene: MakeScene) -> None:
    for made, count in ((scene(plane_tilt=30, translation=(0, 0, 0.5)), 2), (scene(), 0)):
        pairs, prior = rays_of(made), prior_of(made)
        general = motion_model(motion_of(made), pairs, prior)
        assert len(planar_motions(general, pairs, prior)) == count
