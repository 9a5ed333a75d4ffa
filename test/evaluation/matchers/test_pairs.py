"""Pairs are chosen by the time between frames whose poses are known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from loftr_ros.data.errors import DatasetError
from loftr_ros.data.sequences import FrameEntry, ImageSequence
from loftr_ros.evaluation.matchers.pairs import (
    RULES,
    DisparitySet,
    PairRule,
    PoseSet,
    find_pair_sets,
    select_pairs,
)


def make_sequence(count: int, step: float = 1.0) -> ImageSequence:
    """Frames of 10 Hz that move along z; the one with index 2 has no pose."""
    entries = []
    for index in range(count):
        pose = np.eye(4)
        pose[2, 3] = index * step
        entries.append(
            FrameEntry(
                stamp_ns=index * 100_000_000,
                image_path=Path(f'{index}.png'),
                world_T_camera=None if index == 2 else pose,
            )
        )
    return ImageSequence(name='street', layout='kitti', entries=tuple(entries), camera=None)


def indices(pairs: tuple[object, ...]) -> list[tuple[int, int]]:
    return [(pair.reference, pair.query) for pair in pairs]  # type: ignore[attr-defined]


def test_pairs_have_the_gap_of_the_rule_and_known_poses() -> None:
    pairs = select_pairs(make_sequence(6), PairRule('', 10, 1, 2))
    assert indices(pairs) == [(0, 1), (1, 3), (3, 4), (3, 5), (4, 5)]
    assert pairs[1].reference_T_query[:3, 3].tolist() == [0, 0, 2]


def test_frames_that_were_left_out_still_count() -> None:
    sequence = make_sequence(20)
    every_third = ImageSequence(
        name='street', layout='kitti', entries=sequence.entries[::3], camera=None
    )
    pairs = select_pairs(every_third, PairRule('', 10, 3, 5))
    assert all(pair.query - pair.reference == 1 for pair in pairs)
    assert len(pairs) == len(every_third) - 1


def test_cameras_at_one_place_make_no_pair() -> None:
    assert select_pairs(make_sequence(6, step=0.001), PairRule('', 10, 1, 2)) == ()


def test_many_pairs_are_thinned_evenly() -> None:
    pairs = select_pairs(make_sequence(103), PairRule('', 10, 1, 1), max_pairs=3)
    assert indices(pairs) == [(0, 1), (52, 53), (101, 102)]


def test_every_layout_has_rules() -> None:
    from loftr_ros.data.datasets import LAYOUTS

    assert set(RULES) == {layout.name for layout in LAYOUTS}


def write_stereo_pair(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in ('im2.png', 'im6.png'):
        cv2.imwrite(str(folder / name), np.zeros((10, 450, 3), np.uint8))
    cv2.imwrite(str(folder / 'disp2.png'), np.full((10, 450), 40, np.uint8))


def test_sets_are_found_below_a_folder(kitti: Path, sevenscenes: Path) -> None:
    root = kitti.parent
    write_stereo_pair(root / 'stereo' / 'cones')
    write_stereo_pair(root / 'stereo' / 'teddy')
    sets = {pair_set.name: pair_set for pair_set in find_pair_sets(root)}
    assert list(sets) == ['kitti_consecutive', 'stereo']
    assert isinstance(sets['kitti_consecutive'], PoseSet)
    assert isinstance(sets['stereo'], DisparitySet)
    assert len(sets['kitti_consecutive']) == len(sets['stereo']) == 2


def test_sets_of_several_sequences_are_named_by_their_folders(kitti: Path) -> None:
    kitti.rename(kitti.with_name('00'))
    copy = kitti.with_name('01')
    for file in kitti.with_name('00').rglob('*'):
        if file.is_file():
            target = copy / file.relative_to(kitti.with_name('00'))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    names = [pair_set.name for pair_set in find_pair_sets(kitti.parent)]
    assert names == ['00_consecutive', '01_consecutive']


def test_a_dataset_itself_may_be_given(kitti: Path) -> None:
    assert [pair_set.name for pair_set in find_pair_sets(kitti)] == ['kitti_consecutive']


def test_sets_are_selected_by_wildcards(kitti: Path) -> None:
    write_stereo_pair(kitti.parent / 'stereo' / 'cones')
    assert [s.name for s in find_pair_sets(kitti.parent, ['kitti*'])] == ['kitti_consecutive']
    with pytest.raises(DatasetError, match=r"no set 'tum'.*There are: kitti_consecutive, stereo"):
        find_pair_sets(kitti.parent, ['tum'])


def test_a_folder_without_pairs_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r'no pairs.*calib\.txt.*disp2\.png'):
        find_pair_sets(tmp_path)
    with pytest.raises(DatasetError, match='no such folder'):
        find_pair_sets(tmp_path / 'nowhere')
