"""All that the following frames of a sequence depend on, and its checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loftr_ros.codecs.stamps import Order, StampOrder, describe_late
from loftr_ros.data.errors import DatasetError
from loftr_ros.data.sequences import RefusedFrame
from loftr_ros.evaluation.records.checkpoints import read_checkpoint, write_checkpoint
from loftr_ros.evaluation.records.result_files import naming, plain
from loftr_ros.evaluation.records.results import FRAME_TIMES, FRAMES
from loftr_ros.evaluation.replay.inputs import PartnerCount, topics_of
from loftr_ros.evaluation.replay.sequence_records import SequenceRecords

if TYPE_CHECKING:
    from loftr_ros.data.imu import ImuSamples
    from loftr_ros.data.sequences import GroundTruthFrame, GroundTruthSequence
    from loftr_ros.evaluation.replay.schedule import Schedule
    from loftr_ros.evaluation.replay.task import SequenceTask
    from loftr_ros.frontend import Session

CHECKPOINT = 'checkpoint.npz'


@dataclass
class SequenceState:
    """All that the following frames depend on; a checkpoint holds it.

    Attributes:
        session: The tracker and what goes with it.
        records: What is known about the frames so far.
        schedule: Says which frames there is time for; None matches every frame.
        order: Whether stamps increase.
        partners: How many frames have what gives them scale.
        next_index: Place of the next frame in the input.
        imu: Samples of the gyroscope; None where there are none. No checkpoint holds them.
        next_imu: Number of the next sample.
        refused_samples: How many samples were refused.
        bytes_written: Length of each file of lines.

    """

    session: Session[Any]
    records: SequenceRecords
    schedule: Schedule | None = None
    order: StampOrder = field(default_factory=StampOrder)
    partners: PartnerCount = field(default_factory=PartnerCount)
    next_index: int = 0
    imu: ImuSamples | None = None
    next_imu: int = 0
    refused_samples: int = 0
    bytes_written: dict[str, int] = field(default_factory=lambda: {FRAMES: 0, FRAME_TIMES: 0})

    def problem(self, item: GroundTruthFrame | RefusedFrame) -> str:
        """Return why a frame is refused before it is processed; '' if it is not."""
        if isinstance(item, RefusedFrame):
            return item.reason
        stamp_ns, last_ns = item.frame.stamp_ns, self.order.last_ns
        self.partners.add(item)
        order = self.order.check(stamp_ns)
        if order is Order.LATE and last_ns is not None:
            return describe_late(stamp_ns, last_ns)
        if order is Order.JUMPED:
            self._restart()
        return ''

    def add_imu_until(self, stamp_ns: int) -> None:
        """Give the gyroscope its samples up to the time of a frame, as they come on a robot."""
        samples = () if self.imu is None else self.imu.until(self.next_imu, stamp_ns)
        for number, sample_ns, rate in samples:
            self.next_imu = number + 1
            try:
                self.session.add_imu(sample_ns, rate)
            except ValueError:
                self.refused_samples += 1

    def imu_warnings(self) -> list[str]:
        """Say how many samples of the gyroscope were refused."""
        if self.imu is None or not self.refused_samples:
            return []
        return [
            f'{self.refused_samples} samples of {self.imu.source} were refused: late, or not finite'
        ]

    def _restart(self) -> None:
        # As in the node: frames of the same stamps as before would be taken for those.
        self.session.reset()
        if self.imu is not None:
            self.next_imu = self.imu.restarted(self.next_imu)
        if self.schedule is not None:
            self.schedule.reset()
        self.records.restarted = True


class Checkpoint:
    """The file that a stopped sequence goes on from."""

    def __init__(
        self,
        task: SequenceTask,
        matcher: Any,  # noqa: ANN401 - of any features
        sequence: GroundTruthSequence,
        imu: ImuSamples | None,
    ) -> None:
        """Name the file, and what it must have been written with to be read again."""
        self._task = task
        self._known = {'matcher': matcher, 'imu': imu}
        self._path = task.folder / CHECKPOINT
        places = task.options.places
        self._fingerprint = {
            'path': str(task.path),
            'parameters': plain(task.parameters.values()),
            'frames': len(sequence),
            'weights': matcher.weights_hash,
            'mode': task.choice.mode,
            'topics': topics_of(sequence),
            'imu': None if imu is None else imu.source,
            'pace': task.options.pace,
            'places': None if places is None else str(places),
        }

    def write(self, state: SequenceState) -> None:
        """Write the state; never leaves half a file."""
        part = self._path.with_name(f'{CHECKPOINT}.part')
        with naming(part):
            write_checkpoint(part, [self._fingerprint, state], self._known)
        part.replace(self._path)

    def read(self) -> SequenceState | None:
        """Read the state, if there is one of this very task and going on is wanted.

        Raises:
            DatasetError: If the file is damaged.

        """
        if not self._task.options.resume or not self._path.is_file():
            return None
        try:
            fingerprint, state = read_checkpoint(self._path, self._known)
        except ValueError as error:
            remedy = 'Remove it to start this sequence again.'
            problem = f'the checkpoint cannot be read ({error})'
            raise DatasetError(self._path, problem, remedy) from error
        if not isinstance(state, SequenceState) or fingerprint != self._fingerprint:
            return None
        return state if self._has_lines(state) else None

    def remove(self) -> None:
        """Remove the file of a sequence that has ended."""
        self._path.unlink(missing_ok=True)

    def _has_lines(self, state: SequenceState) -> bool:
        """Return whether the files of lines have all that the state knows of."""
        files = {self._task.folder / name: size for name, size in state.bytes_written.items()}
        return all(path.is_file() and path.stat().st_size >= n for path, n in files.items())
