"""From a result of the tracker and the truth to the record of a frame."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from loftr_ros.evaluation.records.metrics import (
    direction_angle_error,
    epipolar_distances,
    precision,
    rotation_angle_error,
)
from loftr_ros.evaluation.records.results import (
    CovariantPose,
    FrameRecord,
    FrameTimes,
    MatchArrays,
    MatchFigures,
    PoseErrors,
    ReferenceRecord,
)
from loftr_ros.geometry.pose import PoseState, RelativePose
from loftr_ros.geometry.quaternions import quaternion_from_rotation, rotation_from_quaternion
from loftr_ros.geometry.rotations import rotation_vector, tangent_basis
from loftr_ros.geometry.transforms import inverse_transform, make_transform
from loftr_ros.visualization.images import to_display

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from loftr_ros.frontend import OdometryEstimate, TrackingResult

    Pose = NDArray[np.float64]

EPIPOLAR_LIMIT_PX = 3.0
STANDING_M = 1e-3
"""A true motion below this has no direction that an estimate could be compared with."""


@dataclass(frozen=True, eq=False)
class KnownFrame:
    """What later frames must know about one that may be their reference."""

    index: int
    world_T_camera: Pose | None


@dataclass
class Recorder:
    """Makes the records of one sequence, one frame after the other.

    Attributes:
        known: The frames that can be a reference, by their stamp: after a gap, earlier ones too.
        track_lengths: Frames that saw each track.

    """

    known: dict[int, KnownFrame] = field(default_factory=dict)
    track_lengths: Counter[int] = field(default_factory=Counter)

    def first(self, index: int, stamp_ns: int, world_T_camera: Pose | None) -> FrameRecord:
        """Record a frame that has nothing to be matched to."""
        self.known = {stamp_ns: KnownFrame(index, world_T_camera)}
        return FrameRecord(
            index=index,
            stamp_ns=stamp_ns,
            status='reference',
            world_T_camera=values_of(world_T_camera),
        )

    def refused(self, index: int, stamp_ns: int, reason: str) -> FrameRecord:
        """Record a frame that the tracker refused."""
        return FrameRecord(index=index, stamp_ns=stamp_ns, status='refused', reason=reason)

    def dropped(self, index: int, stamp_ns: int, reason: str) -> FrameRecord:
        """Record a frame that there was no time for."""
        return FrameRecord(index=index, stamp_ns=stamp_ns, status='dropped', reason=reason)

    def matched(
        self,
        index: int,
        result: TrackingResult,
        world_T_camera: Pose | None,
        estimate: OdometryEstimate | None,
    ) -> FrameRecord:
        """Record a result of the tracker, with its errors where the truth is known."""
        stamp, pose = result.query.stamp_ns, result.pose
        reference = self.known[result.reference.stamp_ns]
        truth = relative_truth(reference.world_T_camera, world_T_camera)
        continued = sum(track in self.track_lengths for track in result.track_ids.tolist())
        self.track_lengths.update(result.track_ids.tolist())
        if result.new_keyframe:
            self.known[stamp] = KnownFrame(index, world_T_camera)
        return FrameRecord(
            index=index,
            stamp_ns=stamp,
            status='matched',
            reason=pose.reason,
            reference=ReferenceRecord(
                source=result.source.value,
                reference_index=reference.index,
                reference_stamp_ns=result.reference.stamp_ns,
                new_keyframe=result.new_keyframe,
            ),
            matching=_match_figures(result, truth, continued),
            pose=_covariant_pose(pose),
            errors=pose_errors(pose, truth),
            odom_T_base=None if estimate is None else values_of(estimate.odom_T_base),
            gap=estimate is not None and estimate.gap,
            bridged=estimate is not None and estimate.bridged,
            world_T_camera=values_of(world_T_camera),
        )


def pose_errors(pose: RelativePose, truth: Pose | None) -> PoseErrors:
    """Compare an estimate with the truth, as far as both are known."""
    estimate = pose.reference_T_query
    if truth is None or estimate is None:
        return PoseErrors(true_reference_T_query=values_of(truth))
    direction, distance = None, None
    if pose.state is PoseState.OK and np.linalg.norm(truth[:3, 3]) > STANDING_M:
        direction = _finite(direction_angle_error(estimate[:3, 3], truth[:3, 3]))
    if pose.metric:
        distance = float(np.linalg.norm(estimate[:3, 3] - truth[:3, 3]))
    nees, nees_dof = normalized_error(pose, truth)
    return PoseErrors(
        true_reference_T_query=values_of(truth),
        rotation_error_deg=rotation_angle_error(estimate[:3, :3], truth[:3, :3]),
        direction_error_deg=direction,
        translation_error_m=distance,
        nees=nees,
        nees_dof=nees_dof,
    )


def normalized_error(pose: RelativePose, truth: Pose) -> tuple[float | None, int | None]:
    """Return the squared error normalized by the covariance, and its degrees of freedom.

    NEES of Y. Bar-Shalom et al., Estimation with Applications to Tracking and Navigation (2001),
    section 5.4.2. A direction is compared in its tangent plane, where alone it has a variance.

    Returns:
        None twice where the true direction is unknown or the covariance is singular.

    """
    estimate, covariance = pose.reference_T_query, pose.covariance
    if estimate is None or covariance is None:
        return None, None
    rotvec = rotation_vector(truth[:3, :3] @ estimate[:3, :3].T)
    shift, free = truth[:3, 3] - estimate[:3, 3], np.eye(6)
    if pose.state is PoseState.ROTATION_ONLY:
        free = free[:, 3:]
        covariance = np.where(np.isfinite(covariance), covariance, 0.0)
    elif not pose.metric:
        length = float(np.linalg.norm(truth[:3, 3]))
        if length <= STANDING_M:
            return None, None
        shift = truth[:3, 3] / length - estimate[:3, 3]
        free = np.zeros((6, 5))
        free[:3, :2], free[3:, 2:] = tangent_basis(estimate[:3, 3]), np.eye(3)
    error = free.T @ np.concatenate([shift, rotvec])
    try:
        squared = float(error @ np.linalg.solve(free.T @ covariance @ free, error))
    except np.linalg.LinAlgError:
        return None, None
    return (squared, free.shape[1]) if np.isfinite(squared) else (None, None)


def times_of(index: int, read: float, result: TrackingResult) -> FrameTimes:
    """Return the times of a frame, s."""
    seconds = {name: result.seconds[name] for name in ('encode', 'match', 'pose', 'total')}
    return FrameTimes(index=index, read=read, **seconds)


def match_arrays(record: FrameRecord, result: TrackingResult) -> MatchArrays:
    """Return the matches of a frame with its pictures."""
    matches = result.matches
    reference_index = record.reference.reference_index
    if reference_index is None:
        raise ValueError(f'frame {record.index} has no reference')
    return MatchArrays(
        index=record.index,
        reference_index=reference_index,
        reference_image=to_display(result.reference.image),
        query_image=to_display(result.query.image),
        reference_points=matches.reference_points,
        query_points=matches.query_points,
        confidence=matches.confidence,
        sigma=matches.sigma,
        inliers=result.pose.inliers,
        track_ids=result.track_ids,
    )


def badness(record: FrameRecord) -> float:
    """Rank frames: the higher, the worse.

    A frame without a pose has 180, and 180 more the fewer matches it has; with truth it counts the
    greater of the errors of rotation and direction, degrees; else the share of outliers.
    """
    matches, errors = record.matching.matches or 0, record.errors
    if record.pose.reference_T_query is None:
        return 180.0 + 180.0 / (1 + matches)
    known = [e for e in (errors.rotation_error_deg, errors.direction_error_deg) if e is not None]
    return max(known) if known else 1 - (record.matching.inliers or 0) / max(matches, 1)


def values_of(pose: Pose | None) -> tuple[float, ...] | None:
    """Return a pose (4, 4) as x y z and quaternion x y z w."""
    if pose is None:
        return None
    return (*pose[:3, 3].tolist(), *quaternion_from_rotation(pose[:3, :3]).tolist())


def matrix_of(values: Sequence[float]) -> Pose:
    """Return the pose (4, 4) of x y z and quaternion x y z w."""
    numbers = np.asarray(values, np.float64)
    return make_transform(rotation_from_quaternion(numbers[3:]), numbers[:3])


def median_of(values: ArrayLike) -> float | None:
    """Return the median, or None of nothing."""
    array = np.asarray(values, np.float64)
    return _finite(float(np.median(array))) if array.size else None


def relative_truth(world_T_reference: Pose | None, world_T_query: Pose | None) -> Pose | None:
    """Return the true pose (4, 4) of the query in the reference; None where one is unknown."""
    if world_T_reference is None or world_T_query is None:
        return None
    return inverse_transform(world_T_reference) @ world_T_query


def _match_figures(result: TrackingResult, truth: Pose | None, continued: int) -> MatchFigures:
    matches, pose = result.matches, result.pose
    offsets = matches.query_points - matches.reference_points
    return MatchFigures(
        matches=len(matches),
        inliers=int(pose.inliers.sum()),
        continued_tracks=continued,
        confidence=median_of(matches.confidence),
        sigma_px=median_of(matches.sigma),
        displacement_px=median_of(np.hypot(offsets[:, 0], offsets[:, 1])),
        residual_px=_finite(pose.median_residual),
        precision=None if truth is None else _precision(result, truth),
    )


def _covariant_pose(pose: RelativePose) -> CovariantPose:
    covariance = pose.covariance
    return CovariantPose(
        state=pose.state.value,
        method=pose.method,
        metric=pose.metric,
        reference_T_query=values_of(pose.reference_T_query),
        covariance=None if covariance is None else tuple(map(_finite, covariance.ravel())),
    )


def _precision(result: TrackingResult, truth: Pose) -> float | None:
    cameras = result.reference.camera, result.query.camera
    if cameras[0] is None or cameras[1] is None or np.linalg.norm(truth[:3, 3]) <= STANDING_M:
        return None
    points = result.matches.reference_points, result.matches.query_points
    distances = epipolar_distances(*points, cameras[0], cameras[1], truth)
    return _finite(precision(distances, EPIPOLAR_LIMIT_PX))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
