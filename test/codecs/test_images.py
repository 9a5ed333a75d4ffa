"""Image messages: every encoding is read, every contradiction is refused with its reason."""

from __future__ import annotations

import array
import contextlib
import struct
import subprocess
import sys
import zlib
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from loftr_ros.codecs.images import (
    LAYOUTS,
    PLANES,
    ImageConversionError,
    image_from_msg,
    image_to_msg,
    size_of,
)

Array = npt.NDArray[Any]


def message(pixels: Array, encoding: str, *, padding: int = 0, big_endian: bool = False) -> Image:
    """Write pixels (H, W) or (H, W, C) as they are, with padded rows if asked."""
    dtype = pixels.dtype.newbyteorder('>' if big_endian else '<')
    rows = [row.astype(dtype).tobytes() + b'\xee' * padding for row in pixels]
    msg = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding)
    msg.step = len(rows[0])
    msg.is_bigendian = int(big_endian)
    msg.data = array.array('B', b''.join(rows))
    return msg


def ramp(dtype: str, *shape: int) -> Array:
    return (np.arange(np.prod(shape)) * 37 % 251).reshape(shape).astype(dtype)


@pytest.mark.parametrize('big_endian', [False, True])
@pytest.mark.parametrize('padding', [0, 3, 8])
@pytest.mark.parametrize(
    ('encoding', 'dtype'),
    [
        ('mono8', 'uint8'),
        ('8UC1', 'uint8'),
        ('mono16', 'uint16'),
        ('16UC1', 'uint16'),
        ('32FC1', 'float32'),
    ],
)
def test_grey_images_are_taken_as_they_are(
    encoding: str, dtype: str, padding: int, big_endian: bool
) -> None:
    pixels = ramp(dtype, 5, 7)
    image = image_from_msg(message(pixels, encoding, padding=padding, big_endian=big_endian))
    np.testing.assert_array_equal(image, pixels)
    assert image.dtype == np.dtype(dtype)
    assert image.flags.c_contiguous


@pytest.mark.parametrize('big_endian', [False, True])
@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize('depth', ['8', '16'])
@pytest.mark.parametrize(
    ('order', 'channels'), [('rgb', 'rgb'), ('bgr', 'bgr'), ('rgba', 'rgba'), ('bgra', 'bgra')]
)
def test_colours_become_rgb(
    order: str, channels: str, depth: str, padding: int, big_endian: bool
) -> None:
    pixels = ramp(f'uint{depth}', 4, 6, len(channels))
    image = image_from_msg(message(pixels, order + depth, padding=padding, big_endian=big_endian))
    expected = pixels[:, :, [channels.index(colour) for colour in 'rgb']]
    np.testing.assert_array_equal(image, expected)
    assert image.dtype == pixels.dtype


def test_generic_colours_are_in_the_order_of_opencv() -> None:
    pixels = ramp('uint8', 3, 4, 3)
    np.testing.assert_array_equal(image_from_msg(message(pixels, '8UC3')), pixels[:, :, ::-1])
    pixels = ramp('uint8', 3, 4, 4)
    np.testing.assert_array_equal(image_from_msg(message(pixels, '8UC4')), pixels[:, :, 2::-1])


def test_64_bit_floats_become_32_bit_ones() -> None:
    pixels = ramp('float64', 3, 4) / 251
    image = image_from_msg(message(pixels, '64FC1'))
    np.testing.assert_array_equal(image, pixels.astype(np.float32))


@pytest.mark.parametrize('padding', [0, 2])
@pytest.mark.parametrize('depth', ['8', '16'])
@pytest.mark.parametrize(
    ('tile', 'red', 'blue'),
    [
        ('rggb', (0, 0), (1, 1)),
        ('bggr', (1, 1), (0, 0)),
        ('gbrg', (1, 0), (0, 1)),
        ('grbg', (0, 1), (1, 0)),
    ],
)
def test_bayer_tiles_become_rgb(
    tile: str, red: tuple[int, int], blue: tuple[int, int], depth: str, padding: int
) -> None:
    full = 255 if depth == '8' else 65535
    mosaic = np.zeros((8, 8), f'uint{depth}')
    mosaic[red[0] :: 2, red[1] :: 2] = full
    image = image_from_msg(message(mosaic, f'bayer_{tile}{depth}', padding=padding))
    assert image.dtype == mosaic.dtype
    np.testing.assert_array_equal(image[4, 4], [full, 0, 0])
    mosaic[:] = 0
    mosaic[blue[0] :: 2, blue[1] :: 2] = full
    image = image_from_msg(message(mosaic, f'bayer_{tile}{depth}', padding=padding))
    np.testing.assert_array_equal(image[4, 4], [0, 0, full])


@pytest.mark.parametrize('padding', [0, 4])
@pytest.mark.parametrize('encoding', ['yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv'])
def test_packed_yuv_becomes_rgb(encoding: str, padding: int) -> None:
    # Red in ITU-R BT.601: Y 82, U 90, V 240.
    order = [90, 82, 240, 82] if encoding in ('yuv422', 'uyvy') else [82, 90, 82, 240]
    pixels = np.tile(np.array(order, np.uint8).reshape(2, 2), (4, 2, 1))
    image = image_from_msg(message(pixels, encoding, padding=padding))
    np.testing.assert_allclose(image, np.broadcast_to([255, 0, 0], (4, 4, 3)), atol=3)


@pytest.mark.parametrize('padding', [0, 4])
@pytest.mark.parametrize(('encoding', 'chroma_rows'), [('nv12', 3), ('nv21', 3), ('nv24', 12)])
def test_planar_yuv_gives_its_luma(encoding: str, chroma_rows: int, padding: int) -> None:
    luma = ramp('uint8', 6, 8)
    planes = np.vstack([luma, np.full((chroma_rows, 8), 128, np.uint8)])
    msg = message(planes, encoding, padding=padding)
    msg.height = 6
    np.testing.assert_array_equal(image_from_msg(msg), luma)


def test_the_last_row_may_lack_its_padding() -> None:
    pixels = ramp('uint8', 4, 5)
    msg = message(pixels, 'mono8', padding=3)
    msg.data = msg.data[:-3]
    np.testing.assert_array_equal(image_from_msg(msg), pixels)


@pytest.mark.parametrize('extension', ['.png', '.jpg', '.webp'])
def test_compressed_images_become_rgb(extension: str) -> None:
    bgr = np.full((16, 16, 3), (10, 120, 240), np.uint8)
    msg = CompressedImage(format='bgr8; jpeg compressed bgr8')
    msg.data = array.array('B', cv2.imencode(extension, bgr)[1].tobytes())
    np.testing.assert_allclose(image_from_msg(msg)[8, 8], [240, 120, 10], atol=3)


def test_compressed_images_that_kept_their_rgb_order_are_not_swapped() -> None:
    rgb = np.full((4, 4, 3), (10, 120, 240), np.uint8)
    msg = CompressedImage(format='rgb8; png compressed ')
    msg.data = array.array('B', cv2.imencode('.png', rgb)[1].tobytes())
    np.testing.assert_array_equal(image_from_msg(msg), rgb)


def test_compressed_grey_images_of_16_bit_keep_their_depth() -> None:
    grey = ramp('uint16', 6, 6) * 200
    msg = CompressedImage(format='mono16; png compressed ')
    msg.data = array.array('B', cv2.imencode('.png', grey)[1].tobytes())
    np.testing.assert_array_equal(image_from_msg(msg), grey)


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'step': 3}, 'step is 3 bytes, but a row of 6 px in rgb8 takes 18'),
        ({'step': 0}, 'step is 0 bytes'),
        ({'data': array.array('B', bytes(70))}, 'truncated: 70 bytes'),
        ({'data': array.array('B')}, 'truncated: 0 bytes'),
        ({'data': array.array('B', bytes(73))}, '73 bytes, more than the 72'),
        ({'step': 30}, 'truncated: 72 bytes, but 4 rows of 30 bytes'),
        ({'encoding': 'rgb9'}, "'rgb9' is not supported"),
        ({'encoding': ''}, "'' is not supported"),
        ({'encoding': '8SC3'}, "'8SC3' is not supported"),
        ({'encoding': 'mono8'}, ''),
        ({'height': 0}, r'empty \(6x0 px\)'),
        ({'width': 0}, r'empty \(0x4 px\)'),
        ({'width': 2**32 - 1}, 'step is 18 bytes'),
        ({'height': 2**32 - 1}, 'truncated'),
    ],
)
def test_messages_that_contradict_themselves_are_refused(
    changes: dict[str, Any], reason: str
) -> None:
    msg = message(ramp('uint8', 4, 6, 3), 'rgb8')
    for name, value in changes.items():
        setattr(msg, name, value)
    if not reason:  # grey rows with padding are what this says
        assert image_from_msg(msg).shape == (4, 6)
        return
    with pytest.raises(ImageConversionError, match=reason):
        image_from_msg(msg)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_images_that_are_not_finite_are_refused(value: float) -> None:
    pixels = np.zeros((3, 4), np.float32)
    pixels[1, 2] = value
    with pytest.raises(ImageConversionError, match='1 of 12 pixel values are NaN or infinite'):
        image_from_msg(message(pixels, '32FC1'))


@pytest.mark.parametrize('extension', ['.png', '.jpg'])
def test_truncated_compressed_images_are_refused(extension: str) -> None:
    data = cv2.imencode(extension, ramp('uint8', 64, 64, 3))[1].tobytes()
    for length in (len(data) // 2, len(data) - 20):
        msg = CompressedImage(format='jpeg', data=array.array('B', data[:length]))
        with pytest.raises(ImageConversionError, match=f'truncated after {length} bytes'):
            image_from_msg(msg)


def test_bytes_after_the_end_of_a_compressed_image_do_not_matter() -> None:
    data = cv2.imencode('.jpg', ramp('uint8', 16, 16))[1].tobytes() + bytes(100)
    assert image_from_msg(CompressedImage(format='jpeg', data=array.array('B', data))).shape == (
        16,
        16,
    )


@pytest.mark.parametrize(
    ('data', 'image_format', 'reason'),
    [
        (b'', 'jpeg', '0 bytes'),
        (b'no image', 'jpeg', "format 'jpeg' are not an image"),
        (b'no image', '16UC1; compressedDepth', 'compressedDepth'),
    ],
)
def test_compressed_data_that_is_no_image_is_refused(
    data: bytes, image_format: str, reason: str
) -> None:
    msg = CompressedImage(format=image_format, data=array.array('B', data))
    with pytest.raises(ImageConversionError, match=reason):
        image_from_msg(msg)


@settings(max_examples=300, deadline=None)
@given(
    encoding=st.sampled_from([*LAYOUTS, *PLANES, '8UC2', 'mono32']),
    height=st.integers(0, 6),
    width=st.integers(0, 6),
    step=st.integers(0, 40),
    size=st.integers(0, 160),
    big_endian=st.booleans(),
)
def test_whatever_the_header_says_there_is_an_image_or_a_reason(
    encoding: str, height: int, width: int, step: int, size: int, big_endian: bool
) -> None:
    msg = Image(height=height, width=width, step=step, encoding=encoding)
    msg.is_bigendian = int(big_endian)
    msg.data = array.array('B', bytes(size))
    with contextlib.suppress(ImageConversionError):
        image = image_from_msg(msg)
        assert image.shape[:2] == (height, width)
        assert image.shape[2:] in ((), (3,))
        assert image.dtype in (np.uint8, np.uint16, np.float32)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.text(max_size=12))
def test_whatever_bytes_arrive_there_is_an_image_or_a_reason(
    data: bytes, image_format: str
) -> None:
    msg = CompressedImage(format=image_format, data=array.array('B', data))
    with contextlib.suppress(ImageConversionError):
        image_from_msg(msg)


@pytest.mark.parametrize(
    'image',
    [
        ramp('uint8', 3, 5),
        ramp('uint16', 3, 5),
        ramp('float32', 3, 5),
        ramp('uint8', 3, 5, 3),
        ramp('uint16', 3, 5, 3),
    ],
)
def test_images_survive_the_round_trip(image: Array) -> None:
    header = Header(frame_id='camera')
    msg = image_to_msg(image, header)
    assert msg.header is header
    np.testing.assert_array_equal(image_from_msg(msg), image)


def test_arrays_without_an_encoding_are_refused() -> None:
    for image in (ramp('uint8', 3, 5, 2), ramp('int32', 3, 5), ramp('float32', 3, 5, 3)):
        with pytest.raises(ImageConversionError, match='no encoding'):
            image_to_msg(image)


@pytest.mark.parametrize('encoding', ['yuv422', 'yuyv'])
def test_a_colour_image_that_opencv_refuses_gives_the_reason(encoding: str) -> None:
    with pytest.raises(ImageConversionError, match=rf'3x2 px {encoding} cannot be converted'):
        image_from_msg(message(ramp('uint8', 2, 3, 2), encoding))


def png_header(width: int, height: int) -> bytes:
    """Return a small file that announces RGBA of 16 bit; nobody can afford to decode it."""
    head = b'IHDR' + struct.pack('>IIBBBBB', width, height, 16, 6, 0, 0, 0)
    body = struct.pack('>I', 13) + head + struct.pack('>I', zlib.crc32(head))
    return b'\x89PNG\r\n\x1a\n' + body + bytes(4) + b'IEND' + bytes(4)


def test_a_small_file_of_many_pixels_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('it was decoded'))
    data = array.array('B', png_header(8000, 8000))
    msg = CompressedImage(format='rgba16; png compressed', data=data)
    assert size_of(msg) == (8000, 8000)
    with pytest.raises(ImageConversionError, match=r'8000x8000 px, 512 MB .* allowed are 256 MB'):
        image_from_msg(msg)
    with pytest.raises(ImageConversionError, match='allowed are 10 MB'):
        image_from_msg(msg, max_bytes=10_000_000)


def test_names_of_any_length_are_shortened() -> None:
    msg = Image(height=1, width=1, step=1, encoding='x' * 10**6, data=[0])
    with pytest.raises(ImageConversionError) as refusal:
        image_from_msg(msg)
    assert len(str(refusal.value)) < 1000


COLOURS = [
    name for name in LAYOUTS if not name.startswith(('mono', 'rgb8', 'rgb16')) and 'C' not in name
]


@pytest.mark.parametrize('encoding', COLOURS)
def test_colours_are_those_of_another_converter(encoding: str) -> None:
    convert = pytest.importorskip('rosbags.image', reason='rosbags-image is not installed')
    layout = LAYOUTS[encoding]
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, layout.channels))
    msg = message(pixels.astype(layout.dtype), encoding)
    if encoding in ('uyvy', 'yuyv'):  # names of Iron and later
        older = {'uyvy': 'yuv422', 'yuyv': 'yuv422_yuy2'}[encoding]
        msg, other = message(pixels.astype(layout.dtype), older), msg
        np.testing.assert_array_equal(image_from_msg(other), image_from_msg(msg))
    expected = convert.image_to_cvimage(msg, 'rgb16' if layout.dtype == 'uint16' else 'rgb8')
    np.testing.assert_array_equal(image_from_msg(msg), expected)


def test_no_bridge_is_needed_to_read_images() -> None:
    code = (
        'import sys; sys.modules.update(dict.fromkeys(("cv_bridge", "rosbags"))); '
        'import numpy as np; from types import SimpleNamespace as S; '
        'from loftr_ros.codecs.images import image_from_msg; '
        'image_from_msg(S(height=2, width=2, step=2, encoding="bayer_rggb8", is_bigendian=0, '
        'data=bytes(4))); import loftr_ros.ros.node'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
