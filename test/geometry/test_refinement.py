"""Derivatives and minima of the errors that the refinement minimizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from loftr_ros.geometry import Camera
from loftr_ros.geometry.epipolar import (
    Motion,
    direction_for,
    in_front,
    refine_motion,
    sampson_distances,
)
from loftr_ros.geometry.epipolar import sampson_errors as sampson
from loftr_ros.geometry.homography import (
    PlanarMotion,
    decompose,
    refine_plane,
    refine_rotation,
    rotation_errors,
    rotation_of,
    sample_rotation,
    transfer_errors,
)
from loftr_ros.geometry.least_squares import leverage_factors, minimize, robust_scale
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.rotations import angle_between, nearest_rotation, rotation_from_vector

if TYPE_CHECKING:
    from test.geometry.conftest import MakeScene, Scene

FISHEYE = Camera(
    640,
    480,
    np.array([[280, 0, 315], [0, 282, 242], [0, 0, 1]]),
    'equidistant',
    np.array([-0.013, 0.02, -0.01, 0.003]),
)


def rays_of(scene: Scene, sigma: float = 1.0) -> RayPairs:
    return RayPairs.from_points(
        scene.reference_points,
        scene.query_points,
        scene.camera,
        scene.camera,
        np.full(len(scene.query_points), sigma),
    )


def motion_of(scene: Scene) -> Motion:
    translation = scene.reference_T_query[:3, 3]
    return Motion(scene.reference_T_query[:3, :3], translation / np.linalg.norm(translation))


def slopes_by_difference(
    errors_after: Callable[[np.ndarray], np.ndarray], parameters: int
) -> np.ndarray:
    step = 1e-6
    columns = [
        (errors_after(step * axis) - errors_after(-step * axis)) / (2 * step)
        for axis in np.eye(parameters)
    ]
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize('camera', [None, FISHEYE])
@pytest.mark.parametrize('sigmas', [(1.0, 1.0), (0.0, 0.5), (0.7, 0.2)])
def test_sampson_slopes_are_derivatives(
    scene: MakeScene, camera: Camera | None, sigmas: tuple[float, float]
) -> None:
    made = scene(camera=camera, noise=2.0, count=60)
    pairs, motion = rays_of(made), motion_of(made)
    _, slopes = sampson(motion, pairs, *sigmas)
    expected = slopes_by_difference(lambda step: sampson(motion.moved(step), pairs, *sigmas)[0], 5)
    np.testing.assert_allclose(slopes, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_the_sampson_error_is_the_classical_formula(scene: MakeScene) -> None:
    made = scene(noise=2.0, count=40)
    motion, f = motion_of(made), 500.0
    errors, _ = sampson(motion, rays_of(made))
    t = motion.translation
    cross = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
    inverse = np.linalg.inv(made.camera.matrix)
    fundamental = inverse.T @ cross @ motion.rotation @ inverse
    r = np.column_stack([made.reference_points, np.ones(40)])
    q = np.column_stack([made.query_points, np.ones(40)])
    lines, back = q @ fundamental.T, r @ fundamental
    expected = np.sum(r * lines, axis=1) / np.sqrt(
        np.sum(lines[:, :2] ** 2, axis=1) + np.sum(back[:, :2] ** 2, axis=1)
    )
    np.testing.assert_allclose(np.abs(errors), np.abs(expected), atol=1e-9 * f)


def test_transfer_slopes_are_derivatives(scene: MakeScene) -> None:
    made = scene(plane_tilt=25, noise=2.0, count=50)
    planar = PlanarMotion(motion_of(made), np.array([0.02, -0.01, 0.09]))
    pairs = rays_of(made, 0.5)
    _, slopes = transfer_errors(planar, pairs, pairs.sigma)
    expected = slopes_by_difference(
        lambda step: transfer_errors(planar.moved(step), pairs, pairs.sigma)[0], 8
    )
    np.testing.assert_allclose(slopes, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_rotation_slopes_are_derivatives(scene: MakeScene) -> None:
    made = scene(translation=(0, 0, 0), noise=2.0, count=50)
    pairs, rotation = rays_of(made), made.reference_T_query[:3, :3]
    _, slopes = rotation_errors(rotation, pairs)
    expected = slopes_by_difference(
        lambda step: rotation_errors(rotation_from_vector(step) @ rotation, pairs)[0], 3
    )
    np.testing.assert_allclose(slopes, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_the_true_motion_is_the_minimum_without_noise(scene: MakeScene) -> None:
    made = scene(noise=0.0)
    truth = motion_of(made)
    start = truth.moved(np.array([0.01, -0.01, 0.005, 0.05, -0.05]))
    fit = refine_motion(start, rays_of(made), 0.0)
    np.testing.assert_allclose(fit.state.rotation, truth.rotation, atol=1e-8)
    np.testing.assert_allclose(fit.state.translation, truth.translation, atol=1e-7)


def test_a_plane_gives_its_motion_back(scene: MakeScene) -> None:
    made = scene(plane_tilt=30, noise=0.0, translation=(0.5, 0.1, 0.05))
    truth, pairs = motion_of(made), rays_of(made)
    tilt = rotation_from_vector(np.deg2rad(30) * np.array([0.5, 0.85, 0.0]))
    shift = made.reference_T_query[:3, 3]
    rotation = made.reference_T_query[:3, :3]
    homography = rotation.T @ (np.eye(3) - np.outer(shift, tilt[:, 2]) / 4.0)
    motions = decompose(-2.0 * homography, pairs, np.ones(len(pairs), np.bool_))
    nearest = min(motions, key=lambda m: angle_between(m.motion.translation, truth.translation))
    np.testing.assert_allclose(nearest.motion.rotation, truth.rotation, atol=1e-6)
    fit = refine_plane(nearest, pairs)
    np.testing.assert_allclose(fit.state.translation, truth.translation, atol=1e-7)
    np.testing.assert_allclose(fit.errors, 0.0, atol=1e-6)


def test_rotations_are_found_from_samples_homographies_and_by_refinement(scene: MakeScene) -> None:
    made = scene(translation=(0, 0, 0), outliers=0.5)
    pairs, truth = rays_of(made), made.reference_T_query[:3, :3]
    sampled = sample_rotation(pairs, 2.0 / 500.0, seed=3)
    np.testing.assert_allclose(sampled, truth, atol=5e-3)
    right = pairs.select(~made.wrong)
    np.testing.assert_allclose(refine_rotation(sampled, right).state, truth, atol=2e-4)
    np.testing.assert_allclose(rotation_of(-3.0 * truth.T), truth, atol=1e-9)


def test_the_direction_is_found_for_a_known_rotation(scene: MakeScene) -> None:
    made = scene(outliers=0.4)
    pairs, truth = rays_of(made), motion_of(made)
    parallax = np.hypot(*rotation_errors(truth.rotation, pairs)[0].T)
    motion = direction_for(truth.rotation, pairs, parallax, 2.0, seed=1)
    assert angle_between(motion.translation, truth.translation) < np.deg2rad(3)


def test_points_before_both_cameras_are_told_from_those_behind(scene: MakeScene) -> None:
    made = scene(noise=0.0)
    pairs, truth = rays_of(made), motion_of(made)
    assert in_front(truth, pairs).all()
    assert not in_front(replace(truth, translation=-truth.translation), pairs).any()


def test_minimize_finds_a_line_despite_wrong_points() -> None:
    x = np.linspace(0, 1, 50)
    y = 2.0 * x + 1.0 + 0.01 * np.random.default_rng(0).normal(size=50)
    y[::10] += 5.0
    slopes = np.stack([x, np.ones(50)], axis=1)[:, None] / 0.01

    def evaluate(state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return ((state[0] * x + state[1] - y) / 0.01)[:, None], slopes

    fit = minimize(evaluate, lambda state, step: state + step, np.zeros(2))
    np.testing.assert_allclose(fit.state, [2.0, 1.0], atol=0.05)


def test_no_match_decides_much_by_itself() -> None:
    rng = np.random.default_rng(1)
    slopes = rng.normal(size=(300, 1, 3))
    slopes[0] *= 1000.0
    levelled = slopes / leverage_factors(slopes, 10.0)[:, None, None]
    information = np.einsum('nkp,nkq->pq', levelled, levelled)
    leverage = np.einsum('nkp,pq,nkq->n', levelled, np.linalg.inv(information), levelled)
    assert leverage[0] < 1.6 * 10.0 * 3 / 300
    np.testing.assert_allclose(leverage_factors(slopes[1:], 50.0), 1.0)


def test_the_robust_scale_ignores_wrong_values() -> None:
    values = np.random.default_rng(2).normal(scale=0.5, size=10_000)
    values[:1000] = 1e6
    assert robust_scale(values) == pytest.approx(0.5, rel=0.2)
    assert robust_scale(np.empty(0)) == 0.0


def test_the_nearest_rotation_of_a_rotation_is_itself() -> None:
    rotation = rotation_from_vector(np.array([0.3, -1.2, 0.4]))
    np.testing.assert_allclose(nearest_rotation(2.5 * rotation), rotation, atol=1e-12)


def test_the_distances_alone_are_those_of_the_errors(scene: MakeScene) -> None:
    made = scene(outliers=0.2)
    sigma = np.full(len(made.query_points), 0.3)
    points = made.reference_points, made.query_points
    pairs = RayPairs.from_points(*points, made.camera, made.camera, sigma)
    truth = made.reference_T_query
    motion = Motion(truth[:3, :3], truth[:3, 3] / np.linalg.norm(truth[:3, 3]))
    for reference_sigma in (0.0, 0.5):
        errors, _ = sampson(motion, pairs, reference_sigma, sigma)
        distances = sampson_distances(motion, pairs, reference_sigma, sigma)
        np.testing.assert_allclose(distances, np.abs(errors), rtol=1e-9)
