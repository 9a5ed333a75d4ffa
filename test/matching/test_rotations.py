"""Images of cameras that roll: in which rotation they match, and where the matches are."""

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
from loftr_ros.matching.rotations import ROTATIONS, rotated, rotated_back
from loftr_ros.rendering.procedural import procedural_texture

DATA = Path(os.environ.get('LOFTR_ROS_DATA', Path(__file__).parents[3] / 'shared/data'))
REAL = DATA / 'kitti_stereo/image_l'

Image = NDArray[np.uint8]


@pytest.fixture(scope='module')
def matcher() -> Matcher:
    return Matcher('lite', device='cpu', longer_side=320, try_rotations=True)


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


@given(st.sampled_from(ROTATIONS), st.floats(-0.5, 8.5), st.floats(-0.5, 5.5))
def test_corners_and_halves_of_pixels_rotate_with_the_image(
    rotation: int, x: float, y: float
) -> None:
    size = (6, 9)
    point = np.array([[x, y]], np.float32)
    rotated_size = size[::-1] if rotation % 180 else size

    again = rotated_back(rotated_back(point, rotation, size), -rotation % 360, rotated_size)

    np.testing.assert_allclose(again, point, atol=1e-5)


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
    fresh = Matcher('lite', device='cpu', longer_side=320, try_rotations=True)
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
    strict = Matcher('lite', device='cpu', confidence_threshold=1.0, try_rotations=True)

    assert len(strict.match_images(texture, 255 - texture[::-1])) == 0


@pytest.mark.parametrize('limit', [5, 40])
def test_few_matches_by_choice_are_no_reason_to_rotate(texture: Image, limit: int) -> None:
    capped = Matcher('lite', device='cpu', max_matches=limit, try_rotations=True)

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

    assert matches.rotation in ROTATIONS
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

    found = Matcher('lite', device='cpu', try_rotations=True).match_images(
        first, rotated(second, rotation)
    )

    assert (found.rotation + rotation) % 360 == 0
    # The image is rotated back before anything is computed: the same cells, the same positions.
    np.testing.assert_array_equal(found.reference_cells, upright.reference_cells)
    back = rotated_back(found.query_points, rotation, second.shape)
    np.testing.assert_allclose(back, upright.query_points, atol=1e-3)
