"""Run the tracker over one sequence and write its results; it can be stopped and go on."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from loftr_ros.data.errors import DatasetError
from loftr_ros.data.sequences import RefusedFrame
from loftr_ros.evaluation.records.result_files import write_json
from loftr_ros.evaluation.records.results import SEQUENCE, SequenceFolder, SequenceInfo
from loftr_ros.evaluation.replay.inputs import (
    camera_values,
    describe,
    open_input,
    read_imu,
    topics_of,
)
from loftr_ros.evaluation.replay.schedule import Outcome, Schedule
from loftr_ros.evaluation.replay.sequence_files import FrameFiles, open_files, write_results
from loftr_ros.evaluation.replay.sequence_records import SequenceRecords
from loftr_ros.evaluation.replay.sequence_state import Checkpoint, SequenceState
from loftr_ros.frontend import BaseOdometry, Between, FrameError, Session
from loftr_ros.frontend.place_files import load_places, save_places
from loftr_ros.settings.masks import read_masks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loftr_ros.data.imu import ImuSamples
    from loftr_ros.data.sequences import GroundTruthFrame, GroundTruthSequence
    from loftr_ros.evaluation.replay.task import SequenceTask
    from loftr_ros.frontend import Gyroscope

    Read = tuple[int, GroundTruthFrame | RefusedFrame, float]

CHECKPOINT_SECONDS = 30.0


class Listener:
    """Called as a sequence is processed; this one does nothing."""

    def opened(self, found: str) -> None:
        """Take what was found and chosen."""

    def advanced(self, done: int, total: int) -> None:
        """Take the numbers of frames done and announced, after each frame."""

    def stopped(self) -> bool:
        """Return, before each frame, whether to stop."""
        return False


class Interrupted(Exception):  # noqa: N818 - as KeyboardInterrupt, it is no error
    """The user asked to stop."""


def run_sequence(
    task: SequenceTask,
    matcher: Any,  # noqa: ANN401 - of any features
    listener: Listener | None = None,
) -> SequenceInfo:
    """Run all frames of an input, or those that are left, and write its results.

    Returns:
        What became of it; an input that cannot be used or read to the end has failed.

    """
    listener = listener or Listener()
    finished = _finished(task)
    if finished is not None:
        listener.advanced(finished.expected, finished.expected)
        return finished
    task.folder.mkdir(parents=True, exist_ok=True)
    write_json(task.folder / SEQUENCE, task.unopened('it was not opened'))
    try:
        sequence = open_input(task.path, task.choice, task.parameters)
        imu = read_imu(task.path, sequence, task.choice, task.parameters)
    except DatasetError as error:
        info = task.unopened(str(error))
        write_json(task.folder / SEQUENCE, info)
        return info
    listener.opened(describe(sequence))
    return _Run(task, matcher, sequence, imu, listener).run()


def _finished(task: SequenceTask) -> SequenceInfo | None:
    """Return what became of a sequence that a run before has completed."""
    if not task.options.resume or not (task.folder / SEQUENCE).is_file():
        return None
    info = SequenceFolder.open(task.folder).info
    return info if info.status == 'complete' else None


class _Run:
    """One sequence in progress."""

    def __init__(
        self,
        task: SequenceTask,
        matcher: Any,  # noqa: ANN401 - of any features
        sequence: GroundTruthSequence,
        imu: ImuSamples | None,
        listener: Listener,
    ) -> None:
        self._task = task
        self._imu = imu
        self._matcher = matcher
        self._sequence = sequence
        self._listener = listener
        self._checkpoint = Checkpoint(task, matcher, sequence, imu)
        self._state = self._checkpoint.read() or self._start()
        most, total = task.choice.frames, len(sequence)
        self._info = SequenceInfo(
            name=task.name,
            path=str(task.path),
            layout=sequence.layout,
            mode=task.choice.mode,
            topics=topics_of(sequence),
            expected=total if most is None else min(most, total),
            camera=camera_values(sequence.camera),
            status='interrupted',
        )

    def run(self) -> SequenceInfo:
        """Process all frames that are left, and write the results."""
        write_json(self._task.folder / SEQUENCE, self._info)
        status, error = 'complete', ''
        with open_files(self._task, self._state) as files:
            try:
                self._process_frames(files)
                self._save_places()
            except Interrupted:
                status = 'interrupted'
                self._save(files)
            except DatasetError as problem:
                status, error = 'failed', str(problem)
        if status != 'interrupted':
            self._checkpoint.remove()
        ended = replace(self._info, status=status, error=error)
        return write_results(self._task, self._sequence, self._state, ended)

    def _start(self) -> SequenceState:
        parameters, run = self._task.parameters, self._task.options
        options, masks = parameters.session_options(), read_masks(parameters)
        if run.pace is not None:
            options = replace(options, follow=run.pace.align)
        gyroscope = self._gyroscope()
        odometry = BaseOdometry(gyroscope=gyroscope)
        session = Session(self._matcher, options, masks, odometry, gyroscope)
        if run.places is not None:
            most = parameters.loop.memory
            session.load_places(load_places(run.places, self._matcher.weights_hash, most))
        state = SequenceState(session, SequenceRecords(run.worst), imu=self._imu)
        if run.pace is not None:
            state.schedule = Schedule(session, Between(options, masks, gyroscope), run.pace)
        return state

    def _gyroscope(self) -> Gyroscope | None:
        gyroscope = self._task.parameters.make_gyroscope()
        if gyroscope is not None and gyroscope.camera_R_imu is None and self._imu is not None:
            gyroscope.camera_R_imu = self._imu.camera_R_imu
        return gyroscope

    def _process_frames(self, files: FrameFiles) -> None:
        state, expected = self._state, self._info.expected
        saved = time.monotonic()
        for read in self._read(state.next_index):
            if self._listener.stopped():
                raise Interrupted
            for outcome in self._outcomes(read):
                files.write(state.records, outcome)
            state.next_index = read[0] + 1
            self._listener.advanced(state.next_index, max(expected, state.next_index))
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                self._save(files)
                saved = time.monotonic()
        for outcome in () if state.schedule is None else state.schedule.finish():
            files.write(state.records, outcome)

    def _read(self, start: int) -> Iterator[Read]:
        """Read frames from `start` on, with the time that each took, s."""
        items = itertools.islice(self._sequence.items(), start, self._task.choice.frames)
        for index in itertools.count(start):
            begin = time.perf_counter()
            item = next(items, None)
            if item is None:
                return
            yield index, item, time.perf_counter() - begin

    def _outcomes(self, key: Read) -> Iterator[Outcome]:
        """Take a frame; yields it, or the frames that are done by then."""
        state, item = self._state, key[1]
        problem = state.problem(item)
        if not problem and not isinstance(item, RefusedFrame):
            state.add_imu_until(item.frame.stamp_ns)
        if state.schedule is not None and not problem and not isinstance(item, RefusedFrame):
            yield from state.schedule.process(key, item.frame)
        elif state.schedule is not None:
            yield from state.schedule.refuse(key, problem)
        elif problem or isinstance(item, RefusedFrame):
            yield Outcome(key, None, problem)
        else:
            try:
                yield Outcome(key, state.session.process(item.frame))
            except FrameError as error:
                yield Outcome(key, None, str(error))

    def _save(self, files: FrameFiles) -> None:
        self._state.bytes_written = files.flush()
        self._checkpoint.write(self._state)

    def _save_places(self) -> None:
        """Save the places of the run where that is wanted.

        Raises:
            DatasetError: There are none, or the file cannot be written.
        """
        path, session = self._task.options.save_places, self._state.session
        if path is None:
            return
        weights = self._matcher.weights_name, self._matcher.weights_hash
        try:
            save_places(session.saved_places(*weights), path)
        except ValueError as error:
            remedy = 'Choose another file for --save-places.'
            raise DatasetError(path, str(error), remedy) from error
