"""TUM RGB-D: lists with times, interpolated truth, depth close in time, known cameras."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from loftr_ros.data.errors import DatasetError
from loftr_ros.data.tum import open_tum

if TYPE_CHECKING:
    from pathlib import Path


def test_truth_is_interpolated_at_the_time_of_the_image(tum: Path) -> None:
    frames = list(open_tum(tum))
    assert frames[0].world_T_camera is None
    assert frames[1].world_T_camera is not None
    assert np.allclose(frames[1].world_T_camera[:3, 3], [0.5, 0, 0])
    assert frames[2].world_T_camera is not None
    assert np.allclose(frames[2].world_T_camera[:3, 3], [1, 1.5, 0])


def test_depth_is_taken_within_20_ms(tum: Path) -> None:
    frames = list(open_tum(tum))
    assert frames[0].depth is None
    assert frames[1].depth is not None
    assert np.isnan(frames[1].depth[0]).all()
    assert np.allclose(frames[1].depth[1:], 2.0)


def test_stamps_keep_every_microsecond(tum: Path) -> None:
    assert open_tum(tum).entries[1].stamp_ns == 1_341_847_980_795_000_000


def test_without_lists_the_names_of_the_files_are_the_times(tum: Path) -> None:
    listed = [entry.stamp_ns for entry in open_tum(tum).entries]
    (tum / 'rgb.txt').unlink()
    (tum / 'depth.txt').unlink()
    sequence = open_tum(tum)
    assert [entry.stamp_ns for entry in sequence.entries] == listed
    assert sequence[1].depth is not None


@pytest.mark.parametrize(
    ('name', 'focal', 'distorted'),
    [
        ('rgbd_dataset_freiburg1_desk', 517.3, True),
        ('fr2_xyz', 520.9, True),
        ('tum_fr3_office', 535.4, False),
        ('own_recording', 525.0, False),
    ],
)
def test_intrinsics_go_by_the_number_of_the_camera(
    tum: Path, name: str, focal: float, distorted: bool
) -> None:
    camera = open_tum(tum.rename(tum.with_name(name))).camera
    assert camera is not None
    assert camera.matrix[0, 0] == focal
    assert camera.is_distorted is distorted


def test_the_number_of_the_camera_may_stand_in_a_comment(tum: Path) -> None:
    path = tum / 'groundtruth.txt'
    path.write_text("# file: 'rgbd_dataset_freiburg3_x.bag'\n" + path.read_text())
    camera = open_tum(tum.rename(tum.with_name('office'))).camera
    assert camera is not None
    assert camera.matrix[0, 0] == 535.4


def test_a_calibration_file_comes_first(tum: Path) -> None:
    (tum / 'calibration.txt').write_text('500 510 320 240\n')
    camera = open_tum(tum).camera
    assert camera is not None
    assert camera.matrix[1].tolist() == [0, 510, 240]
    (tum / 'calibration.txt').write_text('500 510 320\n')
    with pytest.raises(DatasetError, match='fx fy cx cy'):
        open_tum(tum)


@pytest.mark.parametrize(
    ('file', 'text', 'problem'),
    [
        ('rgb.txt', '1.0 rgb/a.png extra\n', 'line 1 is not "seconds file"'),
        ('rgb.txt', 'soon rgb/a.png\n', 'line 1 .*no time'),
        ('rgb.txt', '# nothing\n', 'has no images'),
        ('groundtruth.txt', '1.0 0 0 0 0 0 0\n', 'line 1 has 7 columns'),
        ('groundtruth.txt', '1.0 0 0 x 0 0 0 1\n', 'no number'),
        ('groundtruth.txt', '', 'no rows'),
    ],
)
def test_malformed_lists_are_refused(tum: Path, file: str, text: str, problem: str) -> None:
    (tum / file).write_text(text)
    with pytest.raises(DatasetError, match=problem) as error:
        open_tum(tum)
    assert error.value.path == tum / file


def test_binary_lists_are_refused(tum: Path) -> None:
    (tum / 'groundtruth.txt').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(DatasetError, match='not text'):
        open_tum(tum)
