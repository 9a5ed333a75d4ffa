"""A sequence through the tracker: every frame has a record, and a stop leaves valid results."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from loftr_ros.data.bags.writer import BagWriter
from loftr_ros.data.errors import DatasetError
from loftr_ros.evaluation.records.frame_records import matrix_of
from loftr_ros.evaluation.records.results import SequenceFolder
from loftr_ros.evaluation.replay import sequence_state
from loftr_ros.evaluation.replay.sequence_run import Listener, run_sequence
from loftr_ros.evaluation.replay.sequence_state import CHECKPOINT
from test.helpers.known_world import (
    KnownMatcher,
    known_matcher,
    results_of,
    run_known,
    task_of,
    write_known_bag,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


class StopAt(Listener):
    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.done = 0

    def advanced(self, done: int, total: int) -> None:  # noqa: ARG002
        self.done = done

    def stopped(self) -> bool:
        return self.done >= self.frames


def test_every_frame_has_a_record_and_errors_against_the_truth(tmp_path: Path) -> None:
    bag = write_known_bag(tmp_path / 'bag', list(range(1, 9)))
    info = run_known(task_of(bag, tmp_path / 'out'))
    assert (info.status, info.error, info.warnings) == ('complete', '', ())
    assert info.topics == {
        'image': '/camera/image_raw',
        'camera_info': '/camera/camera_info',
        'ground_truth': '/ground_truth/pose',
    }
    frames = SequenceFolder.open(tmp_path / 'out').frames()
    assert [record.index for record in frames] == list(range(8))
    assert [record.status for record in frames] == ['reference', *['matched'] * 7]
    last = frames[-1]
    assert last.pose.state == 'ok'
    assert last.errors.rotation_error_deg is not None
    assert last.errors.rotation_error_deg < 0.2
    assert last.errors.direction_error_deg is not None
    assert last.errors.direction_error_deg < 2
    assert last.errors.nees_dof == 5
    assert last.matching.precision == 1.0
    assert last.pose.reference_T_query is not None
    assert np.linalg.norm(matrix_of(last.pose.reference_T_query)[:3, 3]) == pytest.approx(1)


def test_the_summary_and_trajectory_follow_from_the_records(tmp_path: Path) -> None:
    bag = write_known_bag(tmp_path / 'bag', list(range(1, 13)))
    run_known(task_of(bag, tmp_path / 'out', worst=2))
    folder = SequenceFolder.open(tmp_path / 'out')
    summary = folder.summary()
    assert summary['frames'] == 12
    assert summary['states'] == {'ok': 11}
    assert summary['pose_auc']['5'] > 0.8
    path = summary['trajectory']
    assert path['alignment'] == 'sim3'
    assert path['length_m'] > 10 * np.hypot(0.15, 0.06)
    assert path['ate_m']['rmse'] < 0.02
    assert path['gaps'] == 0
    for name, rows in (('trajectory', 11), ('truth', 12)):
        assert len((tmp_path / 'out' / f'{name}.tum').read_text().splitlines()) == rows
        assert len((tmp_path / 'out' / f'{name}.kitti').read_text().splitlines()) == rows


def test_the_worst_frames_are_kept_with_matches_and_pictures(tmp_path: Path) -> None:
    bag = write_known_bag(tmp_path / 'bag', [1, 2, 3, 0, 4, 5])
    run_known(task_of(bag, tmp_path / 'out', worst=2))
    folder = SequenceFolder.open(tmp_path / 'out')
    worst = folder.worst()
    assert worst[0] == 3  # the black image
    assert len(worst) == 2
    assert len(folder.matches(3).confidence) == 0
    other = folder.matches(worst[1])
    record = folder.frames()[worst[1]]
    assert other.reference_index == record.reference.reference_index
    assert len(other.reference_points) == len(other.track_ids) == record.matching.matches
    assert other.inliers.sum() == record.matching.inliers
    assert other.query_image.shape == (180, 240, 3)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    bag = write_known_bag(tmp_path / 'bag', list(range(1, 7)))
    for name in ('first', 'second'):
        run_known(task_of(bag, tmp_path / name))
    first = results_of(tmp_path / 'first')
    assert len(first) > 10
    assert first == results_of(tmp_path / 'second')


@pytest.mark.parametrize('frames', [1, 4])
def test_a_stopped_run_is_valid_and_goes_on_to_the_same_result(tmp_path: Path, frames: int) -> None:
    bag = write_known_bag(tmp_path / 'bag', list(range(1, 11)))
    whole, parts = task_of(bag, tmp_path / 'whole'), task_of(bag, tmp_path / 'parts', resume=True)
    run_known(whole)
    assert run_known(parts, StopAt(frames)).status == 'interrupted'
    partial = SequenceFolder.open(parts.folder)
    assert len(partial.frames()) == partial.summary()['frames'] == frames
    assert run_known(parts).status == 'complete'
    assert results_of(whole.folder) == results_of(parts.folder)
    assert not (parts.folder / CHECKPOINT).exists()


def test_lines_behind_the_checkpoint_are_written_again(tmp_path: Path) -> None:
    bag = write_known_bag(tmp_path / 'bag', list(range(1, 8)))
    task = task_of(bag, tmp_path / 'out', resume=True)
    run_known(task, StopAt(3))
    with (task.folder / 'frames.jsonl').open('a') as file:
        file.write('{"index": 3, "stamp')  # the process was killed while it wrote
    assert run_known(task).status == 'complete'
    assert [r.index for r in SequenceFolder.open(task.folder).frames()] == list(range(7))


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    bag = write_known_bag(tmp_path / 'bag', list(range(1, 8)))
    task = task_of(bag, tmp_path / 'out', resume=True)
    run_known(task, StopAt(3))
    (task.folder / CHECKPOINT).write_bytes(b'nothing')
    with pytest.raises(DatasetError, match=r'checkpoint cannot be read.*start this sequence again'):
        run_known(task)


def test_a_complete_sequence_is_not_run_again(tmp_path: Path) -> None:
    bag = write_known_bag(tmp_path / 'bag', [1, 2, 3])
    task = task_of(bag, tmp_path / 'out', resume=True)
    run_known(task)
    before = (task.folder / 'timing.jsonl').read_bytes()
    assert run_known(task).status == 'complete'
    assert (task.folder / 'timing.jsonl').read_bytes() == before


def test_a_frame_out_of_order_is_refused_and_said(tmp_path: Path) -> None:
    stamps = [10**8 * tenth for tenth in (10, 11, 12, 11, 12, 13, 14)]
    bag = write_known_bag(tmp_path / 'bag', [1, 2, 3, 4, 5, 6, 7], stamps=stamps)
    info = run_known(task_of(bag, tmp_path / 'out'))
    assert info.status == 'complete'
    assert any('time goes backwards: 2 frames' in warning for warning in info.warnings)
    assert any('first frame 3 by 0.1 s' in warning for warning in info.warnings)
    summary = SequenceFolder.open(tmp_path / 'out').summary()
    assert (summary['matched'], summary['refused']) == (4, 2)


def test_time_that_jumps_back_is_a_new_start_with_a_gap(tmp_path: Path) -> None:
    stamps = [10**9 * second for second in (1, 2, 3, 1, 2, 3, 4)]
    bag = write_known_bag(tmp_path / 'bag', [1, 2, 3, 4, 5, 6, 7], stamps=stamps)
    info = run_known(task_of(bag, tmp_path / 'out'))
    assert info.status == 'complete'
    assert any('jumps back 1 times, first at frame 3 by 2 s' in text for text in info.warnings)
    frames = SequenceFolder.open(tmp_path / 'out').frames()
    statuses = ['reference', 'matched', 'matched', 'reference', *['matched'] * 3]
    assert [record.status for record in frames] == statuses
    assert [record.gap for record in frames] == [False] * 4 + [True, False, False]
    assert {record.pose.state for record in frames if record.status == 'matched'} == {'ok'}


def test_a_truncated_database_is_a_named_failure(
    tmp_path: Path, truncate: Callable[[Path, float], None]
) -> None:
    bag = write_known_bag(tmp_path / 'bag', list(range(1, 6)), storage='sqlite3')
    truncate(next(bag.glob('*.db3')), 0.3)
    info = run_known(task_of(bag, tmp_path / 'out'))
    assert info.status == 'failed'
    assert 'cannot be read' in info.error
    assert 'sqlite3 FILE .recover' in info.error


def test_a_cut_mcap_file_is_evaluated_up_to_the_cut(
    tmp_path: Path, truncate: Callable[[Path, float], None]
) -> None:
    bag = write_known_bag(tmp_path / 'bag', list(range(1, 11)))
    truncate(next(bag.glob('*.mcap')), 0.7)
    info = run_known(task_of(bag, tmp_path / 'out'))
    assert info.status == 'complete'
    assert 'bag.mcap: the file is cut after' in info.warnings[0]
    assert 5 <= SequenceFolder.open(tmp_path / 'out').summary()['frames'] < 8


def test_a_broken_image_is_refused_and_the_rest_evaluated(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        for index in range(1, 5):
            bag.write_frame('/camera', known_matcher().frame(index))
        image = bag.image(np.zeros((180, 240), np.uint8), bag.header(10**12, 'camera'))
        image.data = image.data[:100]
        bag.write('/camera/image_raw', image, 10**9)
    info = run_known(task_of(tmp_path / 'bag', tmp_path / 'out'))
    assert info.status == 'complete'
    assert any('1 frames were refused, first: /camera/image_raw' in one for one in info.warnings)
    summary = SequenceFolder.open(tmp_path / 'out').summary()
    assert (summary['frames'], summary['refused']) == (5, 1)


def test_a_bag_of_broken_images_alone_has_failed(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        for index in range(3):
            header = bag.header(10**9 + index, 'camera')
            image = bag.image(np.zeros((180, 240), np.uint8), header)
            image.data = image.data[:100]
            bag.write('/camera/image_raw', image, 10**9 + index)
    info = run_known(task_of(tmp_path / 'bag', tmp_path / 'out'))
    assert info.status == 'failed'
    assert 'none of 3 frames can be used, first: /camera/image_raw: the data is' in info.error


def late_bag(path: Path, mode: str, delay_ns: int, frames: int = 8) -> Path:
    """Write frames whose right image or depth comes late."""
    world = known_matcher()
    with BagWriter(path) as bag:
        for index in range(frames):
            frame = world.frame(index + 1, 10**9 + index * 10**8)
            assert frame.camera is not None
            late = frame.stamp_ns + delay_ns
            header = bag.header(late, 'right')
            if mode == 'stereo':
                bag.write_frame('/left', frame)
                p = np.hstack([frame.camera.matrix, np.array([[-19.0], [0], [0]])])
                info = bag.camera_info(frame.camera, header, projection=p)
                bag.write('/right/camera_info', info, late)
                bag.write('/right/image_raw', bag.image(frame.image, header), late)
            else:
                bag.write_frame('/camera', frame)
                depth = np.full(frame.image.shape[:2], 2, np.float32)
                bag.write('/camera/depth_image', bag.image(depth, header), late)
    return path


@pytest.mark.parametrize('mode', ['stereo', 'rgbd'])
def test_what_a_mode_needs_and_no_frame_has_is_a_failure_with_numbers(
    tmp_path: Path, mode: str
) -> None:
    bag = late_bag(tmp_path / 'bag', mode, 30_000_000)
    slop = {'input.sync_slop': 0.02}
    info = run_known(task_of(bag, tmp_path / 'out', mode, slop))
    assert info.status == 'failed'
    name = {'stereo': 'right', 'rgbd': 'depth'}[mode]
    assert f'0 of 8 frames have a {name} image: the nearest are 0.030 s apart' in info.error
    assert 'allowed 0.020 s (input.sync_slop)' in info.error


@pytest.mark.parametrize('mode', ['stereo', 'rgbd'])
def test_the_slop_of_stamps_is_that_of_the_node(tmp_path: Path, mode: str) -> None:
    bag = late_bag(tmp_path / 'bag', mode, 30_000_000)
    slop = {'input.sync_slop': 0.04}
    info = run_known(task_of(bag, tmp_path / 'out', mode, slop))
    assert (info.status, info.error) == ('complete', '')


class Straight(KnownMatcher):
    """A world in which the camera of each frame stands beside that of the one before."""

    def position(self, index: int) -> NDArray[np.float64]:
        return np.array(self.step) * index


@pytest.mark.parametrize('swapped', [False, True])
def test_swapped_images_are_a_warning(tmp_path: Path, swapped: bool) -> None:
    world = Straight(noise=0.1, camera=known_matcher().camera, step=(0.15, 0.0, 0.0))
    with BagWriter(tmp_path / 'bag') as bag:
        for index in range(2, 8):
            stamp_ns = 10**9 + index * 10**8
            bag.write_frame('/left', world.frame(index, stamp_ns))
            bag.write_frame('/right', world.frame(index + (-1 if swapped else 1), stamp_ns))
    values = {'input.left_T_right': (0.15, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)}
    info = run_sequence(task_of(tmp_path / 'bag', tmp_path / 'out', 'stereo', values), world)
    assert info.status == 'complete'
    found = [text for text in info.warnings if 'left and right look swapped' in text]
    assert len(found) == swapped
    records = SequenceFolder.open(tmp_path / 'out').frames()
    assert any(record.pose.metric for record in records) is not swapped


def test_frames_without_depth_are_counted(tmp_path: Path) -> None:
    world = known_matcher()
    with BagWriter(tmp_path / 'bag') as bag:
        for index in range(6):
            frame = world.frame(index + 1, 10**9 + index * 10**8)
            bag.write_frame('/camera', frame)
            if index % 2:
                depth = np.full(frame.image.shape[:2], 2, np.float32)
                message = bag.image(depth, bag.header(frame.stamp_ns, 'camera'))
                bag.write('/camera/depth_image', message, frame.stamp_ns)
    info = run_known(task_of(tmp_path / 'bag', tmp_path / 'out', mode='rgbd'))
    assert info.status == 'complete'
    assert any(
        text.startswith('3 of 6 frames have a depth image: the nearest are 0.100 s apart')
        for text in info.warnings
    )


def test_truth_of_another_time_is_named_with_both_spans(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        for index in range(1, 5):
            frame = known_matcher().frame(index, 1_700_000_000 * 10**9 + index * 10**8)
            bag.write_frame('/camera', frame)
            bag.write_pose('/ground_truth/pose', np.eye(4), index * 10**8)
    info = run_known(task_of(tmp_path / 'bag', tmp_path / 'out'))
    assert info.status == 'complete'
    expected = 'images are from 1700000000.100 to 1700000000.400 s, true poses from 0.100 to 0.400'
    assert any(expected in warning for warning in info.warnings)


def test_without_calibration_there_are_matches_and_a_warning(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        for index in range(1, 5):
            bag.write_frame('/camera', replace(known_matcher().frame(index), camera=None))
    info = run_known(task_of(tmp_path / 'bag', tmp_path / 'out'))
    assert info.status == 'complete'
    assert info.warnings[0].startswith('no calibration')
    summary = SequenceFolder.open(tmp_path / 'out').summary()
    assert summary['matches']['min'] > 50
    assert summary['states'] == {'lost': 3}
    assert summary['trajectory'] is None


def test_an_input_that_is_not_there_is_a_named_failure(tmp_path: Path) -> None:
    info = run_known(task_of(tmp_path / 'nothing', tmp_path / 'out'))
    assert info.status == 'failed'
    assert 'no such file' in info.error


def test_a_sequence_that_comes_back_after_a_gap_goes_on_from_the_keyframe_before(
    tmp_path: Path,
) -> None:
    elsewhere = [0, 90, 0, 91, 0, 92, 0, 93]
    bag = write_known_bag(tmp_path / 'bag', [1, 2, 3, *elsewhere, 4, 5, 6])
    assert run_known(task_of(bag, tmp_path / 'out')).status == 'complete'
    frames = SequenceFolder.open(tmp_path / 'out').frames()
    assert any(record.reference.new_keyframe for record in frames[3:11])
    assert frames[11].reference.reference_index == 0
    assert {record.pose.state for record in frames[11:]} == {'ok'}
    assert not any(record.gap for record in frames)


def test_lines_that_were_lost_start_the_sequence_again(tmp_path: Path) -> None:
    bag = write_known_bag(tmp_path / 'bag', list(range(1, 8)))
    task = task_of(bag, tmp_path / 'out', resume=True)
    run_known(task, StopAt(4))
    file = task.folder / 'frames.jsonl'
    file.write_bytes(file.read_bytes()[:-30])
    assert len(SequenceFolder.open(task.folder).frames()) == 3
    assert run_known(task).status == 'complete'
    assert [r.index for r in SequenceFolder.open(task.folder).frames()] == list(range(7))


def signature(*_: object) -> NDArray[np.float32]:
    """Let all images look alike."""
    return np.array([1, 0], np.float32)


def test_a_search_for_loops_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KnownMatcher, 'signature', signature, raising=False)
    bag = write_known_bag(tmp_path / 'bag', [1, 2, 3, 40, 41, 42, 1, 2, 3, 4])
    values = {'loop.enabled': True, 'loop.min_age': 0.1}
    whole, parts = (
        task_of(bag, tmp_path / name, parameters=values, resume=True) for name in ('whole', 'parts')
    )
    run_known(whole)
    assert run_known(parts, StopAt(5)).status == 'interrupted'
    assert run_known(parts).status == 'complete'
    assert results_of(whole.folder) == results_of(parts.folder)
    loops = [(folder / 'loops.jsonl').read_bytes() for folder in (whole.folder, parts.folder)]
    assert loops[0] == loops[1]


def test_places_of_a_run_are_found_by_another_one_also_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KnownMatcher, 'signature', signature, raising=False)
    loops = {'loop.enabled': True}
    file = tmp_path / 'known.safetensors'
    first, second = (
        write_known_bag(tmp_path / name, numbers)
        for name, numbers in (('first', [1, 2, 3]), ('second', [40, 41, *range(2, 12)]))
    )
    before = task_of(first, tmp_path / 'before', parameters=loops, save_places=file)
    assert run_known(before).status == 'complete'
    whole, parts = (
        task_of(second, tmp_path / name, parameters=loops, resume=True, places=file)
        for name in ('whole', 'parts')
    )
    run_known(whole)
    assert run_known(parts, StopAt(3)).status == 'interrupted'
    assert run_known(parts).status == 'complete'
    lines = [(folder / 'places.jsonl').read_text() for folder in (whole.folder, parts.folder)]
    assert lines[0] == lines[1]
    records = [json.loads(line) for line in lines[0].splitlines()]
    assert [record['found'] for record in records][:1] == [False]
    assert any(record['found'] for record in records)
    assert {record['place_stamp_ns'] for record in records if record['found']} <= {10**9}


def test_places_that_cannot_be_written_fail_the_sequence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KnownMatcher, 'signature', signature, raising=False)
    bag, file = write_known_bag(tmp_path / 'bag', [1, 2, 3]), tmp_path / 'places.txt'
    task = task_of(bag, tmp_path / 'out', parameters={'loop.enabled': True}, save_places=file)
    info = run_known(task)
    assert info.status == 'failed'
    assert 'must end with .safetensors' in info.error
    assert len(SequenceFolder.open(task.folder).frames()) == 3


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    bag = write_known_bag(tmp_path / 'bag', [1, 2, 3])
    task = task_of(bag, tmp_path / 'out', resume=True)
    monkeypatch.setattr(sequence_state, 'write_checkpoint', full)
    with pytest.raises(OSError, match=r"No space left on device: '.*checkpoint.npz.part'"):
        run_known(task, StopAt(2))
