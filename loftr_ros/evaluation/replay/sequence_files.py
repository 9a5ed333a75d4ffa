"""The files of a sequence in progress, and those that follow from its records at the end."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING

from loftr_ros.data.sequences import RefusedFrame
from loftr_ros.evaluation.records.frame_records import matrix_of, times_of
from loftr_ros.evaluation.records.loop_records import LOOPS
from loftr_ros.evaluation.records.place_records import PLACES
from loftr_ros.evaluation.records.result_files import naming, to_line, write_json, write_records
from loftr_ros.evaluation.records.results import (
    FRAME_TIMES,
    FRAMES,
    SEQUENCE,
    SUMMARY,
    WORST,
    SequenceFolder,
    SequenceInfo,
    write_matches,
)
from loftr_ros.evaluation.records.summaries import summarize, worst_of
from loftr_ros.evaluation.records.trajectory_metrics import (
    estimated_poses,
    trajectory_metrics,
    true_poses,
    write_trajectory,
)
from loftr_ros.evaluation.replay.inputs import problem_of, warnings_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from loftr_ros.data.sequences import GroundTruthSequence
    from loftr_ros.evaluation.records.results import FrameRecord
    from loftr_ros.evaluation.replay.schedule import Outcome
    from loftr_ros.evaluation.replay.sequence_records import SequenceRecords
    from loftr_ros.evaluation.replay.sequence_state import SequenceState
    from loftr_ros.evaluation.replay.task import SequenceTask
    from loftr_ros.visualization.rerun_recording import RerunRecording

RECORDING = 'replay'


@dataclass(frozen=True, eq=False)
class FrameFiles:
    """The open files that get what becomes of each frame.

    Attributes:
        folder: Of the sequence.
        frames: Lines of records.
        times: Lines of times.
        recording: For the Rerun viewer; None where none is wanted.

    """

    folder: Path
    frames: IO[bytes]
    times: IO[bytes]
    recording: RerunRecording | None

    def write(self, records: SequenceRecords, outcome: Outcome) -> None:
        """Record and write what became of a frame."""
        index, item, read = outcome.key
        record, result = records.add(index, item, outcome)
        if self.recording is not None and not isinstance(item, RefusedFrame):
            pose = None if record.odom_T_base is None else matrix_of(record.odom_T_base)
            self.recording.log(index, item.frame, result, pose, item.world_T_camera)
        with naming(self.folder / FRAMES):
            self.frames.write(to_line(record).encode())
        if result is not None:
            self.times.write(to_line(times_of(index, read, result)).encode())

    def flush(self) -> dict[str, int]:
        """Bring all lines to the disk; returns the length of each file."""
        for file in (self.frames, self.times):
            file.flush()
            os.fsync(file.fileno())
        return {FRAMES: self.frames.tell(), FRAME_TIMES: self.times.tell()}


@contextmanager
def open_files(task: SequenceTask, state: SequenceState) -> Iterator[FrameFiles]:
    """Open the files of lines where the checkpoint left them, and a recording if one is wanted."""
    with naming(task.folder / FRAMES), ExitStack() as stack:
        frames, times = (
            stack.enter_context(_open_lines(task.folder / name, state.bytes_written[name]))
            for name in (FRAMES, FRAME_TIMES)
        )
        recording = stack.enter_context(_recording(task, state.next_index))
        yield FrameFiles(task.folder, frames, times, recording)


def _open_lines(path: Path, size: int) -> IO[bytes]:
    path.touch()
    file = path.open('r+b')
    file.seek(size)
    file.truncate()
    return file


@contextmanager
def _recording(task: SequenceTask, start: int) -> Iterator[RerunRecording | None]:
    """Open a recording if one is wanted; one that goes on is named after its first frame."""
    if not task.options.rerun:
        yield None
        return
    from loftr_ros.visualization.rerun_recording import RerunRecording

    name = f'{RECORDING}_{start:06d}.rrd' if start else f'{RECORDING}.rrd'
    recording = RerunRecording(task.folder / name, task.name)
    try:
        yield recording
    finally:
        recording.close()


def write_results(
    task: SequenceTask, sequence: GroundTruthSequence, state: SequenceState, info: SequenceInfo
) -> SequenceInfo:
    """Write everything that follows from the records; `info` says how the sequence ended."""
    records = SequenceFolder(task.folder, info).frames()
    if info.status == 'complete':
        error = problem_of(records, task.choice.mode, state.partners, task.slop_ns)
        if error:
            info = replace(info, status='failed', error=f'{task.path}: {error}')
    _write_figures(task, state.records, records)
    _write_searches(task, state.records)
    found = _warnings(task, sequence, state, records, info)
    info = replace(info, warnings=tuple(found))
    write_json(task.folder / SEQUENCE, info)
    return info


def _write_figures(
    task: SequenceTask, known: SequenceRecords, records: Sequence[FrameRecord]
) -> None:
    lengths = list(known.recorder.track_lengths.values())
    summary = summarize(records, lengths, worst_of(records, task.options.worst))
    summary['trajectory'] = trajectory_metrics(records)
    write_trajectory(task.folder / 'trajectory', estimated_poses(records))
    write_trajectory(task.folder / 'truth', true_poses(records))
    shutil.rmtree(task.folder / WORST, ignore_errors=True)
    for _, _, matches in known.worst:
        write_matches(task.folder / WORST, matches)
    write_json(task.folder / SUMMARY, summary)


def _write_searches(task: SequenceTask, known: SequenceRecords) -> None:
    if task.parameters.loop.enabled:
        write_records(task.folder / LOOPS, known.loops.records)
    if task.options.places is not None:
        write_records(task.folder / PLACES, known.places)


def _warnings(
    task: SequenceTask,
    sequence: GroundTruthSequence,
    state: SequenceState,
    records: Sequence[FrameRecord],
    info: SequenceInfo,
) -> Iterator[str]:
    complete = info.status == 'complete'
    yield from state.records.notices
    yield from state.imu_warnings()
    yield from warnings_of(sequence, records, info.expected if complete else None)
    if complete and task.choice.mode != 'mono' and state.partners.missing:
        yield state.partners.text(task.choice.mode, task.slop_ns)
