"""Find images in folders and make the calibration that fits them."""

from __future__ import annotations

import bisect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from loftr_ros.data.errors import DatasetError
from loftr_ros.data.images import read_image
from loftr_ros.geometry import Camera

if TYPE_CHECKING:
    from collections.abc import Sequence

IMAGE_SUFFIXES = frozenset({'.png', '.jpg', '.jpeg', '.pgm', '.ppm', '.bmp', '.tif', '.tiff'})


def list_images(folder: Path) -> list[Path]:
    """List the images of a folder in the order of their names, where 2 comes before 10.

    Raises:
        DatasetError: If there are none.

    """
    try:
        files = [file for file in folder.iterdir() if is_image(file)]
    except OSError as error:
        raise DatasetError(
            folder, f'the folder cannot be read ({error.strerror})', 'Check the dataset.'
        ) from error
    if not files:
        kinds = ', '.join(sorted(IMAGE_SUFFIXES))
        raise DatasetError(folder, 'there are no images', f'Looked for {kinds}.')
    return sorted(files, key=lambda file: natural_order(file.name))


def natural_order(name: str) -> tuple[list[tuple[int, str]], str]:
    """Return what sorts names by the numbers in them: 0.png, 1.png, 2.png, 10.png.

    Names of equal numbers (1.png, 01.png) are in the order of their text.
    """
    parts = re.findall(r'[0-9]+|[^0-9]+', name)
    key = [(int(part), '') if part.isdigit() else (-1, part) for part in parts]
    return key, name


def is_image(file: Path) -> bool:
    """Whether a name is that of an image; hidden files are not."""
    return file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith('.')


def intrinsic_matrix(fx: float, fy: float, cx: float, cy: float) -> np.ndarray[Any, Any]:
    """Return the matrix (3, 3) of a pinhole camera, pixels."""
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)


def nearest_in_time(files: list[tuple[int, Path]], stamp_ns: int) -> tuple[Path | None, int]:
    """Return the file that is nearest in time, and how far its stamp is, ns.

    Args:
        files: Stamps in ns and files, in the order of time.
        stamp_ns: The time.

    """
    right = bisect.bisect(files, stamp_ns, key=lambda one: one[0])
    around = files[max(right - 1, 0) : right + 1]
    apart_ns, file = min(((abs(time - stamp_ns), file) for time, file in around), default=(0, None))
    return file, apart_ns


def camera_of_images(
    images: Sequence[Path],
    matrix: np.ndarray[Any, Any],
    model: str = 'none',
    distortion: Sequence[float] = (),
    *,
    source: Path,
) -> Camera:
    """Make the calibration for images of the size of the first that can be read.

    Args:
        images: The images of the sequence, at least one.
        matrix: Intrinsic matrix (3, 3), pixels.
        model: Distortion model as in `Camera`.
        distortion: Its coefficients.
        source: File that the calibration comes from, named in errors.

    Raises:
        DatasetError: If no image is readable or the calibration impossible.

    """
    height, width = _size(images)
    return make_camera(width, height, matrix, model, distortion, source=source)


def _size(images: Sequence[Path]) -> tuple[int, int]:
    first_error: DatasetError | None = None
    for image in images:
        try:
            height, width = read_image(image).shape[:2]
        except DatasetError as error:  # noqa: PERF203 - hardly ever
            first_error = first_error or error
        else:
            return height, width
    assert first_error is not None
    raise first_error


def make_camera(
    width: int,
    height: int,
    matrix: np.ndarray[Any, Any],
    model: str = 'none',
    distortion: Sequence[float] = (),
    *,
    source: Path,
) -> Camera:
    """Make a calibration; an impossible one names the file that it comes from.

    Raises:
        DatasetError: If the calibration is impossible.

    """
    try:
        return Camera(width, height, matrix, model, np.array(distortion, np.float64))
    except ValueError as error:
        raise DatasetError(
            source, f'the calibration is unusable ({error})', 'Correct it.'
        ) from error
