"""KITTI odometry: calibration rows with and without names, poses, times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from loftr_ros.data.errors import DatasetError
from loftr_ros.data.kitti import open_kitti
from test.helpers.tiny_datasets import straight_poses

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_the_left_camera_has_the_pose_of_the_file(kitti: Path) -> None:
    frame = open_kitti(kitti)[2]
    assert frame.world_T_camera is not None
    assert frame.world_T_camera[:3, 3].tolist() == [0, 0, 2]
    assert frame.frame.camera is not None
    assert frame.frame.camera.matrix[0].tolist() == [50, 0, 32]


def test_the_right_camera_stands_one_baseline_to_the_right(kitti: Path) -> None:
    pose = open_kitti(kitti, 'image_1')[0].world_T_camera
    assert pose is not None
    assert np.allclose(pose[:3, 3], [0.5, 0, 0])


def test_rows_without_names_count_from_the_left_camera(kitti: Path) -> None:
    rows = (kitti / 'calib.txt').read_text().replace('P0: ', '').replace('P1: ', '').split('\n')
    (kitti / 'calib.txt').write_text('\n'.join(rows[:2]))  # no line break at the end
    pose = open_kitti(kitti, 'image_1')[0].world_T_camera
    assert pose is not None
    assert np.allclose(pose[:3, 3], [0.5, 0, 0])


def test_stamps_are_those_of_times_txt_or_ten_hertz(kitti: Path) -> None:
    stamps = [entry.stamp_ns for entry in open_kitti(kitti).entries]
    assert stamps == [0, 100_000_000, 200_000_000]
    (kitti / 'times.txt').write_text('0.0\n1.036224e-01\n2.072998e-01\n')
    stamps = [entry.stamp_ns for entry in open_kitti(kitti).entries]
    assert stamps == [0, 103_622_400, 207_299_800]


def test_poses_in_the_official_place_are_found(kitti: Path) -> None:
    sequence = kitti.parent / 'sequences' / '00'
    sequence.parent.mkdir()
    kitti.rename(sequence)
    (kitti.parent / 'poses').mkdir()
    (sequence / 'poses.txt').rename(kitti.parent / 'poses' / '00.txt')
    assert open_kitti(sequence)[1].world_T_camera is not None


def test_a_sequence_without_poses_has_no_truth(kitti: Path) -> None:
    (kitti / 'poses.txt').unlink()
    assert open_kitti(kitti)[0].world_T_camera is None


def test_a_truncated_pose_file_is_refused(
    kitti: Path, truncate: Callable[[Path, float], None]
) -> None:
    truncate(kitti / 'poses.txt', 0.9)
    with pytest.raises(DatasetError, match=r'poses\.txt: line 3 has \d+ numbers, expected 12'):
        open_kitti(kitti)


def test_missing_rows_are_refused(kitti: Path) -> None:
    lines = (kitti / 'poses.txt').read_text().splitlines()
    (kitti / 'poses.txt').write_text('\n'.join(lines[:2]))
    with pytest.raises(DatasetError, match='2 rows for 3 images'):
        open_kitti(kitti)


@pytest.mark.parametrize(
    ('old', 'new', 'problem'),
    [
        ('P0: 50', 'P0: fifty', 'line 1 has a word that is no number'),
        ('P0: 50 0', 'P0: 50', 'line 1 has 11 numbers, expected 12'),
        ('P0:', 'P7:', 'no row P0'),
        ('P0: 50', 'P0: -50', 'calibration is unusable'),
    ],
)
def test_a_malformed_calibration_is_refused(kitti: Path, old: str, new: str, problem: str) -> None:
    path = kitti / 'calib.txt'
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DatasetError, match=problem):
        open_kitti(kitti)


def test_a_pose_that_is_no_motion_is_refused(kitti: Path) -> None:
    path = kitti / 'poses.txt'
    path.write_text(path.read_text().replace('1.0', '3.0', 1))
    with pytest.raises(DatasetError, match='pose 1 is no rotation'):
        open_kitti(kitti)


def test_an_image_of_another_size_is_refused(kitti: Path, sevenscenes: Path) -> None:
    image = kitti / 'image_0' / '000001.png'
    image.write_bytes((sevenscenes / 'frame-000000.color.png').read_bytes())
    with pytest.raises(DatasetError, match='640x480 px, but the calibration is for 64x48'):
        list(open_kitti(kitti))


def test_an_empty_image_folder_is_refused(kitti: Path) -> None:
    for image in (kitti / 'image_0').iterdir():
        image.unlink()
    with pytest.raises(DatasetError, match='there are no images'):
        open_kitti(kitti)


def test_numbers_without_leading_zeros_are_in_the_order_of_counting(kitti: Path) -> None:
    folder = kitti / 'image_0'
    (first, *_) = sorted(folder.iterdir())
    data = first.read_bytes()
    for file in list(folder.iterdir()):
        file.unlink()
    for index in range(12):
        (folder / f'{index}.png').write_bytes(data)
    rows = [' '.join(map(str, pose[:3].ravel())) for pose in straight_poses(12)]
    (kitti / 'poses.txt').write_text('\n'.join(rows) + '\n')
    sequence = open_kitti(kitti)
    assert [entry.image_path.stem for entry in sequence.entries] == [str(n) for n in range(12)]
