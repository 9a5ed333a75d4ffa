"""Motions that fit many matches, and yet are not that of the scene."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import chi2

from loftr_ros.geometry import PoseState, RelativePose, TwoViewOptions, estimate_relative_pose
from loftr_ros.geometry.consistency import noise_band, noise_share, scatters, split_test
from loftr_ros.geometry.epipolar import Motion
from loftr_ros.geometry.rays import RayPairs

if TYPE_CHECKING:
    from test.geometry.conftest import MakeScene, Scene

OPTIONS = TwoViewOptions()


def estimate(scene: Scene, options: TwoViewOptions = OPTIONS) -> RelativePose:
    sigma = np.full(len(scene.query_points), 0.3)
    points = scene.reference_points, scene.query_points
    return estimate_relative_pose(*points, scene.camera, scene.camera, sigma, options=options)


def pairs_of(scene: Scene) -> RayPairs:
    points = scene.reference_points, scene.query_points
    sigma = np.full(len(scene.query_points), 0.3)
    return RayPairs.from_points(*points, scene.camera, scene.camera, sigma)


def true_motion(scene: Scene) -> Motion:
    transform = scene.reference_T_query
    return Motion(transform[:3, :3], transform[:3, 3] / np.linalg.norm(transform[:3, 3]))


def with_moving_half(scene: Scene, other: Scene) -> Scene:
    """See another motion in the left half of the image."""
    left = (scene.reference_points[:, 0] < scene.camera.width / 2)[:, None]
    return replace(scene, query_points=np.where(left, other.query_points, scene.query_points))


@pytest.mark.parametrize('seed', range(4))
def test_halves_that_move_differently_are_degenerate(scene: MakeScene, seed: int) -> None:
    still = scene(seed=seed, count=800, translation=(0.02, 0.0, 0.3))
    moving = scene(seed=seed, count=800, translation=(0.25, 0.1, 0.0))
    pose = estimate(with_moving_half(still, moving))
    assert pose.state in (PoseState.DEGENERATE, PoseState.LOST)
    assert pose.covariance is None


def test_a_half_where_nothing_agrees_with_the_rest_is_degenerate(scene: MakeScene) -> None:
    made = scene(count=800)
    left = made.reference_points[:, 0] < made.camera.width / 2
    rng = np.random.default_rng(1)
    nonsense = np.flatnonzero(left)[: int(0.4 * left.sum())]
    chosen = np.concatenate([nonsense, np.flatnonzero(~left)])
    query = made.query_points.copy()
    query[nonsense] = rng.uniform([0, 0], [640, 480], (len(nonsense), 2))
    mixed = replace(
        made, reference_points=made.reference_points[chosen], query_points=query[chosen]
    )
    assert split_test(true_motion(made), pairs_of(mixed), 2.5, OPTIONS).smallest_share < 0.1
    assert estimate(mixed).state is PoseState.DEGENERATE


@pytest.mark.parametrize('seed', range(4))
def test_one_motion_gains_little_from_halves(scene: MakeScene, seed: int) -> None:
    made = scene(seed=seed, count=800)
    found = split_test(true_motion(made), pairs_of(made), 2.5, OPTIONS)
    assert 1.0 <= found.gain < 1.2


def test_noise_alone_hardly_ever_inflates_the_covariance(scene: MakeScene) -> None:
    scenes = [scene(seed=seed, count=600) for seed in range(30)]
    found = [split_test(true_motion(made), pairs_of(made), 2.5, OPTIONS) for made in scenes]
    expected = chi2.sf(3 * 10, 10)
    assert sum(split.inflation > 1 for split in found) <= 30 * expected + 3


@pytest.mark.parametrize('seed', range(4))
def test_errors_shared_by_half_of_the_image_inflate_it(scene: MakeScene, seed: int) -> None:
    made = scene(count=600, seed=seed)
    left = made.reference_points[:, 0] < made.camera.width / 2
    shifted = made.query_points + np.where(left[:, None], [0.45, 0.45], [-0.45, -0.45])
    bent = replace(made, query_points=shifted)
    expected = TwoViewOptions(smooth_sigma=0.0, smooth_growth=0.0)
    transform = estimate(bent, TwoViewOptions(max_split_gain=10.0)).reference_T_query
    assert transform is not None
    motion = Motion(transform[:3, :3], transform[:3, 3])
    assert split_test(motion, pairs_of(bent), 2.5, expected).inflation > 2.0
    assert split_test(motion, pairs_of(bent), 2.5, OPTIONS).inflation < 1.5


@pytest.mark.parametrize(
    ('noise', 'way', 'expected'), [(2.5, 0.2, True), (2.5, 4.0, False), (0.5, 0.2, False)]
)
def test_matches_scatter_where_the_parallax_is_not_far_larger(
    scene: MakeScene, noise: float, way: float, expected: bool
) -> None:
    made = scene(noise=noise, count=900, translation=(way, 0.0, 0.0), rotation=(0.0, 0.0, 0.0))
    assert scatters(true_motion(made), pairs_of(made), 2.5, OPTIONS) is expected


def test_matches_that_scatter_make_no_motion(scene: MakeScene) -> None:
    pose = estimate(scene(noise=2.5, count=900, translation=(0.3, 0.0, 0.1)))
    assert pose.state in (PoseState.LOST, PoseState.DEGENERATE)


def test_the_noise_is_measured_beyond_the_band_and_despite_outliers() -> None:
    rng = np.random.default_rng(0)
    distances = np.abs(
        np.concatenate([rng.normal(0, 2.0, 1000), rng.uniform(0, 400, 1000)]),
    )
    assert noise_share(distances, 2.5) == pytest.approx(0.8, abs=0.08)


def test_the_band_grows_with_large_images_only() -> None:
    bands = [noise_band(size, OPTIONS) for size in ((240, 320), (480, 640), (376, 1280))]
    assert bands == [2.5, 2.5, 5.0]


def test_few_matches_do_not_make_a_motion(scene: MakeScene) -> None:
    made = scene(count=40)
    pose = estimate(made)
    assert pose.state is PoseState.LOST
    assert '50 are needed' in pose.reason
    assert estimate(made, TwoViewOptions(min_motion_inliers=30)).state is PoseState.OK
