"""The covariance against the spread of estimates over many draws of the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from loftr_ros.geometry import (
    PoseState,
    RelativePose,
    TwoViewOptions,
    estimate_relative_pose,
)
from loftr_ros.geometry.covariance import common_changes, fit_covariance
from loftr_ros.geometry.likelihood import MatchPrior
from loftr_ros.geometry.models import rotation_model
from loftr_ros.geometry.pose import Check
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.rotations import rotation_from_vector, rotation_vector, tangent_basis
from loftr_ros.geometry.types import Array

if TYPE_CHECKING:
    from test.geometry.conftest import MakeScene

DRAWS = 60
# Mean over the draws of a chi-square variable of 5 degrees of freedom, by its degrees: with 60
# draws 99.9 % of such means lie between 0.76 and 1.27.
LOWEST, HIGHEST = 0.75, 1.28


def error_of(pose: RelativePose, truth: np.ndarray) -> np.ndarray:
    assert pose.reference_T_query is not None
    translation = truth[:3, 3] / np.linalg.norm(truth[:3, 3])
    rotvec = rotation_vector(truth[:3, :3] @ pose.reference_T_query[:3, :3].T)
    return np.concatenate([translation - pose.reference_T_query[:3, 3], rotvec])


def normalized_error(pose: RelativePose, truth: np.ndarray) -> float:
    """Return the NEES of the 5 degrees of freedom, divided by 5."""
    assert pose.state is PoseState.OK, pose.reason
    assert pose.reference_T_query is not None
    assert pose.covariance is not None
    free = np.zeros((6, 5))
    free[:3, :2], free[3:, 2:] = tangent_basis(pose.reference_T_query[:3, 3]), np.eye(3)
    error = free.T @ error_of(pose, truth)
    covariance = free.T @ pose.covariance @ free
    return float(error @ np.linalg.solve(covariance, error)) / 5


def mean_error(scene: MakeScene, sigma: float | None, **kwargs: object) -> float:
    options = TwoViewOptions(shared_sigma=0.0, shared_growth=0.0)
    errors = []
    for seed in range(DRAWS):
        made = scene(seed=seed, **kwargs)
        sigmas = None if sigma is None else np.full(len(made.query_points), sigma)
        pose = estimate_relative_pose(
            made.reference_points,
            made.query_points,
            made.camera,
            made.camera,
            sigmas,
            np.full(len(made.query_points), 0.95),
            options=options,
        )
        errors.append(normalized_error(pose, made.reference_T_query))
    return float(np.mean(errors))


@pytest.mark.parametrize('outliers', [0.0, 0.3])
@pytest.mark.parametrize('translation', [(0.3, 0.05, 0.1), (0.0, 0.0, 0.5)])
def test_errors_are_as_large_as_the_covariance_says(
    scene: MakeScene, outliers: float, translation: tuple[float, float, float]
) -> None:
    mean = mean_error(scene, 0.3, outliers=outliers, translation=translation)
    assert LOWEST < mean < HIGHEST


def test_the_same_holds_on_a_plane(scene: MakeScene) -> None:
    mean = mean_error(scene, 0.3, plane_tilt=20, translation=(0.5, 0.0, 0.0))
    assert LOWEST < mean < HIGHEST


def test_a_sigma_that_is_too_small_is_corrected_by_the_residuals(scene: MakeScene) -> None:
    assert LOWEST < mean_error(scene, 0.3, noise=0.4) < HIGHEST


def test_an_unknown_sigma_is_estimated(scene: MakeScene) -> None:
    assert LOWEST < mean_error(scene, None, noise=0.4) < HIGHEST


def test_a_sigma_that_is_too_large_is_corrected_too(scene: MakeScene) -> None:
    assert LOWEST < mean_error(scene, 3.0, noise=0.3) < HIGHEST


def correlated(scene: MakeScene, seed: int) -> tuple[Any, np.ndarray]:
    """Give all matches within 40 px the same error."""
    made = scene(noise=0.0, count=2000, seed=seed)
    rng = np.random.default_rng(seed)
    cells = (made.reference_points // 40).astype(int)
    errors = 0.4 * rng.normal(size=(20, 20, 2))[cells[:, 1], cells[:, 0]]
    return made, made.query_points + errors


def test_matches_that_err_together_are_not_counted_one_by_one(scene: MakeScene) -> None:
    options = TwoViewOptions(shared_sigma=0.0, shared_growth=0.0)
    errors = []
    for seed in range(40):
        made, query = correlated(scene, seed)
        pose = estimate_relative_pose(
            made.reference_points,
            query,
            made.camera,
            made.camera,
            np.full(2000, 0.4),
            options=options,
        )
        errors.append(normalized_error(pose, made.reference_T_query))
    # Counted one by one they would be too confident by the number of matches in a cell, about 10.
    assert np.mean(errors) < 2.5


def test_many_matches_do_not_beat_the_smooth_error(scene: MakeScene) -> None:
    def rotation_variance(count: int) -> float:
        made = scene(count=count, noise=0.1)
        pose = estimate_relative_pose(
            made.reference_points,
            made.query_points,
            made.camera,
            made.camera,
            np.full(count, 0.1),
        )
        assert pose.covariance is not None
        return float(np.trace(pose.covariance[3:, 3:]))

    assert rotation_variance(4000) > 0.6 * rotation_variance(1000)


def rotated(scene: MakeScene, angle: float) -> RayPairs:
    """Matches of a camera that rotates, without noise."""
    made = scene(noise=0.0, rotation=(0.0, angle, 0.0), translation=(1e-6, 0.0, 0.0))
    cameras, sigma = (made.camera, made.camera), np.ones(len(made.query_points))
    return RayPairs.from_points(made.reference_points, made.query_points, *cameras, sigma)


def query_rays(pairs: RayPairs) -> Array:
    return pairs.query[:, :2]


def test_distortions_of_the_whole_image_grow_with_the_distance_that_points_move(
    scene: MakeScene,
) -> None:
    sizes = []
    for angle in (0.05, 0.1):
        pairs = rotated(scene, angle)
        everyone = np.ones(len(pairs), bool)
        changes = common_changes(query_rays, pairs, everyone, TwoViewOptions(shared_growth=0.02))
        sizes.append(float(np.sqrt(np.mean(changes**2))) * np.sqrt(2.0))
    # Points at the border move by up to tan(0.1 + 0.57) - tan(0.57) rad, by 0.1 in the middle.
    assert 0.1 < sizes[1] / 0.02 < 0.15
    assert sizes[1] / sizes[0] == pytest.approx(2.0, rel=0.1)


def test_distortions_are_a_shift_a_stretch_and_a_shear_along_each_axis(scene: MakeScene) -> None:
    pairs = rotated(scene, 0.1)
    everyone = np.ones(len(pairs), bool)
    changes = common_changes(query_rays, pairs, everyone, TwoViewOptions())
    assert np.linalg.matrix_rank(changes.reshape(6, -1)) == 6
    affine = np.column_stack([np.ones(len(pairs)), query_rays(pairs)])
    for change in changes:
        fitted = affine @ np.linalg.lstsq(affine, change, rcond=None)[0]
        np.testing.assert_allclose(fitted, change, atol=1e-12)


def test_without_agreeing_matches_a_distortion_has_no_bound(scene: MakeScene) -> None:
    pairs = rotated(scene, 0.1)
    nobody = np.zeros(len(pairs), bool)
    assert np.isinf(common_changes(query_rays, pairs, nobody, TwoViewOptions())).all()
    sigma = np.ones(len(pairs))
    prior = MatchPrior.of(np.full(len(pairs), 0.8), sigma, 500.0)
    starts = [rotation_from_vector(np.array([0.0, angle, 0.0])) for angle in (0.1, -0.1)]
    fit = rotation_model(starts, pairs, prior).fit
    assert np.isfinite(fit_covariance(fit, pairs, sigma, 0.2)).all()
    unbounded = np.full((6, *fit.errors.shape), np.inf)
    assert np.isinf(fit_covariance(fit, pairs, sigma, 0.2, common=unbounded)).all()


def test_a_pose_is_less_certain_where_the_image_may_be_distorted(scene: MakeScene) -> None:
    made = scene(noise=0.1, rotation=(0.0, 0.3, 0.0))
    variances = []
    for growth in (0.0, 0.01):
        options = TwoViewOptions(shared_growth=growth)
        pose = estimate_relative_pose(
            made.reference_points, made.query_points, made.camera, made.camera, options=options
        )
        assert pose.covariance is not None
        variances.append(np.diag(pose.covariance)[3:])
    # Rotations about x and y are shifts, of 1 % of 0.3 rad.
    assert (np.sqrt(variances[1] - variances[0])[:2] > 0.5 * 0.01 * 0.3).all()


def test_a_motion_of_seven_tiles_has_no_variance(scene: MakeScene) -> None:
    made = scene(count=3000, noise=0.3)
    # Tiles are 80 px wide and 60 px high.
    inside = (made.reference_points < [79, 419]).all(axis=1)
    pose = estimate_relative_pose(
        made.reference_points[inside],
        made.query_points[inside],
        made.camera,
        made.camera,
        np.full(inside.sum(), 0.3),
    )
    assert pose.check is Check.UNCERTAIN


def test_the_order_is_translation_then_rotation_about_the_reference_axes(
    scene: MakeScene,
) -> None:
    # The camera rolled by 90 degrees sees a flat wide strip: its weak axis is known beforehand.
    errors, covariances = [], []
    for seed in range(80):
        made = scene(seed=seed, count=3000, noise=0.5, rotation=(0.0, 0.0, np.pi / 2))
        strip = np.abs(made.reference_points[:, 1] - 240) < 25
        pose = estimate_relative_pose(
            made.reference_points[strip],
            made.query_points[strip],
            made.camera,
            made.camera,
            np.full(strip.sum(), 0.5),
            np.full(strip.sum(), 0.95),
            options=TwoViewOptions(shared_sigma=0.0, shared_growth=0.0, max_direction_sigma=1.0),
        )
        if pose.state is PoseState.OK and pose.covariance is not None:
            errors.append(error_of(pose, made.reference_T_query))
            covariances.append(pose.covariance)
    assert len(errors) > 60
    spread = np.std(errors, axis=0)
    predicted = np.sqrt(np.mean([np.diag(one) for one in covariances], axis=0))
    np.testing.assert_allclose(spread, predicted, rtol=0.3)


def test_the_direction_has_no_variance_along_itself(scene: MakeScene) -> None:
    made = scene()
    pose = estimate_relative_pose(
        made.reference_points, made.query_points, made.camera, made.camera, np.full(500, 0.3)
    )
    assert pose.reference_T_query is not None
    assert pose.covariance is not None
    direction = pose.reference_T_query[:3, 3]
    np.testing.assert_allclose(pose.covariance[:3, :3] @ direction, 0.0, atol=1e-12)
    np.testing.assert_allclose(pose.covariance, pose.covariance.T, atol=1e-15)
    assert np.linalg.eigvalsh(pose.covariance).min() > -1e-12


@pytest.mark.parametrize('translation', [(0.02, 0.003, 0.005), (0.3, 0.05, 0.1)])
def test_small_parallax_does_not_feign_knowledge(
    scene: MakeScene, translation: tuple[float, float, float]
) -> None:
    assert LOWEST < mean_error(scene, 0.3, translation=translation, count=1000) < HIGHEST
