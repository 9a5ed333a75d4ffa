"""Masks of images, from pixels to matches: what is masked never matches."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from loftr_ros.matching.matcher import Matcher

Mask = NDArray[np.bool_]
SIZE = (100, 140)
STRIDE = 16


@pytest.fixture(scope='module')
def matcher() -> Matcher:
    return Matcher(
        'lite', device='cpu', precision='float32', longer_side=None, confidence_threshold=0.0
    )


def allowed_cells(mask: Mask) -> set[int]:
    """Cells of which more than half of the pixels on the image are allowed, pixel by pixel."""
    rows, columns = (-(-side // STRIDE) for side in mask.shape)
    parts = [
        mask[STRIDE * row : STRIDE * (row + 1), STRIDE * column : STRIDE * (column + 1)]
        for row in range(rows)
        for column in range(columns)
    ]
    return {index for index, part in enumerate(parts) if 2 * part.sum() > part.size}


boxes = st.tuples(st.integers(0, 90), st.integers(0, 130), st.integers(1, 99), st.integers(1, 139))


@st.composite
def masks(draw: st.DrawFn) -> Mask:
    mask = np.ones(SIZE, np.bool_)
    if draw(st.booleans()):
        noise = np.random.default_rng(draw(st.integers(0, 99))).random((7, 9))
        mask = np.repeat(np.repeat(noise < 0.6, STRIDE, 0), STRIDE, 1)[: SIZE[0], : SIZE[1]].copy()
    for top, left, height, width in draw(st.lists(boxes, max_size=3)):
        mask[top : top + height, left : left + width] = False
    return mask


@settings(max_examples=25, deadline=None)
@given(masks(), masks())
def test_masked_cells_never_match_in_either_image(
    matcher: Matcher, first: Mask, second: Mask
) -> None:
    coarse = np.random.default_rng(0).integers(0, 255, (25, 35), np.uint8)
    image = np.asarray(cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
    maps = [matcher.encode(image, mask).maps for mask in (first, second)]
    with torch.inference_mode():
        found = matcher.network.match(maps[0], maps[1], 0.0).coarse

    assert set(found.cells0.tolist()) <= allowed_cells(first)
    assert set(found.cells1.tolist()) <= allowed_cells(second)
    if first.all() and second.all():
        assert len(found.cells0) > 5


@settings(max_examples=10, deadline=None)
@given(masks())
def test_what_lies_under_the_mask_beyond_reach_changes_nothing(
    matcher: Matcher, mask: Mask
) -> None:
    """The values of masked cells weigh nowhere: neither in attention nor in the softmax."""
    image = np.random.default_rng(1).integers(0, 255, SIZE, np.uint8)
    reference, query = matcher.encode(image, mask), matcher.encode(image)
    corrupted = reference.maps.coarse.clone()
    assert reference.maps.mask is not None
    corrupted.masked_fill_(~reference.maps.mask[:, None], 7.0)
    with torch.inference_mode():
        clean = matcher.network.match(reference.maps, query.maps, 0.0)
        other = matcher.network.match(replace(reference.maps, coarse=corrupted), query.maps, 0.0)

    assert torch.equal(other.coarse.cells0, clean.coarse.cells0)
    assert torch.equal(other.coarse.cells1, clean.coarse.cells1)
    torch.testing.assert_close(other.points1, clean.points1, rtol=0, atol=1e-4)
