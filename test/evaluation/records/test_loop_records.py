"""Loops on record: what the search finds in a sequence, and how wrong it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from loftr_ros.evaluation.records.loop_records import LOOPS, LoopRecord
from loftr_ros.evaluation.records.result_files import read_records
from loftr_ros.evaluation.replay.sequence_run import Listener, run_sequence
from loftr_ros.evaluation.replay.task import SequenceTask
from test.helpers.known_world import KnownMatcher, known_matcher, task_of, write_known_bag

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

THERE_AND_BACK = [*range(1, 16, 2), *range(14, 0, -2)]
FREQUENCIES = np.linspace(0.02, 0.25, 40)


class Knower(KnownMatcher):
    """The matcher of the known world, which also knows places."""

    def signature(self, index: int) -> NDArray[np.float32]:
        waves = [np.cos(FREQUENCIES * index), np.sin(FREQUENCIES * index)]
        return np.asarray(np.concatenate(waves) / np.sqrt(len(FREQUENCIES)), np.float32)


class StopInTheMiddle(Listener):
    def __init__(self) -> None:
        self.done = 0

    def advanced(self, done: int, total: int) -> None:  # noqa: ARG002
        self.done = done

    def stopped(self) -> bool:
        return self.done >= 11


def run(task: SequenceTask, listener: Listener | None = None) -> list[LoopRecord]:
    known = known_matcher()
    matcher = Knower(noise=known.noise, camera=known.camera, step=known.step)
    run_sequence(task, matcher, listener)
    return read_records(task.folder / LOOPS, LoopRecord)


def loop_task(folder: Path, name: str, *, resume: bool = False) -> SequenceTask:
    bag = folder / 'bag'
    if not bag.exists():
        write_known_bag(bag, THERE_AND_BACK)
    task = task_of(bag, folder / name, resume=resume)
    values = {'loop.enabled': True, 'reference': 'previous'}
    values |= {'loop.min_age': 0.5, 'loop.interval': 0.0}
    return replace(task, parameters=task.parameters.with_values(values))


def test_loops_are_on_record_with_their_errors(tmp_path: Path) -> None:
    loops = run(loop_task(tmp_path, 'out'))
    assert len(loops) >= 2
    for loop in loops:
        assert loop.reference_index < 8 <= loop.index
        assert loop.stamp_ns - loop.reference_stamp_ns >= 0.5e9
        assert loop.stamp_ns == 10**9 + loop.index * 10**8
        assert loop.inliers <= loop.matches
        assert loop.errors.true_reference_T_query is not None
        assert loop.errors.rotation_error_deg is not None
        assert loop.errors.rotation_error_deg < 2
        if loop.pose.state == 'ok':
            assert loop.errors.direction_error_deg is not None
            assert loop.errors.direction_error_deg < 15


def test_a_stopped_run_goes_on_to_the_same_loops(tmp_path: Path) -> None:
    whole = run(loop_task(tmp_path, 'whole'))
    parts = loop_task(tmp_path, 'parts', resume=True)
    assert len(run(parts, StopInTheMiddle())) < len(whole)
    assert run(parts) == whole


def test_without_being_asked_for_there_is_no_file_of_loops(tmp_path: Path) -> None:
    task = loop_task(tmp_path, 'out')
    task = replace(task, parameters=task.parameters.with_values({'loop.enabled': False}))
    run_sequence(task, known_matcher())
    assert (task.folder / 'frames.jsonl').is_file()
    assert not (task.folder / LOOPS).exists()
