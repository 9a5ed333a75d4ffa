"""7-Scenes: `frame-N.color.png`, `frame-N.pose.txt` and `frame-N.depth.png` of a Kinect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from loftr_ros.data.errors import DatasetError
from loftr_ros.data.files import camera_of_images, intrinsic_matrix, is_image
from loftr_ros.data.sequences import FrameEntry, ImageSequence
from loftr_ros.data.tables import read_table

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LOOKS_FOR = 'frame-*.color.png with frame-*.pose.txt'
RATE_HZ = 30
INTRINSICS_FILE = 'camera-intrinsics.txt'
INTRINSICS = (525.0, 525.0, 320.0, 240.0)
DEPTH_FOCAL_LENGTH = 585.0
"""7-Scenes ships the focal length of its depth camera; 525 px fit its colour images (epipolar
error)."""


def is_sevenscenes(path: Path) -> bool:
    """Whether a folder looks like a sequence of 7-Scenes."""
    return any(path.glob('frame-*.color.*'))


def open_sevenscenes(path: Path, camera: str | None = None) -> ImageSequence:
    """Index a sequence of 7-Scenes (Shotton et al., CVPR 2013).

    Args:
        path: Folder of the frames; their numbers are frames of 30 Hz.
        camera: Only 'color'.

    Raises:
        DatasetError: If a file is missing or malformed.

    """
    if camera not in {None, 'color'}:
        raise DatasetError(path, f'there is no camera {camera!r}', "This layout has only 'color'.")
    images = {_number(file): file for file in path.glob('frame-*.color.*') if is_image(file)}
    if not images:
        raise DatasetError(path, 'there are no images', f'Looked for {LOOKS_FOR}.')
    entries = tuple(_entry(number, images[number]) for number in sorted(images))
    files = [entry.image_path for entry in entries]
    calibration = camera_of_images(files, _intrinsics(path), source=path)
    return ImageSequence(name=path.name, layout='sevenscenes', entries=entries, camera=calibration)


def _intrinsics(path: Path) -> NDArray[np.float64]:
    """Read the intrinsics (3, 3) beside the frames; those of 7-Scenes are replaced.

    Raises:
        DatasetError: If the file is malformed.

    """
    file = path / INTRINSICS_FILE
    if not file.is_file():
        return intrinsic_matrix(*INTRINSICS)
    matrix = read_table(file, (3,))
    if matrix.shape != (3, 3):
        raise DatasetError(file, f'{len(matrix)} rows, expected 3', 'Complete it.')
    if matrix[0, 0] == matrix[1, 1] == DEPTH_FOCAL_LENGTH:
        return intrinsic_matrix(*INTRINSICS)
    return matrix


def _number(file: Path) -> int:
    digits = file.name.split('.')[0].removeprefix('frame-')
    if not digits.isdigit():
        raise DatasetError(file, 'the name is not frame-<number>.color', 'Rename or remove it.')
    return int(digits)


def _entry(number: int, image: Path) -> FrameEntry:
    stem = image.name.split('.')[0]
    pose, depth = image.with_name(f'{stem}.pose.txt'), image.with_name(f'{stem}.depth.png')
    return FrameEntry(
        stamp_ns=number * 10**9 // RATE_HZ,
        image_path=image,
        world_T_camera=_read_pose(pose) if pose.is_file() else None,
        depth_path=depth if depth.is_file() else None,
    )


def _read_pose(path: Path) -> NDArray[np.float64] | None:
    """Read a 4 x 4 matrix, camera to world; frames where tracking failed hold no numbers."""
    matrix = read_table(path, (4,))
    if matrix.shape != (4, 4):
        raise DatasetError(path, f'the pose has {len(matrix)} rows, expected 4', 'Complete it.')
    return matrix if np.isfinite(matrix).all() else None
