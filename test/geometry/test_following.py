"""The pose of a frame soon after one that is believed: the same likelihood, in less time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loftr_ros.geometry import (
    PoseState,
    RelativePose,
    estimate_metric_pose,
    estimate_relative_pose,
    follow_metric_pose,
    follow_relative_pose,
)
from loftr_ros.geometry.depth import PointDepths
from loftr_ros.geometry.pose import Check
from loftr_ros.geometry.rotations import rotation_vector
from test.geometry.conftest import Scene, make_scene


def weights(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    count = len(scene.query_points)
    return np.full(count, 0.3), np.full(count, 0.9)


def points(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    return scene.reference_points, scene.query_points


def believed(scene: Scene) -> RelativePose:
    return estimate_relative_pose(*points(scene), scene.camera, scene.camera, *weights(scene))


def followed(scene: Scene, before: RelativePose) -> RelativePose:
    cameras = scene.camera, scene.camera
    return follow_relative_pose(*points(scene), cameras, *weights(scene), before)


def angle(pose: RelativePose, scene: Scene) -> float:
    assert pose.reference_T_query is not None
    rotation = scene.reference_T_query[:3, :3] @ pose.reference_T_query[:3, :3].T
    return float(np.rad2deg(np.linalg.norm(rotation_vector(rotation))))


def depths_of(scene: Scene) -> PointDepths:
    """Return the true depths of the scene, with a small deviation."""
    rays = np.column_stack(
        [scene.camera.normalize(scene.reference_points), np.ones(len(scene.reference_points))]
    )
    rng = np.random.default_rng(0)
    rng.uniform([0, 0], [scene.camera.width - 1, scene.camera.height - 1], (len(rays), 2))
    distances = rng.uniform(2.0, 12.0, len(rays))
    return PointDepths(1 / distances, np.full(len(rays), 1e-3), np.zeros(len(rays)))


@pytest.mark.parametrize('outliers', [0.0, 0.3])
def test_the_pose_is_as_right_as_with_all_checks(outliers: float) -> None:
    before = believed(make_scene(seed=1))
    scene = make_scene(translation=(0.33, 0.05, 0.12), outliers=outliers, seed=2)
    quick, full = followed(scene, before), believed(scene)
    assert quick.state is full.state is PoseState.OK
    assert angle(quick, scene) < 2.0 * angle(full, scene) + 0.05
    assert (quick.inliers & scene.wrong).sum() <= 0.1 * scene.wrong.sum()


def test_a_pose_far_from_the_one_before_is_that_of_all_checks() -> None:
    before = believed(make_scene(translation=(-0.3, 0.0, 0.0)))
    scene = make_scene(seed=2)
    quick, full = followed(scene, before), believed(scene)
    assert full.focal_error is not None
    assert quick.focal_error is not None, 'only the full estimate asks for the focal length'
    np.testing.assert_array_equal(quick.reference_T_query, full.reference_T_query)


def test_a_camera_that_stands_still_still_rotates_only() -> None:
    still = make_scene(translation=(0.0, 0.0, 0.0))
    before = believed(still)
    assert before.state is PoseState.ROTATION_ONLY
    pose = followed(make_scene(translation=(0.0, 0.0, 0.0), seed=3), before)
    assert pose.state is PoseState.ROTATION_ONLY
    assert angle(pose, still) < 0.1


def test_matches_that_agree_on_nothing_have_no_pose() -> None:
    pose = followed(make_scene(outliers=1.0, seed=4), believed(make_scene()))
    assert not pose.state.has_pose


def test_too_few_matches_have_no_pose() -> None:
    scene = make_scene(count=7)
    pose = followed(scene, believed(make_scene()))
    assert (pose.state, pose.check) == (PoseState.TOO_FEW_MATCHES, Check.MATCHES)
    assert len(pose.inliers) == 7


def test_a_pose_in_metres_is_right_and_no_surer_than_the_one_before() -> None:
    scene = make_scene()
    depths, cameras = depths_of(scene), (scene.camera, scene.camera)
    before = estimate_metric_pose(*points(scene), depths, *cameras, *weights(scene))
    assert before.metric
    assert before.covariance is not None
    unsure = replace(before, covariance=25.0 * before.covariance)
    for one in (before, unsure):
        pose = follow_metric_pose(*points(scene), depths, cameras, *weights(scene), one)
        assert pose.metric
        assert pose.reference_T_query is not None
        assert pose.covariance is not None
        assert one.covariance is not None
        assert angle(pose, scene) < 0.1
        shift = pose.reference_T_query[:3, 3] - scene.reference_T_query[:3, 3]
        assert np.linalg.norm(shift) < 0.02
        least = np.diag(one.covariance) * (1.0 - 1e-9)
        assert (np.diag(pose.covariance) >= least).all()


def test_without_depths_there_is_no_pose_in_metres() -> None:
    scene = make_scene()
    unknown, cameras = PointDepths.unknown(len(scene.query_points)), (scene.camera, scene.camera)
    pose = follow_metric_pose(*points(scene), unknown, cameras, *weights(scene), believed(scene))
    assert pose.state is PoseState.TOO_FEW_MATCHES


def test_points_that_do_not_belong_together_are_refused() -> None:
    scene = make_scene()
    before, cameras = believed(scene), (scene.camera, scene.camera)
    reference, query = points(scene)
    with pytest.raises(ValueError, match=r'there are 500 reference points, but 499 query points'):
        follow_relative_pose(reference, query[1:], cameras, *weights(scene), before)
