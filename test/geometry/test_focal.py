"""What matches say about the focal length."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from loftr_ros.geometry import Camera, FocalError, TwoViewOptions, estimate_relative_pose
from loftr_ros.geometry.epipolar import Motion
from loftr_ros.geometry.focal import estimate_focal_error
from loftr_ros.geometry.likelihood import MatchPrior
from loftr_ros.geometry.models import motion_model
from loftr_ros.geometry.rays import RayPairs

if TYPE_CHECKING:
    from test.geometry.conftest import MakeScene, Scene

OPTIONS = TwoViewOptions()
MATRIX = np.array([[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]])
PINHOLE = Camera(640, 480, MATRIX)
BARREL = Camera(640, 480, MATRIX, 'plumb_bob', np.array([-0.28, 0.07, 0.0, 0.0, 0.0]))
ROTATING = {'rotation': (0.03, 0.15, 0.05), 'translation': (0.5, 0.1, 0.2), 'count': 800}


def believed(camera: Camera, factor: float) -> Camera:
    scale = np.array([[factor, 1, 1], [1, factor, 1], [1, 1, 1]])
    return replace(camera, matrix=camera.matrix * scale)


def measure(scene: Scene, camera: Camera) -> FocalError | None:
    """Fit the motion with a camera that may be wrong, then ask for its focal length."""
    points = scene.reference_points, scene.query_points
    sigma = np.full(len(points[0]), 0.3)
    truth = scene.reference_T_query
    start = Motion(truth[:3, :3], truth[:3, 3] / np.linalg.norm(truth[:3, 3]))
    pairs = RayPairs.from_points(*points, camera, camera, sigma)
    # Wide enough for the errors that a wrong focal length makes.
    prior = MatchPrior.of(np.full(len(sigma), 0.9), np.full(len(sigma), 3.0), 554.0)
    found = motion_model(start, pairs, prior)
    return estimate_focal_error(found.motion, points, pairs, (camera, camera), OPTIONS)


@pytest.mark.parametrize('camera', [PINHOLE, BARREL])
@pytest.mark.parametrize('factor', [1 / 1.3, 1.0, 1.3])
def test_a_rotating_camera_shows_its_focal_length(
    scene: MakeScene, camera: Camera, factor: float
) -> None:
    error = measure(scene(camera=camera, **ROTATING), believed(camera, factor))
    assert error is not None
    assert error.sigma < 0.05
    assert error.log_ratio == pytest.approx(-np.log(factor), abs=max(4 * error.sigma, 0.03))


def test_a_distortion_shows_it_without_a_rotation(scene: MakeScene) -> None:
    made = scene(camera=BARREL, rotation=(0.0, 0.0, 0.0), translation=(0.5, 0.2, 0.1), count=800)
    error = measure(made, believed(BARREL, 1.3))
    assert error is not None
    assert error.log_ratio < -3 * error.sigma


def test_a_camera_that_only_goes_forward_does_not_determine_it(scene: MakeScene) -> None:
    made = scene(rotation=(0.0, 0.0, 0.0), translation=(0.0, 0.0, 0.5), count=800)
    error = measure(made, believed(PINHOLE, 1.3))
    assert error is None or error.sigma > 0.3


def test_the_errors_are_as_large_as_their_deviations(scene: MakeScene) -> None:
    found = [measure(scene(seed=seed, **ROTATING), PINHOLE) for seed in range(20)]
    errors = [error.log_ratio / error.sigma for error in found if error is not None]
    assert len(errors) == 20
    assert np.mean(np.square(errors)) < 2.0


def test_few_matches_do_not_determine_it(scene: MakeScene) -> None:
    assert measure(scene(count=15, rotation=(0.03, 0.15, 0.05)), PINHOLE) is None


def test_the_estimate_carries_what_was_measured(scene: MakeScene) -> None:
    made = scene(**ROTATING)
    points, sigma = (made.reference_points, made.query_points), np.full(800, 0.3)
    pose = estimate_relative_pose(*points, PINHOLE, PINHOLE, sigma)
    assert pose.focal_error is not None
    assert abs(pose.focal_error.log_ratio) < 4 * pose.focal_error.sigma


def test_a_focal_length_that_may_be_wrong_makes_the_pose_uncertain_along_its_bend() -> None:
    bend = np.array([0.1, 0.0, -0.05, 0.0, 0.02, 0.0])
    certain = FocalError(0.26, 0.0, bend).covariance()
    np.testing.assert_allclose(certain, np.outer(bend, bend) * (1 - (0.05 / 0.26) ** 2))
    in_metres = FocalError(0.26, 0.0, bend).covariance(length=2.0)
    np.testing.assert_allclose(in_metres[:3, :3], 4 * certain[:3, :3])
    np.testing.assert_allclose(in_metres[3:, 3:], certain[3:, 3:])


@pytest.mark.parametrize('error', [FocalError(0.04, 0.0), FocalError(-0.2, 0.3)])
def test_an_error_within_chance_adds_nothing(error: FocalError) -> None:
    bent = replace(error, bend=np.ones(6))
    np.testing.assert_array_equal(bent.covariance(), 0.0)


def test_a_pose_bent_by_a_wrong_focal_length_says_how_far_it_may_be_off(scene: MakeScene) -> None:
    made = scene(**ROTATING)
    wrong = believed(PINHOLE, 1.15)
    sigma = np.full(len(made.query_points), 0.3)
    pose = estimate_relative_pose(made.reference_points, made.query_points, wrong, wrong, sigma)
    assert pose.state.has_pose, pose.reason
    assert pose.reference_T_query is not None
    assert pose.covariance is not None
    assert pose.focal_error is not None
    truth = made.reference_T_query[:3, 3] / np.linalg.norm(made.reference_T_query[:3, 3])
    miss = truth - pose.reference_T_query[:3, 3]
    added = pose.focal_error.covariance()
    # The pose is off by more than its matches allow, and by no more than it admits.
    free = miss @ np.linalg.pinv(pose.covariance[:3, :3], rcond=1e-6) @ miss
    without = miss @ np.linalg.pinv((pose.covariance - added)[:3, :3], rcond=1e-6) @ miss
    assert without > 3**2
    assert free < 3**2
