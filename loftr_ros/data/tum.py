"""TUM RGB-D: `rgb.txt`, `depth.txt` and `groundtruth.txt` with times in seconds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from loftr_ros.data.errors import DatasetError
from loftr_ros.data.files import (
    camera_of_images,
    intrinsic_matrix,
    list_images,
    nearest_in_time,
)
from loftr_ros.data.poses import TimedPoses
from loftr_ros.data.sequences import FrameEntry, ImageSequence
from loftr_ros.data.tables import parse_numbers, read_lines, seconds_to_ns
from loftr_ros.texts import shortened

if TYPE_CHECKING:
    from pathlib import Path

    from loftr_ros.geometry import Camera

LOOKS_FOR = 'rgb.txt, or rgb/ beside groundtruth.txt'
DEPTH_SCALE = 5000.0
MAX_GAP_NS = 100_000_000
# https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats: colour cameras, 640 x 480.
INTRINSICS = {
    1: ((517.3, 516.5, 318.6, 255.3), (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    2: ((520.9, 521.0, 325.1, 249.7), (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
    3: ((535.4, 539.2, 320.1, 247.6), ()),
}
DEFAULT_INTRINSICS = ((525.0, 525.0, 319.5, 239.5), ())


def is_tum(path: Path) -> bool:
    """Whether a folder looks like a sequence of the TUM RGB-D benchmark."""
    listed = (path / 'rgb.txt').is_file()
    return listed or ((path / 'rgb').is_dir() and (path / 'groundtruth.txt').is_file())


def open_tum(path: Path, camera: str | None = None) -> ImageSequence:
    """Index a sequence of the TUM RGB-D benchmark (Sturm et al., IROS 2012).

    Poses are interpolated between the samples around each image; depth has the nearest stamp.
    Intrinsics come from `calibration.txt` (fx fy cx cy, as ETH3D writes it) or are the
    benchmark's for the freiburg number in the folder's name or in a comment of a list.

    Args:
        path: Folder of the sequence.
        camera: Only 'rgb'.

    Raises:
        DatasetError: If a file is missing or malformed.

    """
    if camera not in {None, 'rgb'}:
        raise DatasetError(path, f'there is no camera {camera!r}', "This layout has only 'rgb'.")
    images = _read_images(path, 'rgb')
    if not images:
        problem = 'the list has no images'
        raise DatasetError(path / 'rgb.txt', problem, 'Check that the dataset is complete.')
    depths = _read_images(path, 'depth')
    truth = _read_truth(path / 'groundtruth.txt')
    entries = []
    for stamp, image in images:
        depth, apart_ns = nearest_in_time(depths, stamp)
        pose = None if truth is None else truth.at(stamp, MAX_GAP_NS)
        entries.append(
            FrameEntry(
                stamp_ns=stamp,
                image_path=image,
                world_T_camera=pose,
                depth_path=depth,
                depth_apart_ns=apart_ns,
            )
        )
    calibration = _camera(path, [image for _, image in images])
    return ImageSequence(
        name=path.name,
        layout='tum',
        entries=tuple(entries),
        camera=calibration,
        depth_scale=DEPTH_SCALE,
        truth_span_ns=None if truth is None else truth.span_ns,
    )


def _read_images(path: Path, kind: str) -> list[tuple[int, Path]]:
    """List stamps and files by `<kind>.txt`, or by the names of the files themselves."""
    index = path / f'{kind}.txt'
    if index.is_file():
        return sorted(_parse_list_line(*row, index) for row in read_lines(index))
    folder = path / kind
    if not folder.is_dir():
        return []
    return sorted((seconds_to_ns(file.stem, file, 1), file) for file in list_images(folder))


def _parse_list_line(number: int, line: str, index: Path) -> tuple[int, Path]:
    words = line.split()
    if len(words) != 2:
        raise DatasetError(
            index, f'line {number} is not "seconds file": {shortened(line)!r}', 'Correct the line.'
        )
    return seconds_to_ns(words[0], index, number), index.parent / words[1]


def _read_truth(path: Path) -> TimedPoses | None:
    """Read rows of time, tx ty tz and qx qy qz qw."""
    if not path.is_file():
        return None
    stamps, values = [], []
    for number, line in read_lines(path):
        words = line.split()
        if len(words) != 8:
            raise DatasetError(
                path,
                f'line {number} has {len(words)} columns, expected 8',
                'The file may be truncated: complete or remove the line.',
            )
        stamps.append(seconds_to_ns(words[0], path, number))
        values.append(parse_numbers(words[1:], path, number))
    if not values:
        raise DatasetError(path, 'the file has no rows', 'Check that the dataset is complete.')
    table = np.stack(values)
    return TimedPoses.from_samples(np.array(stamps, np.int64), table[:, :3], table[:, 3:])


def _camera(path: Path, images: list[Path]) -> Camera:
    calibration = path / 'calibration.txt'
    if calibration.is_file():
        (number, line), *_ = read_lines(calibration) or [(1, '')]
        values = parse_numbers(line.split(), calibration, number)
        if values.size != 4:
            raise DatasetError(calibration, 'the file is not "fx fy cx cy"', 'Correct it.')
        return camera_of_images(images, intrinsic_matrix(*values), source=calibration)
    intrinsics, distortion = INTRINSICS.get(_freiburg_number(path), DEFAULT_INTRINSICS)
    model = 'plumb_bob' if distortion else 'none'
    return camera_of_images(images, intrinsic_matrix(*intrinsics), model, distortion, source=path)


def _freiburg_number(path: Path) -> int:
    """Find which camera took the images; 0 where nothing says so."""
    texts = [path.resolve().name]
    for name in ('groundtruth.txt', 'rgb.txt'):
        if (path / name).is_file():
            with (path / name).open(encoding='utf-8', errors='replace') as file:
                texts += [line for line, _ in zip(file, range(5), strict=False)]
    found = re.search(r'(?:freiburg|fr)([123])(?!\d)', ' '.join(texts), re.IGNORECASE)
    return int(found.group(1)) if found else 0
