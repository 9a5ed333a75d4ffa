"""Run the tracker over one sequence and write its results; it can be stopped and go on."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any

from loftr_ros.codecs.stamps import Order, StampOrder, describe_late
from loftr_ros.data.bags.topics import BY_TYPE, TopicNames
from loftr_ros.data.errors import DatasetError
from loftr_ros.data.sequences import RefusedFrame
from loftr_ros.evaluation.records.checkpoints import read_checkpoint, write_checkpoint
from loftr_ros.evaluation.records.frame_records import (
    Recorder,
    badness,
    match_arrays,
    matrix_of,
    times_of,
)
from loftr_ros.evaluation.records.loop_records import LOOPS, LoopRecorder
from loftr_ros.evaluation.records.place_records import PLACES, PlaceRecord, place_record
from loftr_ros.evaluation.records.result_files import (
    naming,
    plain,
    to_line,
    write_json,
    write_records,
)
from loftr_ros.evaluation.records.results import (
    FRAME_TIMES,
    FRAMES,
    SEQUENCE,
    SUMMARY,
    WORST,
    FrameRecord,
    MatchArrays,
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
from loftr_ros.evaluation.replay.inputs import (
    PartnerCount,
    camera_values,
    describe,
    open_input,
    problem_of,
    read_imu,
    topics_of,
    warnings_of,
)
from loftr_ros.evaluation.replay.schedule import Outcome, Pace, Schedule
from loftr_ros.frontend import BaseOdometry, Between, FrameError, Session, TrackingResult
from loftr_ros.frontend.place_files import load_places, save_places
from loftr_ros.settings.masks import read_masks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from loftr_ros.data.imu import ImuSamples
    from loftr_ros.data.sequences import GroundTruthFrame, GroundTruthSequence
    from loftr_ros.settings.parameters import NodeParameters
    from loftr_ros.visualization.rerun_recording import RerunRecording

    Pose = NDArray[np.float64]

CHECKPOINT = 'checkpoint.npz'
RECORDING = 'replay'
CHECKPOINT_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class SequenceTask:
    """What to run on one input.

    Attributes:
        name: Name of the sequence.
        path: The bag or dataset.
        folder: Where its results go.
        parameters: Of the node.
        mode: 'mono', 'stereo' or 'rgbd'.
        topics: Topics of a bag that are not to be found by type.
        camera: Camera of a dataset; None for its first.
        frames: Greatest number of frames; None for all.
        worst: Number of worst frames whose matches are kept.
        resume: Whether to go on from a checkpoint.
        rerun: Whether to write a recording for the Rerun viewer.
        pace: Speed of the camera and of the computer that are simulated; None matches every frame.
        places: File of saved places to find the camera in; None for none.
        save_places: File for the places of the run; None for none.

    """

    name: str
    path: Path
    folder: Path
    parameters: NodeParameters
    mode: str = 'mono'
    topics: TopicNames = BY_TYPE
    camera: str | None = None
    frames: int | None = None
    worst: int = 6
    resume: bool = False
    rerun: bool = False
    pace: Pace | None = None
    places: Path | None = None
    save_places: Path | None = None


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


@dataclass
class _State:
    """All that the following frames depend on; a checkpoint holds it."""

    session: Session[Any]
    loops: LoopRecorder = field(default_factory=LoopRecorder)
    places: list[PlaceRecord] = field(default_factory=list)
    recorder: Recorder = field(default_factory=Recorder)
    order: StampOrder = field(default_factory=StampOrder)
    partners: PartnerCount = field(default_factory=PartnerCount)
    restarted: bool = False
    notices: list[str] = field(default_factory=list)
    worst: list[tuple[float, int, MatchArrays]] = field(default_factory=list)
    schedule: Schedule | None = None
    next_index: int = 0
    next_imu: int = 0
    refused_samples: int = 0
    bytes_written: dict[str, int] = field(default_factory=lambda: {FRAMES: 0, FRAME_TIMES: 0})


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
    unopened = SequenceInfo(
        name=task.name,
        path=str(task.path),
        layout='',
        mode=task.mode,
        topics={},
        expected=0,
        camera=None,
        status='failed',
    )
    write_json(task.folder / SEQUENCE, replace(unopened, error='it was not opened'))
    try:
        sequence = open_input(task.path, task.mode, task.topics, task.camera, task.parameters)
        imu = read_imu(task.path, sequence, task.topics.imu, task.camera, task.parameters)
    except DatasetError as error:
        info = replace(unopened, error=str(error))
        write_json(task.folder / SEQUENCE, info)
        return info
    listener.opened(describe(sequence))
    return _Run(task, matcher, sequence, imu).run(listener)


def _finished(task: SequenceTask) -> SequenceInfo | None:
    """Return what became of a sequence that a run before has completed."""
    if not task.resume or not (task.folder / SEQUENCE).is_file():
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
    ) -> None:
        self._task = task
        self._imu = imu
        self._matcher = matcher
        self._sequence = sequence
        total = len(sequence)
        self._total = total if task.frames is None else min(task.frames, total)
        self._state = self._restored() or self._start()
        self._info = SequenceInfo(
            name=task.name,
            path=str(task.path),
            layout=sequence.layout,
            mode=task.mode,
            topics=topics_of(sequence),
            expected=self._total,
            camera=camera_values(sequence.camera),
            status='interrupted',
        )

    def _start(self) -> _State:
        parameters = self._task.parameters
        options, masks = parameters.session_options(), read_masks(parameters)
        pace = self._task.pace
        if pace is not None:
            options = replace(options, follow=pace.align)
        gyroscope = parameters.make_gyroscope()
        if gyroscope is not None and gyroscope.camera_R_imu is None and self._imu is not None:
            gyroscope.camera_R_imu = self._imu.camera_R_imu
        odometry = BaseOdometry(gyroscope=gyroscope)
        session = Session(self._matcher, options, masks, odometry, gyroscope)
        if self._task.places is not None:
            most = parameters.loop.memory
            session.load_places(load_places(self._task.places, self._matcher.weights_hash, most))
        if pace is None:
            return _State(session)
        between = Between(options, masks, gyroscope)
        return _State(session, schedule=Schedule(session, between, pace))

    def run(self, listener: Listener) -> SequenceInfo:
        write_json(self._task.folder / SEQUENCE, self._info)
        status, error = 'complete', ''
        with (
            naming(self._task.folder / FRAMES),
            self._file(FRAMES) as frames,
            self._file(FRAME_TIMES) as times,
        ):
            try:
                with self._recording() as recording:
                    self._frames(frames, times, listener, recording)
                self._save_places()
            except Interrupted:
                status = 'interrupted'
                self._save(frames, times)
            except DatasetError as problem:
                status, error = 'failed', str(problem)
        if status != 'interrupted':
            (self._task.folder / CHECKPOINT).unlink(missing_ok=True)
        return self._finish(status, error)

    def _save_places(self) -> None:
        """Save the places of the run where that is wanted.

        Raises:
            DatasetError: There are none, or the file cannot be written.
        """
        path, session = self._task.save_places, self._state.session
        if path is None:
            return
        weights = self._matcher.weights_name, self._matcher.weights_hash
        try:
            save_places(session.saved_places(*weights), path)
        except ValueError as error:
            raise DatasetError(
                path, str(error), 'Choose another file for --save-places.'
            ) from error

    def _frames(
        self,
        frames: IO[bytes],
        times: IO[bytes],
        listener: Listener,
        recording: RerunRecording | None,
    ) -> None:
        state = self._state
        saved = time.monotonic()
        for index, item, read in self._read(state.next_index):
            if listener.stopped():
                raise Interrupted
            for outcome in self._outcomes((index, item, read)):
                self._write(outcome, frames, times, recording)
            state.next_index = index + 1
            listener.advanced(index + 1, max(self._total, index + 1))
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                self._save(frames, times)
                saved = time.monotonic()
        for outcome in () if state.schedule is None else state.schedule.finish():
            self._write(outcome, frames, times, recording)

    def _outcomes(
        self, key: tuple[int, GroundTruthFrame | RefusedFrame, float]
    ) -> Iterator[Outcome]:
        """Take a frame; yields it, or the frames whose turn has come by then."""
        state, item = self._state, key[1]
        problem = self._problem(item)
        if not problem and not isinstance(item, RefusedFrame):
            self._feed(item.frame.stamp_ns)
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

    def _feed(self, stamp_ns: int) -> None:
        """Give the gyroscope its samples up to the time of a frame, as they come on a robot."""
        state = self._state
        for number, sample_ns, rate in (
            () if self._imu is None else self._imu.until(state.next_imu, stamp_ns)
        ):
            state.next_imu = number + 1
            try:
                state.session.add_imu(sample_ns, rate)
            except ValueError:
                state.refused_samples += 1

    def _problem(self, item: GroundTruthFrame | RefusedFrame) -> str:
        """Return why a frame is refused before it is processed; '' if it is not."""
        state = self._state
        if isinstance(item, RefusedFrame):
            return item.reason
        stamp_ns, last_ns = item.frame.stamp_ns, state.order.last_ns
        state.partners.add(item)
        order = state.order.check(stamp_ns)
        if order is Order.LATE and last_ns is not None:
            return describe_late(stamp_ns, last_ns)
        if order is Order.JUMPED:
            # As in the node: frames of the same stamps as before would be taken for those.
            state.session.reset()
            if self._imu is not None:
                state.next_imu = self._imu.restarted(state.next_imu)
            if state.schedule is not None:
                state.schedule.reset()
            state.restarted = True
        return ''

    def _write(
        self,
        outcome: Outcome,
        frames: IO[bytes],
        times: IO[bytes],
        recording: RerunRecording | None,
    ) -> None:
        index, item, read = outcome.key
        record, result = self._record(outcome, index, item)
        if recording is not None and not isinstance(item, RefusedFrame):
            pose = None if record.odom_T_base is None else matrix_of(record.odom_T_base)
            recording.log(index, item.frame, result, pose, item.world_T_camera)
        with naming(self._task.folder / FRAMES):
            frames.write(to_line(record).encode())
        if result is not None:
            times.write(to_line(times_of(index, read, result)).encode())

    @contextmanager
    def _recording(self) -> Iterator[RerunRecording | None]:
        """Open a recording if one is wanted; one that goes on is named after its first frame."""
        if not self._task.rerun:
            yield None
            return
        from loftr_ros.visualization.rerun_recording import RerunRecording

        start = self._state.next_index
        name = f'{RECORDING}_{start:06d}.rrd' if start else f'{RECORDING}.rrd'
        recording = RerunRecording(self._task.folder / name, self._task.name)
        try:
            yield recording
        finally:
            recording.close()

    def _read(self, start: int) -> Iterator[tuple[int, GroundTruthFrame | RefusedFrame, float]]:
        """Read frames from `start` on, with the time that each took, s."""
        items = itertools.islice(self._sequence.items(), start, self._task.frames)
        for index in itertools.count(start):
            begin = time.perf_counter()
            item = next(items, None)
            if item is None:
                return
            yield index, item, time.perf_counter() - begin

    def _record(
        self, outcome: Outcome, index: int, item: GroundTruthFrame | RefusedFrame
    ) -> tuple[FrameRecord, TrackingResult | None]:
        state, step = self._state, outcome.step
        if isinstance(item, RefusedFrame):
            return state.recorder.refused(index, item.stamp_ns, outcome.problem), None
        frame = item.frame
        if step is None:
            make = state.recorder.dropped if outcome.dropped else state.recorder.refused
            return make(index, frame.stamp_ns, outcome.problem), None
        if step.notice:
            state.notices.append(step.notice)
        if step.places is not None:
            state.places.append(place_record(index, step.places))
        if step.loops is not None:
            state.loops.add(index, step.loops, item.world_T_camera)
        result = step.result
        if result is None:
            return state.recorder.first(index, frame.stamp_ns, item.world_T_camera), None
        record = state.recorder.matched(index, result, item.world_T_camera, step.estimate)
        if state.restarted and step.estimate is not None:
            record, state.restarted = replace(record, gap=True), False
        self._keep_if_bad(record, result)
        return record, result

    def _keep_if_bad(self, record: FrameRecord, result: TrackingResult) -> None:
        """Keep the matches of a frame that is among the worst so far."""
        worst, rank = self._state.worst, -badness(record)
        if len(worst) < self._task.worst or (worst and (rank, record.index) < worst[-1][:2]):
            worst.append((rank, record.index, match_arrays(record, result)))
            worst.sort(key=lambda entry: entry[:2])
            del worst[self._task.worst :]

    def _file(self, name: str) -> IO[bytes]:
        """Open a file of lines where the checkpoint left it."""
        path = self._task.folder / name
        path.touch()
        file = path.open('r+b')
        file.seek(self._state.bytes_written[name])
        file.truncate()
        return file

    def _save(self, frames: IO[bytes], times: IO[bytes]) -> None:
        """Write a checkpoint."""
        for file in (frames, times):
            file.flush()
            os.fsync(file.fileno())
        self._state.bytes_written = {FRAMES: frames.tell(), FRAME_TIMES: times.tell()}
        part = self._task.folder / f'{CHECKPOINT}.part'
        with naming(part):
            write_checkpoint(part, [self._fingerprint(), self._state], {'matcher': self._matcher})
        part.replace(self._task.folder / CHECKPOINT)

    def _restored(self) -> _State | None:
        """Read the checkpoint, if there is one of this very task and going on is wanted."""
        path = self._task.folder / CHECKPOINT
        if not self._task.resume or not path.is_file():
            return None
        try:
            fingerprint, state = read_checkpoint(path, {'matcher': self._matcher})
        except ValueError as error:
            remedy = 'Remove it to start this sequence again.'
            raise DatasetError(path, f'the checkpoint cannot be read ({error})', remedy) from error
        if not isinstance(state, _State) or fingerprint != self._fingerprint():
            return None
        # Where a file lost lines that the checkpoint knows of, the sequence starts again.
        files = {name: self._task.folder / name for name in state.bytes_written}
        whole = all(
            file.is_file() and file.stat().st_size >= state.bytes_written[name]
            for name, file in files.items()
        )
        return state if whole else None

    def _fingerprint(self) -> dict[str, Any]:
        task = self._task
        return {
            'path': str(task.path),
            'parameters': plain(task.parameters.values()),
            'frames': len(self._sequence),
            'weights': self._matcher.weights_hash,
            'mode': task.mode,
            'topics': topics_of(self._sequence),
            'pace': task.pace,
            'places': None if task.places is None else str(task.places),
        }

    def _finish(self, status: str, error: str) -> SequenceInfo:
        """Write everything that follows from the records."""
        folder = self._task.folder
        records = SequenceFolder(folder, self._info).frames()
        if status == 'complete':
            error = problem_of(records, self._task.mode, self._state.partners, self._slop_ns())
            if error:
                status, error = 'failed', f'{self._task.path}: {error}'
        lengths = list(self._state.recorder.track_lengths.values())
        summary = summarize(records, lengths, worst_of(records, self._task.worst))
        summary['trajectory'] = trajectory_metrics(records)
        write_trajectory(folder / 'trajectory', estimated_poses(records))
        write_trajectory(folder / 'truth', true_poses(records))
        shutil.rmtree(folder / WORST, ignore_errors=True)
        for _, _, matches in self._state.worst:
            write_matches(folder / WORST, matches)
        if self._task.parameters.loop.enabled:
            write_records(folder / LOOPS, self._state.loops.records)
        if self._task.places is not None:
            write_records(folder / PLACES, self._state.places)
        write_json(folder / SUMMARY, summary)
        total = self._total if status == 'complete' else None
        warnings = [*self._state.notices, *self._imu_warnings()]
        warnings += warnings_of(self._sequence, records, total)
        if status == 'complete' and self._task.mode != 'mono' and self._state.partners.missing:
            warnings.append(self._state.partners.text(self._task.mode, self._slop_ns()))
        info = replace(self._info, status=status, error=error, warnings=tuple(warnings))
        write_json(folder / SEQUENCE, info)
        return info

    def _imu_warnings(self) -> list[str]:
        count, imu = self._state.refused_samples, self._imu
        if imu is None or not count:
            return []
        return [f'{count} samples of {imu.source} were refused: late, or not finite']

    def _slop_ns(self) -> int:
        return round(self._task.parameters.input.sync_slop * 1e9)
