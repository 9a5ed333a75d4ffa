import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loftr_ros.matching.config import LITE
from loftr_ros.matching.errors import ImageError
from loftr_ros.matching.limits import SizeLimits
from loftr_ros.matching.preprocessing import prepare, to_grey, to_original


def test_grey_and_colour_images_become_the_same_grey() -> None:
    grey = np.arange(64 * 48, dtype=np.uint8).reshape(48, 64)
    colour = np.repeat(grey[:, :, None], 3, axis=2)

    np.testing.assert_allclose(to_grey(colour), to_grey(grey), atol=1e-6)


def test_alpha_is_ignored() -> None:
    image = np.full((8, 8, 4), 100, np.uint8)
    image[..., 3] = np.arange(64).reshape(8, 8)

    np.testing.assert_allclose(to_grey(image), 100 / 255, atol=1e-6)


def test_sixteen_bit_images_are_stretched_to_their_range() -> None:
    image = np.linspace(1000, 5000, 400).reshape(20, 20).astype(np.uint16)

    grey = to_grey(image)

    assert grey.min() == 0
    assert grey.max() == 1


def test_a_constant_sixteen_bit_image_stays_finite() -> None:
    assert np.isfinite(to_grey(np.full((8, 8), 40000, np.uint16))).all()


@pytest.mark.parametrize(
    ('image', 'reason'),
    [
        (np.zeros((0, 5), np.uint8), 'empty'),
        (np.zeros((4, 5, 2), np.uint8), 'expected'),
        (np.zeros(5, np.uint8), 'expected'),
        (np.zeros((4, 5), np.int32), 'int32'),
        (np.full((4, 5), np.nan, np.float32), '20 of 20'),
        (np.full((4, 5), np.inf, np.float32), 'infinite'),
        (np.full((4, 5), 200, np.float32), r'scale it to \[0, 1\]'),
        ([[1, 2], [3, 4]], 'list'),
    ],
)
def test_unusable_images_are_refused_with_the_reason(image: object, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        to_grey(image)  # type: ignore[arg-type]


def test_padding_is_masked() -> None:
    prepared = prepare(np.zeros((40, 50), np.uint8), LITE)

    assert prepared.image.shape == (1, 1, 48, 64)
    assert prepared.mask is not None
    # Cells are centred on pixels 1.5, 17.5, 33.5, 49.5: the last one is half a pixel outside.
    assert prepared.mask[0].sum(0).amax() == 3
    assert prepared.mask[0].sum(1).amax() == 4


def test_images_of_whole_cells_need_no_mask() -> None:
    assert prepare(np.zeros((48, 64), np.uint8), LITE).mask is None


def test_images_are_shrunk_but_never_enlarged() -> None:
    assert prepare(np.zeros((100, 200), np.uint8), LITE, SizeLimits(64)).image.shape[-1] == 64
    assert prepare(np.zeros((10, 20), np.uint8), LITE, SizeLimits(64)).scale == (1.0, 1.0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([None, 16, 33, 64]))
def test_images_of_any_size_become_whole_cells(
    height: int, width: int, longer_side: int | None
) -> None:
    prepared = prepare(np.zeros((height, width), np.uint8), LITE, SizeLimits(longer_side))

    assert prepared.image.shape[-2] % 16 == 0
    assert prepared.image.shape[-1] % 16 == 0
    assert prepared.image_size == (height, width)


def test_pixels_map_back_by_the_half_pixel_rule() -> None:
    corners = np.array([[-0.5, -0.5], [319.5, 239.5]])

    np.testing.assert_allclose(to_original(corners, (0.5, 0.5)), [[-0.5, -0.5], [639.5, 479.5]])


def test_a_bright_dot_keeps_its_place_through_the_resize() -> None:
    image = np.zeros((120, 200), np.uint8)
    image[52:56, 92:96] = 255
    prepared = prepare(image, dataclasses.replace(LITE), SizeLimits(100))
    row, column = divmod(int(prepared.image.flatten().argmax()), prepared.image.shape[-1])

    # The first of the equally bright network pixels covers original pixels 92 and 93.
    found = to_original(np.array([[column, row]]), prepared.scale)
    np.testing.assert_allclose(found, [[92.5, 52.5]])
