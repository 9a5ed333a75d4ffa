"""The pose of a frame from its matches with its reference."""

from __future__ import annotations

from loftr_ros.frontend.frame import Frame
from loftr_ros.frontend.options import TrackerOptions
from loftr_ros.geometry import (
    KnownRotation,
    PoseState,
    RelativePose,
    TwoViewOptions,
    estimate_metric_pose,
    estimate_relative_pose,
)
from loftr_ros.geometry.depth import PointDepths
from loftr_ros.geometry.pose import Check
from loftr_ros.matching.matches import Matches


def estimate_up_to_scale(
    reference: Frame,
    query: Frame,
    matches: Matches,
    options: TwoViewOptions,
    known: KnownRotation | None = None,
) -> RelativePose:
    """Estimate the pose of the query without scale; LOST where a camera is not calibrated."""
    if reference.camera is None or query.camera is None:
        frame, name = (reference, 'reference') if reference.camera is None else (query, 'query')
        reason = f'no camera calibration of the {name} image'
        if frame.calibration_problem:
            reason = f'the calibration of the {name} image is refused: {frame.calibration_problem}'
        return RelativePose.failed(PoseState.LOST, reason, len(matches), Check.CALIBRATION)
    return estimate_relative_pose(
        matches.reference_points,
        matches.query_points,
        reference.camera,
        query.camera,
        matches.sigma,
        matches.confidence,
        options,
        known,
    )


def estimate_in_metres(
    reference: Frame, query: Frame, matches: Matches, depths: PointDepths, options: TrackerOptions
) -> RelativePose:
    """Estimate the pose of the query in metres, by the depths of the N reference points.

    Raises:
        ValueError: A camera is not calibrated.
    """
    if reference.camera is None or query.camera is None:
        raise ValueError('a pose in metres needs two calibrated cameras')
    return estimate_metric_pose(
        matches.reference_points,
        matches.query_points,
        depths,
        reference.camera,
        query.camera,
        matches.sigma,
        matches.confidence,
        options=options.two_view,
        metric=options.metric,
    )
