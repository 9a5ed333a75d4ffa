"""7-Scenes: numbered frames with depth in millimetres and poses camera to world."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from loftr_ros.data.errors import DatasetError
from loftr_ros.data.sevenscenes import open_sevenscenes

if TYPE_CHECKING:
    from pathlib import Path


def test_frames_have_time_depth_and_pose(sevenscenes: Path) -> None:
    sequence = open_sevenscenes(sevenscenes)
    assert [entry.stamp_ns for entry in sequence.entries] == [0, 333_333_333, 666_666_666]
    frame = sequence[0]
    assert frame.world_T_camera is not None
    assert frame.depth is not None
    assert np.allclose(frame.depth, 1.5)
    assert frame.frame.camera is not None
    assert frame.frame.camera.matrix[0].tolist() == [525, 0, 320]


def test_unknown_depth_is_nan(sevenscenes: Path) -> None:
    depth = open_sevenscenes(sevenscenes)[1].depth
    assert depth is not None
    assert np.isnan(depth).all()


def test_a_frame_without_a_valid_pose_has_no_truth(sevenscenes: Path) -> None:
    sequence = open_sevenscenes(sevenscenes)
    assert sequence[2].world_T_camera is None
    (sevenscenes / 'frame-000000.pose.txt').unlink()
    assert open_sevenscenes(sevenscenes)[0].world_T_camera is None


@pytest.mark.parametrize(
    ('text', 'problem'),
    [('1 0 0 0\n0 1 0 0\n', '2 rows, expected 4'), ('1 0\n', '2 numbers, expected 4')],
)
def test_a_truncated_pose_is_refused(sevenscenes: Path, text: str, problem: str) -> None:
    (sevenscenes / 'frame-000010.pose.txt').write_text(text)
    with pytest.raises(DatasetError, match=problem):
        open_sevenscenes(sevenscenes)


def test_a_name_without_a_number_is_refused(sevenscenes: Path) -> None:
    (sevenscenes / 'frame-000010.color.png').rename(sevenscenes / 'frame-ten.color.png')
    with pytest.raises(DatasetError, match='frame-<number>'):
        open_sevenscenes(sevenscenes)
