"""Read image files; a damaged file is an error, never a half-grey picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from loftr_ros.data.errors import DatasetError
from loftr_ros.encoded import is_complete

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LFS = b'version https://git-lfs'
REMEDY = 'Copy or unpack the file again.'


def read_image(path: Path) -> NDArray[Any]:
    """Read an image file.

    Returns:
        (H, W) or (H, W, 3) in RGB order, in the depth of the file (8 or 16 bit).

    Raises:
        DatasetError: If the file is missing, truncated or no image.

    """
    return decode_image(_read_bytes(path), path)


def decode_image(data: bytes, path: Path) -> NDArray[Any]:
    """Decode an encoded image; `path` names it in errors.

    Raises:
        DatasetError: If the data is truncated or no image.

    """
    if not is_complete(data):
        raise DatasetError(path, f'the image is truncated after {len(data)} bytes', REMEDY)
    if data.startswith(LFS):
        problem = 'the file is a Git LFS pointer, not the image'
        raise DatasetError(path, problem, 'Fetch the images with `git lfs pull`.')
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:
        image = None
    if image is None:
        raise DatasetError(path, f'the file ({len(data)} bytes) is not a readable image', REMEDY)
    return np.ascontiguousarray(image if image.ndim == 2 else image[:, :, ::-1])


def read_depth(path: Path, scale: float) -> NDArray[np.float32]:
    """Read a 16-bit depth image; 0 and 65535 mean unknown.

    Args:
        path: File of the image.
        scale: Units per metre.

    Returns:
        float32 (H, W), metres, NaN where unknown.

    Raises:
        DatasetError: If the file is missing, damaged or not a 16-bit image of one channel.

    """
    image = read_image(path)
    if image.ndim != 2 or image.dtype != np.uint16:
        raise DatasetError(
            path,
            f'a depth image has one channel of 16 bit, this one is {image.dtype} {image.shape}',
            'Point to the raw depth, not to a picture of it.',
        )
    known = (image > 0) & (image < np.iinfo(np.uint16).max)
    depth = np.asarray(image / scale, np.float32)
    depth[~known] = np.nan
    return depth


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        problem = f'the image cannot be read ({error.strerror})'
        raise DatasetError(path, problem, 'Check that the dataset is complete.') from error


def to_grey(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert an 8-bit image (H, W) or (H, W, 3), RGB, to grey."""
    if image.ndim == 3:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY), np.uint8)
    return np.ascontiguousarray(image, np.uint8)
