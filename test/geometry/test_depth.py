"""Depth of image points, from depth images and from stereo."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from loftr_ros.geometry import Camera, MetricOptions
from loftr_ros.geometry.depth import PointDepths, sample_depth
from loftr_ros.geometry.rotations import rotation_from_vector
from loftr_ros.geometry.stereo import triangulate_depth
from loftr_ros.geometry.transforms import make_transform

Array = npt.NDArray[np.float64]
CAMERA = Camera(640, 480, np.array([[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]]))
DISTORTED = Camera(640, 480, CAMERA.matrix, 'plumb_bob', np.array([-0.28, 0.07, 1e-4, 2e-4, 0.0]))
RECTIFIED = make_transform(np.eye(3), np.array([0.5, 0.0, 0.0]))
ROTATED = make_transform(
    rotation_from_vector(np.array([0.02, -0.1, 0.03])), np.array([0.4, 0.05, -0.1])
)
PLAIN = MetricOptions(disparity_sigma=0.2)


def plane() -> npt.NDArray[np.float32]:
    """Depth of a slanted wall: its inverse is linear in the image."""
    y, x = np.mgrid[0:48, 0:64]
    return (1.0 / (0.4 + 0.002 * x - 0.001 * y)).astype(np.float32)


def test_depth_between_pixels_is_that_of_the_plane() -> None:
    points = np.random.default_rng(0).uniform([0, 0], [63, 47], (200, 2))
    depths = sample_depth(plane(), points)
    expected = 0.4 + 0.002 * points[:, 0] - 0.001 * points[:, 1]
    np.testing.assert_allclose(depths.inverse, expected, rtol=1e-6)
    assert depths.known().all()


@pytest.mark.parametrize('hole', [np.nan, 0.0, -1.0, np.inf, -np.inf, 1e9, 0.01])
def test_a_point_beside_an_unknown_pixel_has_no_depth(hole: float) -> None:
    depth = plane()
    depth[10, 20] = hole
    points = np.array([[19.5, 10.2], [20.0, 10.0], [20.4, 9.1], [25.0, 10.0]])
    assert sample_depth(depth, points).known().tolist() == [False, False, False, True]


def test_a_point_at_an_edge_has_no_depth() -> None:
    depth = np.full((48, 64), 2.0, np.float32)
    depth[:, 32:] = 3.0
    points = np.array([[30.9, 20.0], [31.5, 20.0], [32.1, 20.0]])
    assert sample_depth(depth, points).known().tolist() == [True, False, True]


def test_points_outside_the_image_have_no_depth() -> None:
    outside = np.array([[-0.1, 5.0], [63.1, 5.0], [5.0, 47.2], [np.nan, 1.0], [np.inf, 1.0]])
    assert not sample_depth(plane(), outside).known().any()
    corners = np.array([[0.0, 0.0], [63.0, 47.0]])
    assert sample_depth(plane(), corners).known().all()


def test_far_depth_is_less_certain_by_the_square_of_the_distance() -> None:
    options = MetricOptions(depth_noise=0.001, depth_noise_growth=0.002, depth_nearest=0.4)
    for z in (0.5, 2.0, 4.0):
        depths = sample_depth(np.full((4, 4), z, np.float32), np.array([[1.5, 1.5]]), options)
        sigma = depths.sigma[0] * z**2
        assert sigma == pytest.approx(0.001 + 0.002 * (z - 0.4) ** 2, rel=1e-4)
        assert depths.shared[0] == pytest.approx(options.depth_scale_sigma / z)


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.float32, (5, 6), elements=st.floats(width=32)),
    arrays(np.float64, (8, 2), elements=st.floats()),
)
def test_any_image_and_points_give_sane_depths(
    depth: npt.NDArray[np.float32], points: Array
) -> None:
    depths = sample_depth(depth, points)
    known = depths.known()
    nearest, farthest = MetricOptions().depth_range
    assert (depths.inverse[known] <= 1 / nearest * (1 + 1e-6)).all()
    assert (depths.inverse[known] >= 1 / farthest * (1 - 1e-6)).all()


@pytest.mark.parametrize(
    ('depth', 'points', 'message'),
    [
        (np.ones((4, 4, 1)), np.zeros((1, 2)), 'depth must be an image'),
        (np.ones((1, 4)), np.zeros((1, 2)), 'depth must be an image'),
        (np.ones((4, 4)), np.zeros((1, 3)), 'points must have the shape'),
    ],
)
def test_what_is_no_depth_image_or_no_points_is_refused(
    depth: Array, points: Array, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sample_depth(depth, points)


def stereo(
    left_T_right: Array, camera: Camera = CAMERA, noise: float = 0.0
) -> tuple[Array, Array, Array]:
    """Return left and right points, px, and the true depths."""
    rng = np.random.default_rng(0)
    left = rng.uniform([150, 60], [560, 420], (500, 2))
    depth = rng.uniform(2.0, 30.0, 500)
    points = np.column_stack([camera.normalize(left), np.ones(500)]) * depth[:, None]
    right = camera.project((points - left_T_right[:3, 3]) @ left_T_right[:3, :3])
    return left, right + noise * rng.normal(size=right.shape), depth


@pytest.mark.parametrize('camera', [CAMERA, DISTORTED], ids=['pinhole', 'distorted'])
@pytest.mark.parametrize('left_T_right', [RECTIFIED, ROTATED], ids=['rectified', 'rotated'])
def test_exact_matches_give_the_exact_depth(left_T_right: Array, camera: Camera) -> None:
    left, right, depth = stereo(left_T_right, camera)
    depths = triangulate_depth(left, right, camera, camera, left_T_right, np.full(500, 0.2))
    np.testing.assert_allclose(1 / depths.inverse, depth, rtol=1e-4)


@pytest.mark.parametrize('left_T_right', [RECTIFIED, ROTATED], ids=['rectified', 'rotated'])
def test_errors_are_as_large_as_sigma_says(left_T_right: Array) -> None:
    left, right, depth = stereo(left_T_right, noise=0.4)
    depths = triangulate_depth(left, right, CAMERA, CAMERA, left_T_right, np.full(500, 0.4))
    known = depths.known()
    assert known.mean() > 0.95
    errors = (depths.inverse - 1 / depth)[known] / depths.sigma[known]
    assert 0.9 < np.std(errors) < 1.1
    assert abs(np.mean(errors)) < 0.2


def test_the_shared_error_is_that_of_the_disparity() -> None:
    left, right, _ = stereo(RECTIFIED)
    depths = triangulate_depth(left, right, CAMERA, CAMERA, RECTIFIED, np.ones(500), PLAIN)
    # disparity = f b / z: an error of 0.2 px moves 1 / z by 0.2 / (f b).
    np.testing.assert_allclose(depths.shared, 0.2 / (500 * 0.5), rtol=1e-6)
    np.testing.assert_allclose(depths.sigma, 1.0 / (500 * 0.5), rtol=1e-6)


def test_matches_off_their_epipolar_line_have_no_depth() -> None:
    left, right, _ = stereo(ROTATED)
    right[::2, 1] += 6.0
    depths = triangulate_depth(left, right, CAMERA, CAMERA, ROTATED, np.ones(500))
    assert not depths.known()[::2].any()
    assert depths.known()[1::2].all()


def test_swapped_cameras_give_no_depth() -> None:
    left, right, _ = stereo(RECTIFIED)
    depths = triangulate_depth(right, left, CAMERA, CAMERA, RECTIFIED, np.full(500, 0.2))
    assert not depths.known().any()


def test_a_far_point_is_known_to_be_far() -> None:
    left = np.array([[300.0, 200.0]])
    depths = triangulate_depth(left, left, CAMERA, CAMERA, RECTIFIED, np.array([0.5]))
    assert depths.known().all()
    assert abs(depths.inverse[0]) < depths.sigma[0]


def test_useless_matches_have_no_depth() -> None:
    left, right, _ = stereo(RECTIFIED)
    sigma = np.ones(500)
    left[0], right[1], sigma[2], sigma[3], sigma[4] = np.nan, np.inf, np.nan, 0.0, -1.0
    known = triangulate_depth(left, right, CAMERA, CAMERA, RECTIFIED, sigma).known()
    assert not known[:5].any()
    assert known[5:].all()


def test_unknown_depths_are_unknown() -> None:
    assert not PointDepths.unknown(3).known().any()
    assert len(PointDepths.unknown(3)) == 3
