"""Loops of a sequence on record, with their errors where the truth is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loftr_ros.evaluation.records.frame_records import (
    KnownFrame,
    pose_errors,
    relative_truth,
    values_of,
)
from loftr_ros.evaluation.records.results import PoseErrors, PoseFigures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from loftr_ros.frontend import LoopClosure, LoopSearch

    Pose = NDArray[np.float64]

LOOPS = 'loops.jsonl'


@dataclass(frozen=True, kw_only=True)
class LoopRecord:
    """One loop: one line of loops.jsonl; None is unknown.

    Attributes:
        index: Place of the later keyframe in the input.
        stamp_ns: Its time, ns.
        reference_index: Place of the older one.
        reference_stamp_ns: Its time, ns.
        steps: How much the views differ, in typical steps from one keyframe to the next.
        matches: Number of matches.
        inliers: Matches that the pose explains.
        pose: Pose of the later camera in the older one.
        errors: The errors of that pose.

    """

    index: int
    stamp_ns: int
    reference_index: int
    reference_stamp_ns: int
    steps: float
    matches: int
    inliers: int
    pose: PoseFigures = field(default_factory=PoseFigures)
    errors: PoseErrors = field(default_factory=PoseErrors)


@dataclass
class LoopRecorder:
    """Makes records of the loops of a sequence.

    Attributes:
        records: Those so far.
        known: The keyframes so far, by their stamp.

    """

    records: list[LoopRecord] = field(default_factory=list)
    known: dict[int, KnownFrame] = field(default_factory=dict)

    def add(self, index: int, search: LoopSearch, world_T_camera: Pose | None) -> None:
        """Add what a search at a keyframe found."""
        self.known[search.query.stamp_ns] = KnownFrame(index, world_T_camera)
        self.records += [self._record(closure) for closure in search.closures]

    def _record(self, closure: LoopClosure) -> LoopRecord:
        reference = self.known[closure.reference.stamp_ns]
        query = self.known[closure.query.stamp_ns]
        truth = relative_truth(reference.world_T_camera, query.world_T_camera)
        pose = closure.pose
        return LoopRecord(
            index=query.index,
            stamp_ns=closure.query.stamp_ns,
            reference_index=reference.index,
            reference_stamp_ns=closure.reference.stamp_ns,
            steps=closure.steps,
            matches=len(closure.matches),
            inliers=int(pose.inliers.sum()),
            pose=PoseFigures(
                state=pose.state.value,
                method=pose.method,
                metric=pose.metric,
                reference_T_query=values_of(pose.reference_T_query),
            ),
            errors=pose_errors(pose, truth),
        )
