"""Synthetic scenes with known motion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from loftr_ros.geometry import Camera
from loftr_ros.geometry.epipolar import Motion
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.rotations import rotation_from_vector

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scene:
    """Matches of two images, and the truth about them."""

    reference_points: Array
    query_points: Array
    reference_T_query: Array
    wrong: npt.NDArray[np.bool_]
    camera: Camera


def make_scene(
    *,
    camera: Camera | None = None,
    depths: tuple[float, float] = (2.0, 12.0),
    plane_tilt: float | None = None,
    translation: tuple[float, float, float] = (0.3, 0.05, 0.1),
    rotation: tuple[float, float, float] = (0.02, 0.05, 0.03),
    noise: float = 0.3,
    outliers: float = 0.0,
    count: int = 500,
    seed: int = 0,
) -> Scene:
    """See random points, or a plane tilted by `plane_tilt` degrees, from two places."""
    rng = np.random.default_rng(seed)
    camera = camera or Camera(640, 480, np.array([[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]]))
    points = rng.uniform([0, 0], [camera.width - 1, camera.height - 1], (count, 2))
    rays = np.column_stack([camera.normalize(points), np.ones(count)])
    if plane_tilt is None:
        distances = rng.uniform(*depths, count)
    else:
        tilt = rotation_from_vector(np.deg2rad(plane_tilt) * np.array([0.5, 0.85, 0.0]))
        distances = 4.0 / (rays @ tilt[:, 2])
    transform = np.eye(4)
    transform[:3, :3] = rotation_from_vector(np.array(rotation))
    transform[:3, 3] = translation
    seen = (rays * distances[:, None] - transform[:3, 3]) @ transform[:3, :3]
    query = camera.project(seen) + noise * rng.normal(size=(count, 2))
    wrong = rng.random(count) < outliers
    query[wrong] = rng.uniform([0, 0], [camera.width, camera.height], (wrong.sum(), 2))
    return Scene(points, query, transform, wrong, camera)


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


def slopes_by_difference(errors_after: Callable[[Array], Array], parameters: int) -> Array:
    step = 1e-6
    columns = [
        (errors_after(step * axis) - errors_after(-step * axis)) / (2 * step)
        for axis in np.eye(parameters)
    ]
    return np.stack(columns, axis=-1)


MakeScene = Callable[..., Scene]


@pytest.fixture
def scene() -> MakeScene:
    return make_scene
