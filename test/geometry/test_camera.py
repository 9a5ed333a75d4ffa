from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loftr_ros.geometry import Camera

MATRIX = np.array([[458.0, 0, 367.0], [0, 457.0, 248.0], [0, 0, 1]])
MODELS = {
    'none': [],
    'plumb_bob': [-0.283, 0.074, 0.0002, 0.00002, 0.0],
    'rational_polynomial': [0.4, -0.1, 0.0003, -0.0001, 0.02, 0.7, -0.05, 0.01],
    'equidistant': [-0.013, 0.021, -0.012, 0.003],
}
IMAGE_POINTS = np.stack(
    np.meshgrid(np.linspace(0, 751, 16), np.linspace(0, 479, 12)), axis=-1
).reshape(-1, 2)


def camera_of(model: str) -> Camera:
    return Camera(752, 480, MATRIX, model, np.array(MODELS[model]))


@pytest.mark.parametrize('model', MODELS)
def test_rays_of_image_points_project_back_to_them(model: str) -> None:
    camera = camera_of(model)
    rays = camera.normalize(IMAGE_POINTS)
    assert np.isfinite(rays).all()
    space = np.column_stack([rays, np.ones(len(rays))]) * 3.7
    np.testing.assert_allclose(camera.project(space), IMAGE_POINTS, atol=1e-3)


def test_the_principal_point_looks_straight_ahead() -> None:
    for model in MODELS:
        ray = camera_of(model).normalize([[367.0, 248.0]])
        np.testing.assert_allclose(ray, [[0.0, 0.0]], atol=1e-9)


def test_an_undistorted_camera_is_the_pinhole_formula() -> None:
    camera = camera_of('none')
    np.testing.assert_allclose(camera.normalize(np.array([[367 + 458, 248 - 457]])), [[1, -1]])
    np.testing.assert_allclose(camera.project([[2.0, -2.0, 2.0]]), [[367 + 458, 248 - 457]])


def test_an_equidistant_camera_maps_angles_to_radii() -> None:
    camera = Camera(752, 480, MATRIX, 'equidistant', np.zeros(4))
    angle = np.deg2rad(50.0)
    seen = camera.project(np.array([[np.sin(angle), 0.0, np.cos(angle)]]))
    np.testing.assert_allclose(seen, [[367 + 458 * angle, 248]])


def test_zero_coefficients_and_none_at_all_are_the_same() -> None:
    with_zeros = Camera(752, 480, MATRIX, 'plumb_bob', np.zeros(5))
    without = Camera(752, 480, MATRIX, 'plumb_bob')
    np.testing.assert_array_equal(
        with_zeros.normalize(IMAGE_POINTS), without.normalize(IMAGE_POINTS)
    )


@pytest.mark.parametrize('model', MODELS)
def test_the_projection_jacobian_is_the_slope_of_the_projection(model: str) -> None:
    camera = camera_of(model)
    rays = camera.normalize(IMAGE_POINTS[::7])
    slopes = camera.projection_jacobian(rays)
    step = 1e-4
    for axis in range(2):
        moved = rays.copy()
        moved[:, axis] += step
        difference = camera.project(np.column_stack([moved, np.ones(len(rays))]))
        difference -= camera.project(np.column_stack([rays, np.ones(len(rays))]))
        np.testing.assert_allclose(slopes[:, :, axis], difference / step, rtol=0.02, atol=1.0)


def test_points_that_no_ray_reaches_are_nan() -> None:
    # d(r) = r (1 - 0.5 r^2) decreases again from r = 0.816, 0.544 from the centre.
    camera = Camera(752, 480, MATRIX, 'plumb_bob', np.array([-0.5, 0, 0, 0]))
    inside = camera.normalize([[367 + 0.5 * 458, 248]])
    outside = camera.normalize(np.array([[367 + 0.6 * 458, 248], [5000, 5000]]))
    assert np.isfinite(inside).all()
    assert np.isnan(outside).all()


@pytest.mark.parametrize('model', MODELS)
def test_points_that_are_not_finite_give_nan(model: str) -> None:
    points = np.array([[np.nan, 1.0], [np.inf, 2.0], [3.0, -np.inf], [100, 100]])
    rays = camera_of(model).normalize(points)
    assert np.isnan(rays[:3]).all()
    assert np.isfinite(rays[3]).all()


@pytest.mark.parametrize('model', MODELS)
def test_points_behind_the_camera_and_far_aside_are_not_seen(model: str) -> None:
    points = np.array([[0, 0, -1], [1, 1, 0], [1e3, 0, 1.0], [0, 0, 0]])
    assert np.isnan(camera_of(model).project(points)).all()


@pytest.mark.parametrize('model', MODELS)
def test_no_points_give_no_points(model: str) -> None:
    camera = camera_of(model)
    assert camera.normalize(np.empty((0, 2))).shape == (0, 2)
    assert camera.project(np.empty((0, 3))).shape == (0, 2)


def test_points_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r'\(N, 2\)'):
        camera_of('none').normalize(np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r'\(N, 3\)'):
        camera_of('none').project(np.zeros(3))


def test_the_arrays_of_a_camera_cannot_be_changed() -> None:
    matrix = MATRIX.copy()
    camera = Camera(752, 480, matrix)
    matrix[0, 0] = 1.0
    assert camera.matrix[0, 0] == 458.0
    with pytest.raises(ValueError, match='read-only'):
        camera.matrix[0, 0] = 1.0


def changed(row: int, column: int, value: float) -> np.ndarray:
    matrix = MATRIX.copy()
    matrix[row, column] = value
    return matrix


@pytest.mark.parametrize(
    ('width', 'height', 'matrix', 'model', 'distortion', 'message'),
    [
        (0, 480, MATRIX, 'none', [], 'width must be a whole number'),
        (752, 480.5, MATRIX, 'none', [], 'height must be a whole number'),
        (752, 480, np.eye(2), 'none', [], '3 x 3'),
        (752, 480, np.zeros((3, 3)), 'none', [], 'focal lengths must be positive'),
        (752, 480, changed(0, 0, -458), 'none', [], 'focal lengths must be positive'),
        (752, 480, changed(1, 1, np.nan), 'none', [], 'not finite'),
        (752, 480, changed(2, 2, 2), 'none', [], 'must be'),
        (752, 480, changed(0, 1, 3), 'none', [], 'must be'),
        (320, 240, MATRIX, 'none', [], 'another resolution'),
        (752, 480, changed(0, 0, 5), 'none', [], 'no lens has focal lengths of fx=5'),
        (752, 480, changed(1, 1, 1e5), 'equidistant', [], 'no lens has .* fy=100000'),
        (752, 480, MATRIX, 'brown', [], "'brown' is unknown"),
        (752, 480, MATRIX, 'plumb_bob', [0.1] * 3, 'plumb_bob takes 0 or 4 or 5'),
        (752, 480, MATRIX, 'rational_polynomial', [0.1] * 5, 'rational_polynomial takes'),
        (752, 480, MATRIX, 'equidistant', [0.1] * 5, 'equidistant takes 0 or 4'),
        (752, 480, MATRIX, 'none', [0.1], 'none takes 0'),
        (752, 480, MATRIX, 'plumb_bob', [[0.1] * 5], 'shape'),
        (752, 480, MATRIX, 'plumb_bob', [np.inf] * 5, 'not finite'),
        (752, 480, MATRIX, 'plumb_bob', ['a'] * 5, 'not an array of numbers'),
    ],
)
def test_impossible_intrinsics_are_refused_with_the_reason(
    width: int, height: int, matrix: np.ndarray, model: str, distortion: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Camera(width, height, matrix, model, distortion)  # type: ignore[arg-type]


COEFFICIENT = st.floats(-1.0, 1.0, allow_nan=False)


@given(
    st.one_of(
        st.tuples(st.just('plumb_bob'), st.lists(COEFFICIENT, min_size=5, max_size=5)),
        st.tuples(st.just('rational_polynomial'), st.lists(COEFFICIENT, min_size=8, max_size=8)),
        st.tuples(st.just('equidistant'), st.lists(COEFFICIENT, min_size=4, max_size=4)),
    )
)
def test_every_ray_that_is_returned_maps_back_to_its_point(model: tuple[str, list[float]]) -> None:
    camera = Camera(752, 480, MATRIX, model[0], np.array(model[1]))
    rays = camera.normalize(IMAGE_POINTS)
    valid = np.isfinite(rays).all(axis=1)
    assert (np.isnan(rays).any(axis=1) == ~valid).all()
    back = camera.project(np.column_stack([rays[valid], np.ones(valid.sum())]))
    assert np.abs(back - IMAGE_POINTS[valid]).max(initial=0.0) < 0.1


@pytest.mark.parametrize('gap', [0.0, 1e-6, 1e-4, 1e-3])
def test_a_rational_model_goes_on_where_numerator_and_denominator_vanish_together(
    gap: float,
) -> None:
    # (1 + a s)(1 - s/r) above (1 + b s)(1 - s/r'), r' close to r: as fitted to a wide lens.
    a, b, root = 0.30, 0.45, 0.4
    other = root * (1 + gap)
    above = np.array([a - 1 / root, -a / root, 0.0])
    below = np.array([b - 1 / other, -b / other, 0.0])
    coefficients = np.array([above[0], above[1], 0, 0, above[2], *below])
    matrix = np.array([[300.0, 0, 320], [0, 300, 240], [0, 0, 1]])
    camera = Camera(640, 480, matrix, 'rational_polynomial', coefficients)
    x, y = np.meshgrid(np.arange(0, 640, 7), np.arange(0, 480, 7))
    points = np.column_stack([x.ravel(), y.ravel()]).astype(np.float64)
    rays = camera.normalize(points)
    assert np.isfinite(rays).all(axis=1).mean() > 0.93
    # The model without the common factor.
    square = (rays**2).sum(axis=1)
    plain = rays * ((1 + a * square) / (1 + b * square))[:, None] * 300 + [320, 240]
    errors = np.hypot(*(plain - points).T)
    assert np.nanpercentile(errors, 90) < max(0.1, 3e3 * gap)


def test_a_rational_model_ends_where_only_its_denominator_vanishes() -> None:
    coefficients = np.array([0.1, 0, 0, 0, 0, -1 / 0.4, 0, 0])
    matrix = np.array([[300.0, 0, 320], [0, 300, 240], [0, 0, 1]])
    camera = Camera(640, 480, matrix, 'rational_polynomial', coefficients)
    assert np.isnan(camera.project([[0.8, 0.0, 1.0]])).all()
    assert np.isfinite(camera.project([[0.3, 0.0, 1.0]])).all()
