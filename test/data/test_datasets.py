"""A sequence is opened by its layout; where none fits the error says what was looked for."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from loftr_ros.data.datasets import LAYOUTS, DatasetError, open_sequence

DATA = Path(
    os.environ.get('LOFTR_ROS_DATA', Path(__file__).resolve().parents[3] / 'shared' / 'data')
)
FOLDERS = {
    'kitti': 'kitti_stereo',
    'euroc': 'euroc_mh05',
    'tum': 'tum_fr3_office',
    'sevenscenes': 'sevenscenes',
}


RECORDED = [layout.name for layout in LAYOUTS if layout.name != 'colmap']
"""Those that are sequences in time; test_colmap_layout.py has the other."""


@pytest.mark.parametrize('layout', RECORDED)
def test_each_layout_is_recognized(layout: str, request: pytest.FixtureRequest) -> None:
    sequence = open_sequence(request.getfixturevalue(layout))
    assert sequence.layout == layout
    assert len(list(sequence)) == len(sequence) == 3


@pytest.mark.parametrize('layout', RECORDED)
def test_frames_are_read_when_asked_for(layout: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(layout)
    sequence = open_sequence(path)
    images = sorted(path.rglob('*.png'))
    for image in images[1:]:
        image.unlink()
    with pytest.raises(DatasetError, match='cannot be read'):
        list(sequence)


def test_a_folder_of_another_kind_lists_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as error:
        open_sequence(tmp_path)
    for layout in LAYOUTS:
        assert layout.name in str(error.value)
        assert layout.looks_for in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_folder_of_sequences_names_them(kitti: Path, euroc: Path) -> None:
    with pytest.raises(DatasetError, match='what can be opened lies in it: euroc, kitti'):
        open_sequence(kitti.parent)


def test_a_missing_folder_and_a_file_of_another_kind_say_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match='no such file'):
        open_sequence(tmp_path / 'nothing')
    (tmp_path / 'notes.txt').write_text('hello')
    with pytest.raises(DatasetError, match='no bag'):
        open_sequence(tmp_path / 'notes.txt')


@pytest.mark.parametrize('layout', ['tum', 'sevenscenes', 'euroc', 'kitti'])
def test_an_unknown_camera_is_refused(layout: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(DatasetError, match='cam7'):
        open_sequence(request.getfixturevalue(layout), camera='cam7')


@pytest.mark.parametrize('layout', FOLDERS)
def test_real_sequences_are_read(layout: str) -> None:
    path = DATA / FOLDERS[layout]
    if not path.is_dir():
        pytest.skip(f'{path} is absent; set LOFTR_ROS_DATA to the folder of real data')
    sequence = open_sequence(path)
    assert sequence.layout == layout
    frames = [frame for frame, _ in zip(sequence, range(3), strict=False)]
    assert frames[-1].world_T_camera is not None
    assert np.allclose(np.linalg.det(frames[-1].world_T_camera[:3, :3]), 1, atol=1e-3)
    assert [frame.frame.stamp_ns for frame in frames] == sorted(
        {frame.frame.stamp_ns for frame in frames}
    )
    for frame in frames:
        frame.frame.check()
