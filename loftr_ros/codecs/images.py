"""Images between ROS messages and arrays, in every encoding that camera drivers publish.

Reading needs no ROS installation: any object with the fields of the message will do.
"""

from __future__ import annotations

import array
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from loftr_ros.encoded import encoded_size, is_complete
from loftr_ros.texts import shortened

if TYPE_CHECKING:
    from sensor_msgs.msg import CompressedImage, Image
    from std_msgs.msg import Header

Array = npt.NDArray[Any]


class ImageConversionError(ValueError):
    """An image message cannot be read; the message says what is wrong with it."""


class Layout(NamedTuple):
    """How one pixel lies in memory."""

    dtype: str
    channels: int


DEPTHS = {'8U': 'uint8', '16U': 'uint16', '32F': 'float32', '64F': 'float64'}

LAYOUTS = {
    **{f'{colours}8': Layout('uint8', len(colours)) for colours in ('rgb', 'bgr', 'rgba', 'bgra')},
    **{
        f'{colours}16': Layout('uint16', len(colours)) for colours in ('rgb', 'bgr', 'rgba', 'bgra')
    },
    'mono8': Layout('uint8', 1),
    'mono16': Layout('uint16', 1),
    **{f'bayer_{tile}8': Layout('uint8', 1) for tile in ('rggb', 'bggr', 'gbrg', 'grbg')},
    **{f'bayer_{tile}16': Layout('uint16', 1) for tile in ('rggb', 'bggr', 'gbrg', 'grbg')},
    **{name: Layout('uint8', 2) for name in ('yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv')},
    **{f'{depth}C{n}': Layout(dtype, n) for depth, dtype in DEPTHS.items() for n in (1, 3, 4)},
}
"""Encodings of sensor_msgs/image_encodings.hpp whose rows hold whole pixels."""

PLANES = {'nv12': 2, 'nv21': 2, 'nv24': 1}
"""Semi-planar YUV encodings: the plane of luma, then one of chroma whose rows are fewer by this."""

# OpenCV names a Bayer tile by its second row and column, ROS by its first.
TO_RGB = {
    'bgr': cv2.COLOR_BGR2RGB,
    'rgba': cv2.COLOR_RGBA2RGB,
    'bgra': cv2.COLOR_BGRA2RGB,
    'bayer_rggb': cv2.COLOR_BayerBG2RGB,
    'bayer_bggr': cv2.COLOR_BayerRG2RGB,
    'bayer_gbrg': cv2.COLOR_BayerGR2RGB,
    'bayer_grbg': cv2.COLOR_BayerGB2RGB,
    'yuv422': cv2.COLOR_YUV2RGB_UYVY,
    'uyvy': cv2.COLOR_YUV2RGB_UYVY,
    'yuv422_yuy2': cv2.COLOR_YUV2RGB_YUY2,
    'yuyv': cv2.COLOR_YUV2RGB_YUY2,
}
"""OpenCV's conversion of each colour encoding, whatever its depth."""

# OpenCV's own order, which its users publish under the generic names.
GENERIC_COLOURS = {3: slice(None, None, -1), 4: slice(2, None, -1)}

MAX_BYTES = 256_000_000
"""Larger compressed images are not decoded, bytes of the pixels: 80 megapixels in colour."""
FILE_MARKS = (b'\xff\xd8\xff', b'\x89PNG', b'BM', b'II*\0', b'MM\0*', b'RIFF', b'\0\0\0\x0cjP  ')
"""First bytes of the formats that OpenCV reads everywhere."""


def image_from_msg(msg: Image | CompressedImage, max_bytes: int = MAX_BYTES) -> Array:
    """Read an image message.

    Args:
        msg: The message.
        max_bytes: Compressed images with more bytes of pixels are refused before they are decoded.

    Returns:
        (H, W) grey or (H, W, 3) RGB; uint8, uint16 or float32. Semi-planar YUV gives its luma.

    Raises:
        ImageConversionError: The message contradicts itself, or its encoding is not known.
    """
    image = _decompress(msg, max_bytes) if hasattr(msg, 'format') else unpack(msg)
    if image.dtype.kind == 'f' and not np.isfinite(image).all():
        bad = int(np.count_nonzero(~np.isfinite(image)))
        raise ImageConversionError(f'{bad} of {image.size} pixel values are NaN or infinite')
    return image


def is_known_kind(msg: Image | CompressedImage) -> bool:
    """Whether messages like this one can be read, be they depth or pictures."""
    if not hasattr(msg, 'format'):
        return msg.encoding in LAYOUTS or msg.encoding in PLANES
    return 'compressedDepth' in msg.format or bytes(msg.data[:12]).startswith(FILE_MARKS)


def image_to_msg(image: Array, header: Header | None = None) -> Image:
    """Write (H, W) uint8, uint16 or float32, or (H, W, 3) uint8 or uint16 RGB, as a message.

    Raises:
        ImageConversionError: The array is of another type or shape.
    """
    from sensor_msgs.msg import Image

    names = {('uint8', 2): 'mono8', ('uint16', 2): 'mono16', ('float32', 2): '32FC1'}
    names |= {('uint8', 3): 'rgb8', ('uint16', 3): 'rgb16'}
    name = names.get((image.dtype.name, image.ndim))
    if name is None or image.shape[2:] not in ((), (3,)):
        raise ImageConversionError(f'no encoding for an array {image.dtype} {image.shape}')
    msg = Image(height=image.shape[0], width=image.shape[1], encoding=name)
    msg.step = image.shape[1] * image.itemsize * (3 if image.ndim == 3 else 1)
    native = image.astype(image.dtype.newbyteorder('<'), copy=False)
    msg.data = array.array('B')
    # Thirty times faster than array.array('B', bytes), which goes over the bytes one by one.
    msg.data.frombytes(np.ascontiguousarray(native).data.cast('B'))
    if header is not None:
        msg.header = header
    return msg


def unpack(msg: Image) -> Array:
    """Read an image message whatever its values; else as `image_from_msg`."""
    encoding = msg.encoding
    if not msg.height or not msg.width:
        raise ImageConversionError(f'the image is empty ({msg.width}x{msg.height} px)')
    if encoding in PLANES:
        return _luma(msg)
    layout = LAYOUTS.get(encoding)
    if layout is None:
        raise ImageConversionError(
            f'encoding {shortened(encoding)!r} is not supported; '
            f'known are {", ".join([*LAYOUTS, *PLANES])}'
        )
    pixels = _pixels(msg, layout, msg.height)
    if encoding in ('mono8', 'mono16', 'rgb8', 'rgb16'):
        return pixels
    if encoding[-2] == 'C':
        return _generic_to_rgb(pixels)
    return _colour_to_rgb(pixels, encoding)


def _pixels(msg: Image, layout: Layout, rows: int) -> Array:
    """View the message's first image without padding: (H, W) or (H, W, C), host byte order."""
    dtype = np.dtype(layout.dtype).newbyteorder('>' if msg.is_bigendian else '<')
    pixel = dtype.itemsize * layout.channels
    if msg.step < msg.width * pixel:
        raise ImageConversionError(
            f'step is {msg.step} bytes, but a row of {msg.width} px in {msg.encoding} '
            f'takes {msg.width * pixel}'
        )
    _check_length(msg, rows, msg.width * pixel)
    shape, strides = (msg.height, msg.width, layout.channels), (msg.step, pixel, dtype.itemsize)
    view: Array = np.ndarray(shape, dtype, memoryview(msg.data).cast('B'), strides=strides)
    dense = np.ascontiguousarray(view, dtype.newbyteorder('='))
    return dense[:, :, 0] if layout.channels == 1 else dense


def _check_length(msg: Image, rows: int, row_bytes: int) -> None:
    """Refuse data of another length than the header says (the last row may lack its padding)."""
    length, full = memoryview(msg.data).nbytes, rows * msg.step
    if length < full - msg.step + row_bytes:
        raise ImageConversionError(
            f'the data is truncated: {length} bytes, but {rows} rows of {msg.step} bytes '
            f'({msg.width}x{msg.height} px {msg.encoding}) are {full}'
        )
    if length > full:
        raise ImageConversionError(
            f'the data has {length} bytes, more than the {full} of {rows} rows of {msg.step} '
            f'bytes ({msg.width}x{msg.height} px {msg.encoding}): size, step or encoding is wrong'
        )


def _luma(msg: Image) -> Array:
    chroma_rows = -(-msg.height // PLANES[msg.encoding])
    if msg.encoding == 'nv24':
        chroma_rows *= 2
    return _pixels(msg, Layout('uint8', 1), msg.height + chroma_rows)


def _generic_to_rgb(pixels: Array) -> Array:
    if pixels.dtype == np.float64:
        pixels = pixels.astype(np.float32)
    if pixels.ndim == 2:
        return pixels
    return np.ascontiguousarray(pixels[:, :, GENERIC_COLOURS[pixels.shape[2]]])


def _colour_to_rgb(pixels: Array, encoding: str) -> Array:
    height, width = pixels.shape[:2]
    colours = encoding if encoding in TO_RGB else encoding.removesuffix('16').removesuffix('8')
    try:
        return np.asarray(cv2.cvtColor(pixels, TO_RGB[colours]))
    except cv2.error as error:
        raise ImageConversionError(
            f'{width}x{height} px {encoding} cannot be converted to RGB: {error}'
        ) from error


def size_of(msg: Image | CompressedImage) -> tuple[int, int] | None:
    """Return (height, width), px, as far as a message states it without being decoded."""
    if not hasattr(msg, 'format'):
        return msg.height, msg.width
    size = encoded_size(bytes(msg.data))
    return None if size is None else (size.height, size.width)


def check_encoded(data: bytes, max_bytes: int = MAX_BYTES) -> None:
    """Refuse a file without its end, and one whose header announces too many pixels.

    Raises:
        ImageConversionError: It is one of these.
    """
    if not is_complete(data):
        raise ImageConversionError(f'the compressed image is truncated after {len(data)} bytes')
    size = encoded_size(data)
    if size is not None and size.decoded_bytes > max_bytes:
        raise ImageConversionError(
            f'the compressed image of {len(data)} bytes has {size.width}x{size.height} px, '
            f'{size.decoded_bytes / 1e6:.0f} MB when decoded; allowed are {max_bytes / 1e6:.0f} MB'
        )


def _decompress(msg: CompressedImage, max_bytes: int) -> Array:
    data = bytes(msg.data)
    if 'compressedDepth' in msg.format:
        raise ImageConversionError('a compressedDepth image is no camera picture')
    check_encoded(data, max_bytes)
    try:
        # Decoded as the sensor saw it: rotating by EXIF would contradict the calibration.
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except cv2.error:
        image = None
    if image is None:
        raise ImageConversionError(
            f'{len(data)} bytes of format {shortened(msg.format)!r} are not an image that OpenCV '
            'can read'
        )
    if image.ndim == 2:
        return image
    return image[:, :, :3] if _is_rgb(msg.format) else _generic_to_rgb(image)


def _is_rgb(compressed_format: str) -> bool:
    """Return whether image_transport left the channels in RGB order ('rgb8; jpeg compressed ')."""
    _, _, codec = compressed_format.partition(';')
    return 'compressed' in codec and 'bgr' not in codec
