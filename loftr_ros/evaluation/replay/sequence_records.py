"""Records of a sequence in progress: its frames, loops and places, and the worst matches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from loftr_ros.data.sequences import RefusedFrame
from loftr_ros.evaluation.records.frame_records import Recorder, badness, match_arrays
from loftr_ros.evaluation.records.loop_records import LoopRecorder
from loftr_ros.evaluation.records.place_records import PlaceRecord, place_record

if TYPE_CHECKING:
    from loftr_ros.data.sequences import GroundTruthFrame
    from loftr_ros.evaluation.records.results import FrameRecord, MatchArrays
    from loftr_ros.evaluation.replay.schedule import Outcome
    from loftr_ros.frontend import Step, TrackingResult

    Recorded = tuple[FrameRecord, TrackingResult | None]


@dataclass
class SequenceRecords:
    """What is known about the frames so far.

    Attributes:
        kept: Number of worst frames whose matches are kept.
        recorder: Makes the records of frames.
        loops: Those of loops.
        places: Searches among saved places.
        notices: What the session said about the input.
        worst: Rank, index and matches of the worst frames, the worst first.
        restarted: Whether the stamps jumped since the last estimate.

    """

    kept: int
    recorder: Recorder = field(default_factory=Recorder)
    loops: LoopRecorder = field(default_factory=LoopRecorder)
    places: list[PlaceRecord] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    worst: list[tuple[float, int, MatchArrays]] = field(default_factory=list)
    restarted: bool = False

    def add(self, index: int, item: GroundTruthFrame | RefusedFrame, outcome: Outcome) -> Recorded:
        """Record what became of a frame; returns the result of the tracker, too."""
        if isinstance(item, RefusedFrame):
            return self.recorder.refused(index, item.stamp_ns, outcome.problem), None
        if outcome.step is None:
            make = self.recorder.dropped if outcome.dropped else self.recorder.refused
            return make(index, item.frame.stamp_ns, outcome.problem), None
        return self._processed(index, item, outcome.step)

    def _processed(self, index: int, item: GroundTruthFrame, step: Step) -> Recorded:
        if step.notice:
            self.notices.append(step.notice)
        if step.places is not None:
            self.places.append(place_record(index, step.places))
        if step.loops is not None:
            self.loops.add(index, step.loops, item.world_T_camera)
        result = step.result
        if result is None:
            return self.recorder.first(index, item.frame.stamp_ns, item.world_T_camera), None
        record = self.recorder.matched(index, result, item.world_T_camera, step.estimate)
        if self.restarted and step.estimate is not None:
            record, self.restarted = replace(record, gap=True), False
        self._keep_if_bad(record, result)
        return record, result

    def _keep_if_bad(self, record: FrameRecord, result: TrackingResult) -> None:
        """Keep the matches of a frame that is among the worst so far."""
        worst, rank = self.worst, -badness(record)
        if len(worst) < self.kept or (worst and (rank, record.index) < worst[-1][:2]):
            worst.append((rank, record.index, match_arrays(record, result)))
            worst.sort(key=lambda entry: entry[:2])
            del worst[self.kept :]
