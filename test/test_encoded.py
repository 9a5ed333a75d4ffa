"""The header of an encoded image states its size; its end shows that it is whole."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loftr_ros.encoded import encoded_size, is_complete


@pytest.mark.parametrize(
    ('suffix', 'dtype', 'channels', 'pixel_bytes'),
    [
        ('.png', 'uint8', 1, 1),
        ('.png', 'uint16', 1, 2),
        ('.png', 'uint8', 3, 3),
        ('.png', 'uint16', 4, 8),
        ('.jpg', 'uint8', 1, 1),
        ('.jpg', 'uint8', 3, 3),
    ],
)
def test_the_size_of_an_image_is_that_of_its_header(
    suffix: str, dtype: str, channels: int, pixel_bytes: int
) -> None:
    pixels = np.zeros((30, 50, channels), dtype)
    data = cv2.imencode(suffix, pixels)[1].tobytes()
    assert encoded_size(data) == (50, 30, pixel_bytes)
    assert is_complete(data)
    assert not is_complete(data[:-20])


def test_a_progressive_image_has_a_size_as_well() -> None:
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    data = cv2.imencode('.jpg', np.zeros((30, 50, 3), np.uint8), options)[1].tobytes()
    assert encoded_size(data) == (50, 30, 3)


@given(st.sampled_from([b'', b'\xff\xd8', b'\x89PNG\r\n\x1a\n']), st.binary(max_size=200))
def test_whatever_the_bytes_there_is_an_answer(start: bytes, rest: bytes) -> None:
    size = encoded_size(start + rest)
    assert size is None or size.decoded_bytes >= 0
    is_complete(start + rest)
