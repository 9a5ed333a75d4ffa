"""KITTI odometry: rectified images, `calib.txt` with projection matrices, `poses.txt`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from loftr_ros.data.errors import DatasetError
from loftr_ros.data.files import camera_of_images, list_images
from loftr_ros.data.sequences import FrameEntry, ImageSequence, RightCamera
from loftr_ros.data.tables import parse_numbers, read_lines, read_table, seconds_to_ns
from loftr_ros.geometry.transforms import inverse_transform, make_transform

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LOOKS_FOR = 'calib.txt beside image_0/ or image_l/'
CAMERAS = {'image_0': 0, 'image_l': 0, 'image_1': 1, 'image_r': 1, 'image_2': 2, 'image_3': 3}
RIGHT_OF = {'image_0': 'image_1', 'image_l': 'image_r', 'image_2': 'image_3'}
RATE_HZ = 10
ORTHOGONALITY = 1e-3


def is_kitti(path: Path) -> bool:
    """Whether a folder looks like a sequence of KITTI odometry."""
    return (path / 'calib.txt').is_file() and any((path / name).is_dir() for name in CAMERAS)


def open_kitti(path: Path, camera: str | None = None) -> ImageSequence:
    """Index a sequence of KITTI odometry (Geiger et al., CVPR 2012).

    Args:
        path: Folder with `calib.txt` (rows of 3 x 4 projection matrices, with or without 'P0:'),
            image folders and, where known, `poses.txt` (3 x 4, left camera to world; the official
            place `../../poses/NN.txt` works too) and `times.txt` (seconds; otherwise 10 Hz).
        camera: Name of the image folder; by default the first of `CAMERAS` that exists.

    Raises:
        DatasetError: If a file is missing or malformed.

    """
    folder = _image_folder(path, camera)
    images = list_images(folder)
    projection = _read_projection(path / 'calib.txt', CAMERAS[folder.name])
    poses = _read_poses(path, len(images))
    stamps = _read_stamps(path / 'times.txt', len(images))
    if poses is not None:
        poses = poses @ _camera_in_first(projection)
    entries = (
        FrameEntry(
            stamp_ns=stamp, image_path=image, world_T_camera=None if poses is None else poses[index]
        )
        for index, (stamp, image) in enumerate(zip(stamps, images, strict=True))
    )
    calibration = camera_of_images(images, projection[:, :3], source=path / 'calib.txt')
    return ImageSequence(name=path.name, layout='kitti', entries=tuple(entries), camera=calibration)


def open_kitti_stereo(path: Path, camera: str | None = None) -> ImageSequence:
    """Index a sequence with the views of the right camera; otherwise as `open_kitti`.

    Raises:
        DatasetError: If a file is missing or malformed, or the camera has none to its right.

    """
    sequence = open_kitti(path, camera)
    left = _image_folder(path, camera).name
    right = path / RIGHT_OF.get(left, '')
    if left not in RIGHT_OF or not right.is_dir():
        raise DatasetError(path, f'there are no images to the right of {left}', "Use mode 'mono'.")
    images = list_images(right)
    if len(images) != len(sequence):
        raise DatasetError(
            right,
            f'there are {len(images)} images, but {len(sequence)} left ones',
            'Check that the dataset is complete.',
        )
    source = path / 'calib.txt'
    projection = _read_projection(source, CAMERAS[right.name])
    left_in_first = _camera_in_first(_read_projection(source, CAMERAS[left]))
    calibration = camera_of_images(images, projection[:, :3], source=source)
    entries = (
        replace(entry, right_path=image)
        for entry, image in zip(sequence.entries, images, strict=True)
    )
    return replace(
        sequence,
        entries=tuple(entries),
        right=RightCamera(
            calibration, inverse_transform(left_in_first) @ _camera_in_first(projection)
        ),
    )


def _image_folder(path: Path, camera: str | None) -> Path:
    existing = [name for name in CAMERAS if (path / name).is_dir()]
    if camera is None and existing:
        return path / existing[0]
    if camera in existing:
        return path / camera
    raise DatasetError(
        path,
        f'there is no image folder {camera or "image_0 or image_l"}',
        f'Found: {", ".join(existing) or "none of " + ", ".join(CAMERAS)}.',
    )


def _read_projection(path: Path, camera: int) -> NDArray[np.float64]:
    """Read the 3 x 4 projection matrix of a camera, named 'P<camera>:' or by its row."""
    rows: dict[str, NDArray[np.float64]] = {}
    for number, line in read_lines(path):
        name, _, rest = line.rpartition(':')
        values = parse_numbers(rest.split(), path, number)
        if name.startswith('P') or not name:
            if values.size != 12:
                raise DatasetError(
                    path, f'line {number} has {values.size} numbers, expected 12', 'Correct it.'
                )
            rows[name or f'P{len(rows)}'] = values.reshape(3, 4)
    if f'P{camera}' not in rows:
        raise DatasetError(
            path, f'there is no row P{camera}', f'Found: {", ".join(rows) or "nothing"}.'
        )
    return rows[f'P{camera}']


def _camera_in_first(projection: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pose of a rectified camera in the first one: P = K [I | t], x_camera = x_first + t."""
    offset = np.linalg.solve(projection[:, :3], projection[:, 3])
    return make_transform(np.eye(3), -offset.astype(np.float64))


def _read_poses(path: Path, count: int) -> NDArray[np.float64] | None:
    candidates = (path / 'poses.txt', path.parent.parent / 'poses' / f'{path.name}.txt')
    source = next((file for file in candidates if file.is_file()), None)
    if source is None:
        return None
    table = read_table(source, (12,))
    _check_count(source, len(table), count)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3] = table.reshape(-1, 3, 4)
    rotations = poses[:, :3, :3]
    errors = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    if not np.all(errors < ORTHOGONALITY):
        row = int(np.argmax(~(errors < ORTHOGONALITY))) + 1
        raise DatasetError(source, f'pose {row} is no rotation and translation', 'Correct it.')
    return poses


def _read_stamps(path: Path, count: int) -> list[int]:
    if not path.is_file():
        return [index * 10**9 // RATE_HZ for index in range(count)]
    stamps = [seconds_to_ns(line, path, number) for number, line in read_lines(path)]
    _check_count(path, len(stamps), count)
    return stamps


def _check_count(path: Path, rows: int, images: int) -> None:
    if rows != images:
        raise DatasetError(
            path,
            f'there are {rows} rows for {images} images',
            'Each image needs its row: complete the file or the image folder.',
        )
