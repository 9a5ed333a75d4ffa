"""What the bytes of an encoded image say about it before anybody decodes them."""

from __future__ import annotations

import struct
from typing import NamedTuple

PNG, JPEG = b'\x89PNG\r\n\x1a\n', b'\xff\xd8'
# File formats by their first bytes -> what a complete file has after the other.
COMPLETE_FILES = {JPEG: (b'\xff\xda', b'\xff\xd9'), b'\x89PNG': (b'IHDR', b'IEND')}
PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 4, 6: 4}
# Frames of JPEG (SOF0 to SOF15) without the marks of other kinds among them (DHT, JPG, DAC).
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_SINGLE = frozenset({0x01, *range(0xD0, 0xD9), 0xFF})


class EncodedSize(NamedTuple):
    """Size of an image as its header states it.

    Attributes:
        width: Of the image, px.
        height: Of the image, px.
        pixel_bytes: Bytes of a decoded pixel.

    """

    width: int
    height: int
    pixel_bytes: int

    @property
    def decoded_bytes(self) -> int:
        """Bytes of the decoded image."""
        return self.width * self.height * self.pixel_bytes


def is_complete(data: bytes) -> bool:
    """Whether the end of a JPEG or PNG file is there: decoders fill what is missing with grey."""
    return all(
        data.rfind(end) > data.rfind(last_header)
        for start, (last_header, end) in COMPLETE_FILES.items()
        if data.startswith(start)
    )


def encoded_size(data: bytes) -> EncodedSize | None:
    """Return the size that the header of a JPEG or PNG file states; None of other formats."""
    if data.startswith(PNG) and len(data) >= 26:
        width, height, depth, colour = struct.unpack_from('>IIBB', data, 16)
        return EncodedSize(width, height, PNG_CHANNELS.get(colour, 4) * max(1, depth // 8))
    return _jpeg_size(data) if data.startswith(JPEG) else None


def _jpeg_size(data: bytes) -> EncodedSize | None:
    place = len(JPEG)
    while place + 10 <= len(data):
        if data[place] != 0xFF:
            return None
        mark = data[place + 1]
        if mark in JPEG_SINGLE:
            place += 1 if mark == 0xFF else 2
            continue
        if mark in JPEG_FRAMES:
            height, width, channels = struct.unpack_from('>HHB', data, place + 5)
            return EncodedSize(width, height, channels)
        place += 2 + int.from_bytes(data[place + 2 : place + 4], 'big')
    return None
