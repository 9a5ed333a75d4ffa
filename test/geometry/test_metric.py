"""Poses in metres from points of known depth: their accuracy, covariance and refusals."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest

from loftr_ros.geometry import (
    Camera,
    MetricOptions,
    PoseState,
    RelativePose,
    TwoViewOptions,
    estimate_metric_pose,
)
from loftr_ros.geometry.depth import PointDepths
from loftr_ros.geometry.pose import Check
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.reprojection import DepthPairs, moved, reproject
from loftr_ros.geometry.rotations import rotation_from_vector, rotation_vector
from loftr_ros.geometry.stereo import triangulate_depth
from loftr_ros.geometry.transforms import make_transform

Array = npt.NDArray[np.float64]
CAMERA = Camera(640, 480, np.array([[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]]))
FISHEYE = Camera(
    640,
    480,
    np.array([[300, 0, 319.5], [0, 300, 239.5], [0, 0, 1]]),
    'equidistant',
    np.array([0.01, -0.005, 0.001, 0.0]),
)
LEFT_T_RIGHT = make_transform(
    rotation_from_vector(np.array([0.01, -0.02, 0.015])), np.array([0.3, 0.01, -0.02])
)
MOTION = make_transform(
    rotation_from_vector(np.array([0.02, 0.05, -0.03])), np.array([0.1, -0.05, 0.6])
)
EXACT = MetricOptions(disparity_sigma=0.0, depth_scale_sigma=0.0)
INDEPENDENT = TwoViewOptions(shared_sigma=0.0, shared_growth=0.0)


@dataclass(frozen=True, eq=False)
class Seen:
    """What three cameras saw of a scene: reference, its right camera and query."""

    reference: Array
    right: Array
    query: Array
    depth: Array
    camera: Camera


def see(
    *,
    noise: float = 0.3,
    outliers: float = 0.0,
    count: int = 400,
    seed: int = 0,
    camera: Camera = CAMERA,
    motion: Array = MOTION,
    depths: tuple[float, float] = (3.0, 40.0),
) -> Seen:
    rng = np.random.default_rng(seed)
    reference = rng.uniform([60, 60], [580, 420], (count, 2))
    rays = np.column_stack([camera.normalize(reference), np.ones(count)])
    depth = 1 / rng.uniform(1 / depths[1], 1 / depths[0], count)
    points = rays * depth[:, None]
    seen = [
        camera.project((points - pose[:3, 3]) @ pose[:3, :3]) + noise * rng.normal(size=(count, 2))
        for pose in (LEFT_T_RIGHT, motion)
    ]
    wrong = rng.random(count) < outliers
    seen[1][wrong] = rng.uniform([0, 0], [640, 480], (int(wrong.sum()), 2))
    return Seen(reference, seen[0], seen[1], depth, camera)


def stereo_depths(seen: Seen, sigma: float) -> PointDepths:
    sigmas = np.full(len(seen.reference), sigma)
    camera = seen.camera
    return triangulate_depth(
        seen.reference, seen.right, camera, camera, LEFT_T_RIGHT, sigmas, EXACT
    )


def estimate(
    seen: Seen,
    depths: PointDepths | None = None,
    sigma: float | None = 0.3,
    options: TwoViewOptions = INDEPENDENT,
    metric: MetricOptions = EXACT,
) -> RelativePose:
    return estimate_metric_pose(
        seen.reference,
        seen.query,
        stereo_depths(seen, sigma or 0.3) if depths is None else depths,
        seen.camera,
        seen.camera,
        None if sigma is None else np.full(len(seen.reference), sigma),
        options=options,
        metric=metric,
    )


def error_of(pose: RelativePose, motion: Array = MOTION) -> Array:
    assert pose.state is PoseState.OK, pose.reason
    assert pose.metric
    assert pose.reference_T_query is not None
    rotvec = rotation_vector(motion[:3, :3] @ pose.reference_T_query[:3, :3].T)
    return np.concatenate([motion[:3, 3] - pose.reference_T_query[:3, 3], rotvec])


@pytest.mark.parametrize('estimator', ['poselib', 'opencv'])
@pytest.mark.parametrize('camera', [CAMERA, FISHEYE], ids=['pinhole', 'fisheye'])
def test_the_motion_is_found_in_metres_among_outliers(estimator: str, camera: Camera) -> None:
    if estimator == 'poselib':
        pytest.importorskip('poselib')
    seen = see(outliers=0.4, camera=camera)
    pose = estimate(seen, options=TwoViewOptions(estimator=estimator))
    error = error_of(pose)
    assert np.linalg.norm(error[:3]) < 0.03
    assert np.linalg.norm(error[3:]) < 0.002
    assert pose.method == 'pnp'
    assert 0.5 * len(seen.reference) < pose.inliers.sum() < 0.65 * len(seen.reference)


def test_exact_matches_give_the_exact_motion() -> None:
    np.testing.assert_allclose(error_of(estimate(see(noise=0.0))), 0.0, atol=1e-6)


def test_a_camera_that_only_rotates_has_a_full_pose_without_translation() -> None:
    rotated = MOTION.copy()
    rotated[:3, 3] = 0.0
    pose = estimate(see(motion=rotated))
    error = error_of(pose, rotated)
    assert pose.covariance is not None
    assert (np.abs(error[:3]) < 4 * np.sqrt(np.diag(pose.covariance)[:3])).all()


@pytest.mark.parametrize('noise', [0.0, 0.02, 0.3])
@pytest.mark.parametrize('seed', range(6))
def test_a_camera_that_stands_still_does_not_contradict_its_depth(noise: float, seed: int) -> None:
    pose = estimate(see(noise=noise, seed=seed, motion=np.eye(4)))
    assert pose.state is PoseState.OK, pose.reason


def test_errors_are_as_large_as_the_covariance_says_and_have_no_bias() -> None:
    errors, nees = [], []
    for seed in range(80):
        pose = estimate(see(seed=seed, outliers=0.2))
        error = error_of(pose)
        assert pose.covariance is not None
        errors.append(error)
        nees.append(error @ np.linalg.solve(pose.covariance, error) / 6)
    # Mean of 80 chi-square variables of 6 degrees of freedom: 99.9 % within 0.79 and 1.24.
    assert 0.6 < np.mean(nees) < 1.3
    mean, spread = np.mean(errors, axis=0), np.std(errors, axis=0)
    assert (np.abs(mean) < 4 * spread / np.sqrt(80)).all()


def test_an_unknown_sigma_is_estimated() -> None:
    nees = []
    for seed in range(30):
        seen = see(seed=seed, noise=0.6)
        pose = estimate(seen, stereo_depths(seen, 0.6), sigma=None)
        error = error_of(pose)
        assert pose.covariance is not None
        nees.append(error @ np.linalg.solve(pose.covariance, error) / 6)
    assert 0.4 < np.mean(nees) < 1.6


def test_points_of_uncertain_depth_count_less() -> None:
    seen = see(noise=0.05)
    rng = np.random.default_rng(1)
    sigma = np.where(np.arange(len(seen.depth)) % 2, 0.1, 0.001) / seen.depth
    inverse = 1 / seen.depth + sigma * rng.normal(size=len(sigma))
    honest = PointDepths(inverse, sigma, np.zeros(len(sigma)))
    alike = PointDepths(inverse, 0.1 / seen.depth, np.zeros(len(sigma)))
    good = error_of(estimate(seen, honest, sigma=0.05))
    poor = error_of(estimate(seen, alike, sigma=0.05))
    assert np.linalg.norm(good[:3]) < 0.3 * np.linalg.norm(poor[:3])


def test_an_error_that_all_depths_share_stays_however_many_points_there_are() -> None:
    metric = MetricOptions(depth_scale_sigma=0.02)

    def forward_sigma(count: int) -> float:
        seen = see(count=count)
        inverse = 1 / seen.depth
        depths = PointDepths(inverse, 0.01 * inverse, 0.02 * inverse)
        pose = estimate(seen, depths, metric=metric)
        assert pose.covariance is not None
        return float(np.sqrt(pose.covariance[2, 2]))

    assert forward_sigma(4000) == pytest.approx(0.02 * MOTION[2, 3], rel=0.3)


def test_the_slopes_are_the_derivatives_of_the_errors() -> None:
    seen = see(noise=0.5, count=30)
    depths = stereo_depths(seen, 0.3)
    pairs = RayPairs.from_points(seen.reference, seen.query, CAMERA, CAMERA, np.full(30, 0.3))
    both = DepthPairs(pairs, depths).select(depths.known())
    at = reproject(MOTION, both)
    gradient = np.einsum('nkp,nk->np', at.slopes, at.errors)
    step = 1e-5

    def cost(shift: Array) -> Array:
        return np.asarray(0.5 * np.sum(reproject(moved(MOTION, shift), both).errors ** 2, axis=1))

    for axis in step * np.eye(6):
        change = (cost(axis) - cost(-axis)) / (2 * step)
        size = np.abs(change).max()
        np.testing.assert_allclose(gradient @ axis / step, change, rtol=2e-3, atol=1e-3 * size)


def none_known(seen: Seen) -> PointDepths:
    return PointDepths.unknown(len(seen.reference))


def test_without_depths_there_is_no_pose() -> None:
    seen = see()
    pose = estimate(seen, none_known(seen))
    assert pose.state is PoseState.TOO_FEW_MATCHES
    assert pose.reason == '0 matches have a depth, 20 are needed'
    assert len(pose.inliers) == len(seen.reference)


def test_matches_that_are_all_wrong_are_lost() -> None:
    assert estimate(see(outliers=1.0)).state is PoseState.LOST


def test_points_too_far_for_a_depth_do_not_determine_a_translation() -> None:
    pose = estimate(see(depths=(900.0, 1000.0), noise=0.8), sigma=0.8)
    assert pose.state is PoseState.DEGENERATE
    assert pose.reason == 'the points do not determine the motion'


def test_far_points_hold_the_rotation() -> None:
    near, far = see(count=80, depths=(3.0, 10.0)), see(depths=(900.0, 1000.0), seed=1)
    both = Seen(
        np.concatenate([near.reference, far.reference]),
        np.concatenate([near.right, far.right]),
        np.concatenate([near.query, far.query]),
        np.concatenate([near.depth, far.depth]),
        CAMERA,
    )
    alone, pose = estimate(near).covariance, estimate(both)
    together = pose.covariance
    assert alone is not None
    assert together is not None, pose.reason
    assert (np.diag(together)[3:] < 0.3 * np.diag(alone)[3:]).all()


def test_a_translation_less_certain_than_the_limit_is_none() -> None:
    seen = see(depths=(30.0, 60.0), noise=0.8)
    believed = estimate(seen, sigma=0.8)
    assert believed.covariance is not None
    deviations = np.sqrt(np.diag(believed.covariance))
    rotation, translation = deviations[3:].max(), deviations[:3].max() / np.median(seen.depth)
    assert rotation < 0.8 * translation
    limit = float(np.sqrt(rotation * translation))
    pose = estimate(seen, sigma=0.8, options=replace(INDEPENDENT, max_rotation_sigma=limit))
    assert pose.state is PoseState.DEGENERATE
    assert pose.reason == 'the points do not determine the motion'


def test_points_on_a_line_are_degenerate_or_lost() -> None:
    seen = see()
    line = np.abs(seen.reference[:, 1] - 240) < 3
    rows = np.flatnonzero(line)
    few = Seen(
        np.repeat(seen.reference[rows[:1]], 60, axis=0),
        np.repeat(seen.right[rows[:1]], 60, axis=0),
        np.repeat(seen.query[rows[:1]], 60, axis=0),
        np.repeat(seen.depth[rows[:1]], 60),
        CAMERA,
    )
    assert not estimate(few).state.has_pose


def test_useless_matches_are_never_inliers() -> None:
    seen = see()
    query, reference = seen.query.copy(), seen.reference.copy()
    query[:20], reference[20:40] = np.nan, np.inf
    pose = estimate(Seen(reference, seen.right, query, seen.depth, CAMERA))
    assert pose.state is PoseState.OK
    assert not pose.inliers[:40].any()


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    seen = see()
    with pytest.raises(ValueError, match='do not belong together'):
        estimate(seen, PointDepths.unknown(3))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'depth_noise': -1.0}, 'depth_noise must be 0 or more'),
        ({'depth_jump': 0.0}, 'depth_jump must be positive'),
        ({'depth_range': (2.0, 1.0)}, 'depth_range must be two rising depths'),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MetricOptions(**options)  # type: ignore[arg-type]


def test_a_pose_by_depths_that_all_err_alike_is_refused_or_covered_by_its_covariance() -> None:
    seen = see(count=600, depths=(2.0, 6.0))
    # As of a depth camera that is not registered: points on the right seem farther off.
    tilted = seen.depth * (1 + 0.15 * (seen.reference[:, 0] - 320) / 320)

    def pose_of(depth: Array) -> RelativePose:
        nothing = np.zeros(len(depth))
        return estimate(seen, PointDepths(1 / depth, 0.02 / depth, nothing))

    right, wrong = pose_of(seen.depth), pose_of(tilted)
    assert right.state is PoseState.OK
    if wrong.covariance is not None:
        error = error_of(wrong)
        assert error @ np.linalg.solve(wrong.covariance, error) / 6 < 6
    else:
        assert wrong.check in (Check.DEPTH, Check.SECOND_MOTION)
