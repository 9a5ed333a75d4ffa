"""Depth images as metres, from every form in which cameras and image_transport publish them.

REP 118: 16UC1 holds millimetres and 0 for no measurement; 32FC1 metres, NaN for no measurement and
infinities for too far and too near. Reading needs no ROS installation.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from loftr_ros.codecs.images import ImageConversionError, check_encoded, unpack
from loftr_ros.encoded import JPEG, encoded_size
from loftr_ros.texts import shortened

if TYPE_CHECKING:
    from sensor_msgs.msg import CompressedImage, Image

Depth = npt.NDArray[np.float32]

MILLIMETRES = ('16UC1', 'mono16')
METRES = ('32FC1',)
ENCODINGS = (*MILLIMETRES, *METRES)

# What compressed_depth_image_transport writes before the picture: its format and two parameters.
CONFIG_HEADER = struct.Struct('<iff')


def depth_from_msg(msg: Image | CompressedImage) -> Depth:
    """Read a depth image.

    Returns:
        float32 (H, W), m along the optical axis; NaN where there is no measurement.

    Raises:
        ImageConversionError: The message contradicts itself, or holds no depth.
    """
    return _decompress(msg) if hasattr(msg, 'format') else _read(msg)


def holds_depth(msg: Image | CompressedImage) -> bool:
    """Whether the encoding of a message is that of depth; grey of 16 bit may be either."""
    if hasattr(msg, 'format'):
        return 'compressedDepth' in msg.format or msg.format.startswith(('16UC1', '32FC1'))
    return msg.encoding in ('16UC1', '32FC1')


def _read(msg: Image) -> Depth:
    _check_encoding(msg.encoding)
    return _metres(unpack(msg), msg.encoding)


def _check_encoding(encoding: str) -> None:
    if encoding not in ENCODINGS:
        raise ImageConversionError(
            f'encoding {shortened(encoding)!r} holds no depth; REP 118 has 16UC1 (mm), 32FC1 (m)'
        )


def _metres(values: npt.NDArray[Any], encoding: str) -> Depth:
    depth = np.asarray(values, np.float32)
    if encoding in MILLIMETRES:
        depth = depth / np.float32(1000)
    return _measured(depth)


def _measured(depth: Depth) -> Depth:
    """Return depth with NaN for all that is no measurement."""
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(np.nan))


def _decompress(msg: CompressedImage) -> Depth:
    """Read what compressed_depth_image_transport writes (a PNG behind a short header)."""
    encoding, _, codec = msg.format.partition(';')
    data = bytes(msg.data)
    if 'compressedDepth' not in codec:
        return _read_plain(data, msg.format)
    if 'rvl' in codec:
        raise ImageConversionError(
            'RVL is not supported: set the parameter of the publisher, format, to png'
        )
    _check_encoding(encoding)
    if len(data) <= CONFIG_HEADER.size:
        raise ImageConversionError(f'the compressed depth is truncated after {len(data)} bytes')
    _, scale, offset = CONFIG_HEADER.unpack_from(data)
    picture = _decode_png(data[CONFIG_HEADER.size :])
    if encoding in MILLIMETRES:
        return _metres(picture, encoding)
    return _from_inverse(picture, scale, offset)


def _read_plain(data: bytes, image_format: str) -> Depth:
    """Read a PNG of millimetres, as the transport `compressed` writes depth of 16 bit.

    Raises:
        ImageConversionError: It is another kind of picture.
    """
    name = f'format {shortened(image_format)!r}'
    if data.startswith(JPEG):
        raise ImageConversionError(f'{name} is JPEG: a lossy picture holds no depth')
    size = encoded_size(data)
    if size is None or size.pixel_bytes != 2:
        raise ImageConversionError(
            f'{name} is no PNG with one channel of 16 bit: it holds no depth'
        )
    return _metres(_decode_png(data), '16UC1')


def _decode_png(data: bytes) -> npt.NDArray[np.uint16]:
    check_encoded(data)
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        picture = None
    if picture is None or picture.dtype != np.uint16 or picture.ndim != 2:
        raise ImageConversionError(
            f'{len(data)} bytes are no PNG of 16 bit, which compressedDepth should hold'
        )
    return np.asarray(picture, np.uint16)


def _from_inverse(picture: npt.NDArray[np.uint16], scale: float, offset: float) -> Depth:
    """Undo the quantization q = scale / depth + offset, with 0 for no measurement."""
    if not (np.isfinite([scale, offset]).all() and scale > 0):
        raise ImageConversionError(
            f'the compressed depth has no valid quantization: {scale:g}, {offset:g}'
        )
    with np.errstate(divide='ignore', over='ignore'):
        depth = np.float32(scale) / (picture.astype(np.float32) - np.float32(offset))
    return _measured(np.where(picture > 0, depth, np.float32(np.nan)))
