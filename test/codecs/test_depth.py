"""Depth images: metres from every encoding, NaN where nothing was measured."""

from __future__ import annotations

import array
import contextlib
import struct
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image

from loftr_ros.codecs.depth import depth_from_msg
from loftr_ros.codecs.images import ImageConversionError

NAN = np.nan


def raw(values: npt.NDArray[Any], encoding: str, *, big_endian: bool = False) -> Image:
    values = values.astype(values.dtype.newbyteorder('>' if big_endian else '<'))
    msg = Image(height=values.shape[0], width=values.shape[1], encoding=encoding)
    msg.step = values.shape[1] * values.itemsize
    msg.is_bigendian = int(big_endian)
    msg.data = array.array('B', values.tobytes())
    return msg


def compressed(
    picture: npt.NDArray[Any], encoding: str, scale: float = 0.0, offset: float = 0.0
) -> CompressedImage:
    data = struct.pack('<iff', 0, scale, offset) + cv2.imencode('.png', picture)[1].tobytes()
    return CompressedImage(format=f'{encoding}; compressedDepth png', data=array.array('B', data))


@pytest.mark.parametrize('big_endian', [False, True])
def test_millimetres_become_metres_and_zero_unknown(big_endian: bool) -> None:
    values = np.array([[0, 1, 1500], [65535, 20, 0]], np.uint16)
    depth = depth_from_msg(raw(values, '16UC1', big_endian=big_endian))
    expected = np.array([[NAN, 0.001, 1.5], [65.535, 0.02, NAN]], np.float32)
    np.testing.assert_allclose(depth, expected, rtol=1e-6)
    assert depth.dtype == np.float32


def test_metres_stay_and_all_that_is_no_distance_is_unknown() -> None:
    values = np.array([[1.25, NAN, np.inf], [-np.inf, -1.0, 0.0]], np.float32)
    depth = depth_from_msg(raw(values, '32FC1'))
    np.testing.assert_array_equal(depth, np.array([[1.25, NAN, NAN], [NAN] * 3], np.float32))


@pytest.mark.parametrize('word', ['compressedDepth png', 'compressedDepth'])
def test_compressed_millimetres_are_those_that_were_sent(word: str) -> None:
    values = np.array([[0, 900], [1234, 65535]], np.uint16)
    msg = compressed(values, '16UC1')
    msg.format = f'16UC1; {word}'
    expected = np.array([[NAN, 0.9], [1.234, 65.535]], np.float32)
    np.testing.assert_allclose(depth_from_msg(msg), expected, rtol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.3, 9.0), min_size=4, max_size=4))
def test_compressed_metres_are_exact_to_a_step_of_the_quantization(metres: list[float]) -> None:
    # The quantization of the publisher, with its defaults depth_max 10 and depth_quantization 100.
    scale = 100.0 * 101.0
    offset = 1.0 - scale / 10.0
    truth = np.array(metres).reshape(2, 2)
    steps = (scale / truth + offset).astype(np.uint16)
    depth = depth_from_msg(compressed(steps, '32FC1', scale, offset))
    # One step of the inverse depth is depth^2 / scale of the depth.
    np.testing.assert_allclose(depth, truth, atol=float(1.01 * (truth**2).max() / scale) + 1e-5)


def test_compressed_metres_without_measurement_are_unknown() -> None:
    depth = depth_from_msg(compressed(np.array([[0, 20000]], np.uint16), '32FC1', 10100, -1009))
    assert np.isnan(depth[0, 0])
    assert depth[0, 1] == pytest.approx(10100 / (20000 + 1009))


def test_pictures_are_no_depth() -> None:
    with pytest.raises(ImageConversionError, match="'rgb8' holds no depth"):
        depth_from_msg(raw(np.zeros((2, 2), np.uint8), 'rgb8'))
    jpeg = CompressedImage(format='rgb8; jpeg compressed bgr8', data=array.array('B', bytes(99)))
    with pytest.raises(ImageConversionError, match='no PNG with one channel of 16 bit'):
        depth_from_msg(jpeg)


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'data': array.array('B', bytes(12))}, 'truncated after 12 bytes'),
        ({'data': array.array('B', bytes(99))}, '87 bytes are no PNG of 16 bit'),
        ({'format': '16UC1; compressedDepth rvl'}, 'RVL is not supported'),
        ({'format': '8UC1; compressedDepth png'}, "'8UC1' holds no depth"),
        ({'format': '32FC1; compressedDepth png'}, 'no valid quantization: 0, 0'),
    ],
)
def test_malformed_depth_is_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    msg = compressed(np.ones((4, 4), np.uint16), '16UC1')
    for name, value in changes.items():
        setattr(msg, name, value)
    with pytest.raises(ImageConversionError, match=reason):
        depth_from_msg(msg)


def test_a_picture_cut_off_is_refused() -> None:
    msg = compressed(np.arange(4096, dtype=np.uint16).reshape(64, 64), '16UC1')
    msg.data = msg.data[:-30]
    with pytest.raises(ImageConversionError, match='truncated'):
        depth_from_msg(msg)


def test_colours_in_a_png_are_no_depth() -> None:
    with pytest.raises(ImageConversionError, match='no PNG of 16 bit'):
        depth_from_msg(compressed(np.zeros((4, 4, 3), np.uint8), '16UC1'))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(['16UC1', '32FC1']))
def test_whatever_the_bytes_nothing_but_the_named_error_comes(data: bytes, encoding: str) -> None:
    msg = CompressedImage(format=f'{encoding}; compressedDepth png', data=array.array('B', data))
    with contextlib.suppress(ImageConversionError):
        depth = depth_from_msg(msg)
        assert (np.isnan(depth) | (depth > 0)).all()


def test_a_png_of_16_bit_on_a_compressed_topic_is_depth() -> None:
    millimetres = np.array([[1500, 0], [65535, 2]], np.uint16)
    data = cv2.imencode('.png', millimetres)[1].tobytes()
    msg = CompressedImage(format='16UC1; png compressed ', data=array.array('B', data))
    np.testing.assert_allclose(depth_from_msg(msg), [[1.5, np.nan], [65.535, 0.002]])


@pytest.mark.parametrize(
    ('suffix', 'dtype', 'reason'),
    [
        ('.jpg', 'uint8', 'is JPEG: a lossy picture holds no depth'),
        ('.png', 'uint8', 'is no PNG with one channel of 16 bit'),
    ],
)
def test_other_pictures_on_a_compressed_topic_are_no_depth(
    suffix: str, dtype: str, reason: str
) -> None:
    data = cv2.imencode(suffix, np.zeros((8, 8), dtype))[1].tobytes()
    msg = CompressedImage(format='16UC1; compressed', data=array.array('B', data))
    with pytest.raises(ImageConversionError, match=reason):
        depth_from_msg(msg)
