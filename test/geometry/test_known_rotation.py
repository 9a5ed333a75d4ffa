"""A rotation that another sensor measured: what it tells apart, and what it makes more certain."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loftr_ros.geometry import KnownRotation, PoseState, RelativePose, estimate_relative_pose
from loftr_ros.geometry.rotations import angle_between, rotation_from_vector, rotation_vector
from loftr_ros.geometry.transforms import make_transform
from test.geometry.conftest import Scene, make_scene

Array = npt.NDArray[np.float64]
SIGMA = float(np.deg2rad(0.02))
"""That of a gyroscope over a tenth of a second."""
SEEDS = range(8)


def shallow(shift: float, seed: int) -> Scene:
    """Return a scene at 4.5 to 6 m, whose points a sideways shift moves nearly alike."""
    moved = (shift, 0.0, 0.0)
    return make_scene(
        depths=(4.5, 6.0), translation=moved, rotation=(0.0, 0.02, 0.0), count=200, seed=seed
    )


def measured(scene: Scene, seed: int, error: float = 0.0) -> KnownRotation:
    """Return the true rotation with an error of its covariance, and one about y besides, rad."""
    noise = SIGMA * np.random.default_rng(seed).normal(size=3) + [0.0, error, 0.0]
    rotation = rotation_from_vector(noise) @ scene.reference_T_query[:3, :3]
    return KnownRotation(rotation, SIGMA**2 * np.eye(3))


def estimate(scene: Scene, known: KnownRotation | None) -> RelativePose:
    points = scene.reference_points, scene.query_points
    sigma = np.full(len(points[0]), 0.3)
    return estimate_relative_pose(*points, scene.camera, scene.camera, sigma, known=known)


def rotation_error(pose: RelativePose, scene: Scene) -> float:
    """Return the squared error of the rotation by its covariance and degrees of freedom."""
    assert pose.reference_T_query is not None
    assert pose.covariance is not None
    truth, found = scene.reference_T_query[:3, :3], pose.reference_T_query[:3, :3]
    error = rotation_vector(truth @ found.T)
    return float(error @ np.linalg.solve(pose.covariance[3:, 3:], error)) / 3.0


def test_a_small_translation_no_longer_passes_for_a_rotation() -> None:
    scenes = [shallow(0.015, seed) for seed in SEEDS]
    alone = [estimate(scene, None) for scene in scenes]
    assert {pose.state for pose in alone} == {PoseState.ROTATION_ONLY}
    assert np.mean([rotation_error(*pair) for pair in zip(alone, scenes, strict=True)]) > 20
    known = [measured(scene, seed) for seed, scene in enumerate(scenes)]
    helped = [one.fused(estimate(scene, one)) for one, scene in zip(known, scenes, strict=True)]
    assert {pose.state for pose in helped} == {PoseState.OK}
    assert np.mean([rotation_error(*pair) for pair in zip(helped, scenes, strict=True)]) < 2.5


def test_a_rotation_alone_stays_one() -> None:
    for seed in SEEDS:
        scene = shallow(0.0, seed)
        pose = estimate(scene, measured(scene, seed))
        assert pose.state is PoseState.ROTATION_ONLY


def test_the_direction_of_translation_becomes_more_certain_and_more_exact() -> None:
    errors, sizes = [], []
    for seed in SEEDS:
        scene = shallow(0.05, seed)
        known = measured(scene, seed)
        pose = estimate(scene, known)
        for one in (pose, known.fused(pose)):
            assert one.reference_T_query is not None
            assert one.covariance is not None
            truth = scene.reference_T_query[:3, 3]
            errors.append(angle_between(one.reference_T_query[:3, 3], truth))
            sizes.append(float(np.trace(one.covariance[:3, :3])))
    assert np.median(errors[1::2]) < 0.7 * np.median(errors[::2])
    assert all(after < before for before, after in zip(sizes[::2], sizes[1::2], strict=True))


def test_a_rotation_that_contradicts_both_changes_nothing() -> None:
    scene = shallow(0.05, 0)
    wrong, before = measured(scene, 0, error=0.1), estimate(scene, None)
    after = wrong.fused(estimate(scene, wrong))
    assert after.state is before.state is PoseState.OK
    assert before.reference_T_query is not None
    assert before.covariance is not None
    assert after.reference_T_query is not None
    assert after.covariance is not None
    np.testing.assert_array_equal(after.reference_T_query, before.reference_T_query)
    np.testing.assert_array_equal(after.covariance, before.covariance)


def metric_pose(covariance: Array) -> RelativePose:
    pose = make_transform(rotation_from_vector(np.array([0.1, -0.2, 0.3])), np.array([1.0, 0, 2]))
    none = np.zeros(0, np.bool_)
    return RelativePose.in_metres(pose, covariance, method='pnp', inliers=none, median_residual=0.1)


@given(st.lists(st.floats(-1.0, 1.0), min_size=36, max_size=36).map(np.array))
def test_the_information_of_both_adds_up(values: Array) -> None:
    root = values.reshape(6, 6) + 3.0 * np.eye(6)
    covariance = 1e-4 * root @ root.T
    pose = metric_pose(covariance)
    assert pose.reference_T_query is not None
    known = KnownRotation(pose.reference_T_query[:3, :3], np.diag([1e-4, 2e-4, 3e-4]))
    fused = known.fused(pose)
    assert fused.covariance is not None
    assert fused.reference_T_query is not None
    information = np.linalg.inv(covariance)
    information[3:, 3:] += np.linalg.inv(known.covariance)
    np.testing.assert_allclose(fused.covariance, np.linalg.inv(information), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(fused.reference_T_query, pose.reference_T_query, atol=1e-9)


def test_a_pose_that_failed_and_a_rotation_alone_stay_what_they_are() -> None:
    known = KnownRotation(np.eye(3), 1e-6 * np.eye(3))
    failed = RelativePose.failed(PoseState.LOST, 'made to fail')
    assert known.fused(failed) is failed
    none = np.zeros(0, np.bool_)
    details: dict[str, Any] = {
        'method': 'homography',
        'inliers': none,
        'median_residual': 0.1,
        'reason': 'still',
    }
    alone = RelativePose.rotation_only(
        rotation_from_vector(np.array([1e-3, 0.0, 0.0])), 1e-6 * np.eye(3), **details
    )
    fused = known.fused(alone)
    assert fused.state is PoseState.ROTATION_ONLY
    assert fused.covariance is not None
    assert fused.reference_T_query is not None
    assert np.isinf(np.diag(fused.covariance)[:3]).all()
    # It may hide what 3 mrad look like, so that it has a tenth of the weight.
    np.testing.assert_allclose(np.diag(fused.covariance)[3:], 1e-5 / 11)
    np.testing.assert_allclose(
        rotation_vector(fused.reference_T_query[:3, :3]), [1e-3 / 11, 0, 0], atol=1e-12
    )


def test_beside_a_less_certain_rotation_a_rotation_alone_stays() -> None:
    pose = estimate(shallow(0.0, 0), None)
    assert pose.state is PoseState.ROTATION_ONLY
    assert KnownRotation(np.eye(3), 1e-4 * np.eye(3)).fused(pose) is pose


@pytest.mark.parametrize('error', [0.0, 0.05])
def test_the_limit_of_a_contradiction_counts_both_covariances(error: float) -> None:
    known = KnownRotation(np.eye(3), 1e-6 * np.eye(3))
    other = rotation_from_vector(np.array([error, 0.0, 0.0]))
    assert known.contradicts(other, 1e-6 * np.eye(3)) is (error > 0)
    assert not known.contradicts(other, 1e-2 * np.eye(3))
