"""Loops of a sequence on record, with their errors where the truth is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loftr_ros.evaluation.records.frame_records import KnownFrame, pose_errors, values_of
from loftr_ros.geometry.transforms import inverse_transform

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from loftr_ros.evaluation.records.results import Values
    from loftr_ros.frontend import LoopClosure, LoopSearch

    Pose = NDArray[np.float64]

LOOPS = 'loops.jsonl'


@dataclass(frozen=True, kw_only=True)
class LoopRecord:
    """One loop: one line of loops.jsonl; None is unknown. Fields are as those of `FrameRecord`.

    Attributes:
        index: Place of the later keyframe in the input.
        stamp_ns: Its time, ns.
        reference_index: Place of the older one.
        reference_stamp_ns: Its time, ns.
        steps: How much the views differ, in typical steps from one keyframe to the next.
        matches: Number of matches.
        inliers: Matches that the pose explains.
        state: State of the estimate in lower case.
        method: 'essential', 'homography' or 'pnp'.
        metric: Whether the translation is in metres.
        reference_T_query: Pose of the later camera in the older one.
        true_reference_T_query: The same from the ground truth, metres.
        rotation_error_deg: Angle between both rotations.
        direction_error_deg: Angle between both translations.
        translation_error_m: Distance between both translations; only of metric poses.
        nees: Squared error, normalized by the covariance, of `nees_dof` degrees of freedom.
        nees_dof: 6 for metric poses, 5 without scale, 3 for rotations.

    """

    index: int
    stamp_ns: int
    reference_index: int
    reference_stamp_ns: int
    steps: float
    matches: int
    inliers: int
    state: str
    method: str
    metric: bool
    reference_T_query: Values | None
    true_reference_T_query: Values | None = None
    rotation_error_deg: float | None = None
    direction_error_deg: float | None = None
    translation_error_m: float | None = None
    nees: float | None = None
    nees_dof: int | None = None


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
        truth = None
        if reference.world_T_camera is not None and query.world_T_camera is not None:
            truth = inverse_transform(reference.world_T_camera) @ query.world_T_camera
        pose = closure.pose
        return LoopRecord(
            index=query.index,
            stamp_ns=closure.query.stamp_ns,
            reference_index=reference.index,
            reference_stamp_ns=closure.reference.stamp_ns,
            steps=closure.steps,
            matches=len(closure.matches),
            inliers=int(pose.inliers.sum()),
            state=pose.state.value,
            method=pose.method,
            metric=pose.metric,
            reference_T_query=values_of(pose.reference_T_query),
            true_reference_T_query=values_of(truth),
            **({} if truth is None else pose_errors(pose, truth)),
        )
