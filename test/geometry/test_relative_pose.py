from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from loftr_ros.geometry import PoseState, RelativePose
from loftr_ros.geometry.rotations import rotation_from_vector, rotation_vector
from loftr_ros.geometry.transforms import inverse_transform, make_transform

FAILURES = [state for state in PoseState if not state.has_pose]
FORWARD = np.eye(4)
FORWARD[2, 3] = 1.0
INLIERS = np.array([True, False, True])


def forward() -> RelativePose:
    return RelativePose.up_to_scale(
        FORWARD, np.eye(6), method='essential', inliers=INLIERS, median_residual=0.4
    )


def test_a_full_pose_has_a_unit_translation_and_no_scale() -> None:
    pose = forward()
    assert pose.state is PoseState.OK
    assert not pose.metric
    assert pose.reason == ''


def test_a_rotation_alone_knows_nothing_about_the_translation() -> None:
    pose = RelativePose.rotation_only(
        np.eye(3),
        0.01 * np.eye(3),
        method='homography',
        inliers=INLIERS,
        median_residual=0.2,
        reason='no parallax',
    )
    assert pose.state is PoseState.ROTATION_ONLY
    assert pose.reference_T_query is not None
    assert pose.covariance is not None
    np.testing.assert_array_equal(pose.reference_T_query[:3, 3], 0.0)
    np.testing.assert_array_equal(np.diag(pose.covariance), [np.inf] * 3 + [0.01] * 3)


@pytest.mark.parametrize('state', FAILURES)
def test_a_failure_carries_no_pose(state: PoseState) -> None:
    pose = RelativePose.failed(state, 'because', matches=3)
    assert pose.reference_T_query is None
    assert pose.covariance is None
    assert pose.method == 'none'
    assert np.isnan(pose.median_residual)
    np.testing.assert_array_equal(pose.inliers, [False] * 3)


@pytest.mark.parametrize('state', FAILURES)
def test_a_pose_cannot_be_smuggled_into_a_failure(state: PoseState) -> None:
    with pytest.raises(ValueError, match='cannot carry a pose'):
        dataclasses.replace(forward(), state=state, reason='because')


@pytest.mark.parametrize('state', [PoseState.OK, PoseState.ROTATION_ONLY])
def test_success_is_no_failure_and_needs_a_pose(state: PoseState) -> None:
    with pytest.raises(ValueError, match='is not a failure'):
        RelativePose.failed(state, 'because')
    with pytest.raises(ValueError, match='needs pose and covariance'):
        dataclasses.replace(forward(), state=state, covariance=None)


def test_a_failure_gives_its_reason() -> None:
    with pytest.raises(ValueError, match='must give the reason'):
        RelativePose.failed(PoseState.LOST, '')


@pytest.mark.parametrize(
    'transform',
    [np.eye(4) * np.nan, np.eye(3), np.diag([1.0, 1.0, -1.0, 1.0]), 2.0 * np.eye(4)],
)
def test_only_rigid_motions_are_poses(transform: np.ndarray) -> None:
    with pytest.raises(ValueError, match='a pose must be'):
        dataclasses.replace(forward(), reference_T_query=transform)


def test_a_translation_without_scale_has_the_length_one() -> None:
    with pytest.raises(ValueError, match='must have the length 1'):
        RelativePose.up_to_scale(
            np.eye(4), np.eye(6), method='essential', inliers=INLIERS, median_residual=0.4
        )


@pytest.mark.parametrize('covariance', [np.eye(5), -np.eye(6), np.eye(6) * np.nan])
def test_only_covariances_are_covariances(covariance: np.ndarray) -> None:
    with pytest.raises(ValueError, match='a covariance must'):
        dataclasses.replace(forward(), covariance=covariance)


def test_an_inverse_spreads_as_the_inverses_of_its_samples() -> None:
    rng = np.random.default_rng(3)
    factor = 0.01 * rng.normal(size=(6, 6))
    pose = make_transform(rotation_from_vector(np.array([0.3, -0.8, 0.5])), np.array([2.0, 1, -4]))
    metric = RelativePose.in_metres(
        pose, factor @ factor.T, method='pnp', inliers=INLIERS, median_residual=0.4
    )
    inverse = metric.inverse()
    assert inverse.reference_T_query is not None
    assert inverse.covariance is not None
    np.testing.assert_allclose(inverse.reference_T_query @ pose, np.eye(4), atol=1e-12)
    steps = []
    for error in rng.normal(size=(20_000, 6)) @ factor.T:
        true = inverse_transform(
            make_transform(rotation_from_vector(error[3:]) @ pose[:3, :3], pose[:3, 3] + error[:3])
        )
        rotvec = rotation_vector(true[:3, :3] @ inverse.reference_T_query[:3, :3].T)
        steps.append([*(true[:3, 3] - inverse.reference_T_query[:3, 3]), *rotvec])
    spread = np.cov(np.array(steps).T)
    np.testing.assert_allclose(inverse.covariance, spread, atol=0.03 * np.abs(spread).max())


def test_the_inverse_of_a_rotation_knows_nothing_about_the_translation_either() -> None:
    rotated = rotation_from_vector(np.array([0.0, 0.5, 0.0]))
    spread = np.diag([0.01, 0.02, 0.03])
    pose = RelativePose.rotation_only(
        rotated, spread, method='homography', inliers=INLIERS, median_residual=0.2, reason='still'
    )
    inverse = pose.inverse()
    assert inverse.state is PoseState.ROTATION_ONLY
    assert inverse.reference_T_query is not None
    assert inverse.covariance is not None
    np.testing.assert_allclose(inverse.reference_T_query[:3, :3], rotated.T)
    np.testing.assert_array_equal(np.diag(inverse.covariance)[:3], np.inf)
    np.testing.assert_allclose(inverse.covariance[3:, 3:], rotated.T @ spread @ rotated)


def test_a_failure_has_no_inverse() -> None:
    failure = RelativePose.failed(PoseState.LOST, 'because')
    assert failure.inverse() is failure
