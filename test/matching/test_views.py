"""Images of cameras that roll or zoom: in which view they match, and where the matches are."""

import io
import os
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.network import FeatureMaps
from loftr_ros.matching.views import QUARTERS, UPRIGHT, View, see, to_image, to_view
from loftr_ros.rendering.procedural import procedural_texture

DATA = Path(os.environ.get('LOFTR_ROS_DATA', Path(__file__).parents[3] / 'shared/data'))
REAL = DATA / 'kitti_stereo/image_l'

Image = NDArray[np.uint8]
ROTATIONS = [view.rotation for view in QUARTERS]


def rotated(image: NDArray[Any], rotation: int) -> NDArray[Any]:
    return see(image, None, View(rotation)).image


def rotated_back(points: NDArray[Any], rotation: int, size: tuple[int, ...]) -> NDArray[np.float32]:
    return to_image(points, see(np.zeros(size, np.uint8), None, View(rotation)).image_A_view)


@pytest.fixture(scope='module')
def matcher() -> Matcher:
    return Matcher('lite', device='cpu', longer_side=320, try_views=True)


@pytest.fixture(scope='module')
def texture() -> Image:
    return procedural_texture(512, np.random.default_rng(5))[:400, :500]


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from(ROTATIONS))
def test_every_pixel_of_a_rotated_image_is_found_in_the_image(
    height: int, width: int, rotation: int
) -> None:
    image = np.arange(height * width).reshape(height, width)
    view = rotated(image, rotation)
    y, x = (axis.ravel() for axis in np.indices(view.shape))

    points = rotated_back(np.stack([x, y], 1).astype(np.float32), rotation, (height, width))

    columns, rows = points.T.astype(np.int64)
    np.testing.assert_array_equal(image[rows, columns], view.ravel())


@settings(deadline=None)
@given(st.integers(0, 359), st.floats(0.3, 3.0), st.floats(-0.5, 39.5), st.floats(-0.5, 29.5))
def test_a_point_goes_into_any_view_and_back(
    rotation: int, zoom: float, x: float, y: float
) -> None:
    point = np.array([[x, y]], np.float32)
    seen = see(np.zeros((30, 40), np.uint8), None, View(rotation), zoom)

    inside = to_view(point, seen.image_A_view)

    height, width = seen.image.shape
    assert (inside > -2).all()
    assert (inside < [width + 1, height + 1]).all()
    np.testing.assert_allclose(to_image(inside, seen.image_A_view), point, atol=1e-3)


@pytest.mark.parametrize('zoom', [0.5, 1.0, 2.0])
@pytest.mark.parametrize('rotation', [0, 30, 90, 200])
def test_a_view_shows_each_pixel_where_its_map_says(rotation: int, zoom: float) -> None:
    x, y = np.meshgrid(np.arange(80), np.arange(60))
    seen = see(np.stack([x, y, x], 2).astype(np.float32), None, View(rotation), zoom)
    rows, columns = np.mgrid[: seen.image.shape[0], : seen.image.shape[1]]
    inside = np.ones(rows.shape, bool) if seen.mask is None else seen.mask
    expected = to_image(np.stack([columns, rows], 2)[inside], seen.image_A_view)
    away = (np.abs(expected - [39.5, 29.5]) < [36, 26]).all(axis=1)

    assert away.sum() > 0.7 * zoom**2 * 72 * 52
    np.testing.assert_allclose(seen.image[inside][away][:, :2], expected[away], atol=0.05)


@pytest.mark.parametrize('rotation', ROTATIONS)
def test_a_rotated_image_is_matched_at_the_pixels_it_came_with(
    matcher: Matcher, texture: Image, rotation: int
) -> None:
    query = rotated(texture, rotation)

    matches = matcher.match_images(texture, query)

    assert len(matches) > 100
    assert (matches.rotation + rotation) % 360 == 0
    expected = rotated_back(matches.query_points, rotation, (400, 500))
    error = np.linalg.norm(expected - matches.reference_points, axis=1)
    assert np.median(error) < 0.6
    plain = Matcher('lite', device='cpu', longer_side=320).match_images(texture, query)
    if rotation:
        assert len(plain) < 0.3 * len(matches)
    else:
        np.testing.assert_array_equal(plain.query_points, matches.query_points)


def test_a_rotation_that_is_known_is_tried_first(
    matcher: Matcher, texture: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    encode = matcher.network.encode

    def counted(image: torch.Tensor, *masks: Any, **options: Any) -> FeatureMaps:  # noqa: ANN401
        encoded.append(image.shape)
        return encode(image, *masks, **options)

    monkeypatch.setattr(matcher.network, 'encode', counted)
    reference = matcher.encode(texture)
    matcher.match(reference, matcher.encode(rotated(texture, 90)))
    encoded.clear()

    matches = matcher.match(reference, matcher.encode(rotated(texture, 90)))

    assert matches.rotation == 270
    assert len(encoded) == 1


def test_a_rotated_image_can_become_the_reference(matcher: Matcher, texture: Image) -> None:
    rolled = rotated(texture, 180)
    features = matcher.encode(rolled)
    matcher.match(matcher.encode(texture), features)

    matches = matcher.match(features, matcher.encode(rolled))

    assert matches.rotation == 0
    assert len(matches) > 100
    np.testing.assert_allclose(matches.query_points, matches.reference_points, atol=2)


def test_what_is_found_does_not_depend_on_what_was_matched_before(texture: Image) -> None:
    fresh = Matcher('lite', device='cpu', longer_side=320, try_views=True)
    first = fresh.match_images(texture, rotated(texture, 90))

    again = fresh.match_images(texture, rotated(texture, 90))

    assert (first.rotation, again.rotation) == (270, 270)
    np.testing.assert_array_equal(again.query_points, first.query_points)
    np.testing.assert_array_equal(again.reference_cells, first.reference_cells)


def test_features_can_be_kept_in_a_file_and_go_on(matcher: Matcher, texture: Image) -> None:
    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> str | None:
            return 'matcher' if value is matcher else None

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, _: str) -> Matcher:
            return matcher

    file = io.BytesIO()
    Pickler(file).dump(matcher.encode(texture))
    file.seek(0)

    matches = matcher.match(Unpickler(file).load(), matcher.encode(rotated(texture, 180)))

    assert matches.rotation == 180
    assert len(matches) > 100


def test_nothing_in_common_is_no_match_of_some_rotation(texture: Image) -> None:
    strict = Matcher('lite', device='cpu', confidence_threshold=1.0, try_views=True)

    assert len(strict.match_images(texture, 255 - texture[::-1])) == 0


@pytest.mark.parametrize('limit', [5, 40])
def test_few_matches_by_choice_are_no_reason_to_rotate(texture: Image, limit: int) -> None:
    capped = Matcher('lite', device='cpu', max_matches=limit, try_views=True)

    matches = capped.match_images(texture, rotated(texture, 90))

    assert len(matches) == limit
    assert matches.rotation == 270
    assert capped.match_images(texture, texture).rotation == 0


def test_a_mask_rotates_with_its_image(matcher: Matcher, texture: Image) -> None:
    mask = np.ones(texture.shape, np.bool_)
    mask[:, :250] = False
    rolled = rotated(texture, 90)

    matches = matcher.match(matcher.encode(texture), matcher.encode(rolled, rotated(mask, 90)))

    assert matches.rotation == 270
    assert len(matches) > 50
    original = rotated_back(matches.query_points, 90, (400, 500))
    assert (original[:, 0] > 250 - 8 * 500 / 320 - 4).all()


@settings(max_examples=6, deadline=None)
@given(st.integers(20, 70), st.integers(20, 70))
def test_images_of_any_size_are_accepted(matcher: Matcher, height: int, width: int) -> None:
    image = np.random.default_rng(height * width).integers(0, 255, (height, width), np.uint8)

    matches = matcher.match_images(image, image[:, ::-1])

    for points in (matches.reference_points, matches.query_points):
        assert (points >= -16).all()
        assert (points <= np.array([width, height]) + 16).all()


@pytest.mark.skipif(not REAL.is_dir(), reason=f'no images in {REAL} (LOFTR_ROS_DATA)')
@pytest.mark.parametrize('rotation', [90, 180, 270])
def test_rotated_frames_of_a_car_match_as_those_upright_ones(rotation: int) -> None:
    first, second = (cv2.imread(str(path), 0) for path in sorted(REAL.iterdir())[:2])
    assert first is not None
    assert second is not None
    upright = Matcher('lite', device='cpu').match_images(first, second)

    found = Matcher('lite', device='cpu', try_views=True).match_images(
        first, rotated(second, rotation)
    )

    assert (found.rotation + rotation) % 360 == 0
    # The image is rotated back before anything is computed: the same cells, the same positions.
    np.testing.assert_array_equal(found.reference_cells, upright.reference_cells)
    back = rotated_back(found.query_points, rotation, second.shape)
    np.testing.assert_allclose(back, upright.query_points, atol=1e-3)


@pytest.mark.parametrize(('rotation', 'zoom'), [(0, 0.3), (40, 1.0), (130, 0.6)])
def test_a_query_that_is_rolled_and_small_is_matched_at_the_pixels_it_came_with(
    matcher: Matcher, texture: Image, rotation: int, zoom: float
) -> None:
    seen = see(texture, None, View(rotation), zoom)

    matches = matcher.match_images(texture, seen.image)

    expected = to_image(matches.query_points, seen.image_A_view)
    error = np.linalg.norm(expected - matches.reference_points, axis=1)
    plain = Matcher('lite', device='cpu', longer_side=320).match_images(texture, seen.image)
    assert len(matches) > max(100, 1.3 * len(plain))
    assert np.median(error) < 1.0
    assert np.median(error / (matches.sigma / zoom)) < 3


def test_images_that_match_as_they_are_are_seen_once(
    texture: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    matcher = Matcher('lite', device='cpu', longer_side=320, try_views=True)
    encoded = []
    encode = matcher.network.encode

    def counted(image: torch.Tensor, *masks: Any, **options: Any) -> FeatureMaps:  # noqa: ANN401
        encoded.append(image.shape)
        return encode(image, *masks, **options)

    monkeypatch.setattr(matcher.network, 'encode', counted)
    matcher.match_images(texture, texture[4:, 4:])

    assert len(encoded) == 2


def test_a_zoomed_query_becomes_a_reference_of_its_own_size(
    matcher: Matcher, texture: Image
) -> None:
    small = see(texture, None, UPRIGHT, 0.5).image
    features = matcher.encode(small)
    found = matcher.match(matcher.encode(texture), features)

    matches = matcher.match(features, matcher.encode(small))

    assert found.zoom > 1.3
    assert (matches.rotation, matches.zoom) == (0, 1.0)
    np.testing.assert_allclose(matches.query_points, matches.reference_points, atol=1)
