"""Pure pairs `x_to_msg` and `x_from_msg` between dataclasses and ROS messages."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import PoseWithCovariance
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from loftr_ros.codecs.cameras import CameraInfoError, camera_from_msg, camera_to_msg
from loftr_ros.codecs.correspondences import Correspondences, View
from loftr_ros.codecs.images import ImageConversionError, image_from_msg, image_to_msg
from loftr_ros.codecs.stamps import stamp_from_msg, stamp_to_msg
from loftr_ros.frontend import Source
from loftr_ros.geometry import PoseState, RelativePose
from loftr_ros.geometry.pose import Check
from loftr_ros.geometry.quaternions import quaternion_from_rotation, rotation_from_quaternion
from loftr_ros.msg import Correspondences as CorrespondencesMsg
from loftr_ros.msg import RelativePose as RelativePoseMsg

__all__ = [
    'CameraInfoError',
    'ImageConversionError',
    'camera_from_msg',
    'camera_to_msg',
    'correspondences_from_msg',
    'correspondences_to_msg',
    'covariance_to_msg',
    'header_to_msg',
    'image_from_msg',
    'image_to_msg',
    'pose_from_msg',
    'pose_to_msg',
    'relative_pose_from_msg',
    'relative_pose_to_msg',
    'stamp_from_msg',
    'stamp_to_msg',
    'view_from_msg',
    'view_to_msg',
]

Array = npt.NDArray[Any]

STATES = {
    PoseState.OK: RelativePoseMsg.STATE_OK,
    PoseState.ROTATION_ONLY: RelativePoseMsg.STATE_ROTATION_ONLY,
    PoseState.DEGENERATE: RelativePoseMsg.STATE_DEGENERATE,
    PoseState.TOO_FEW_MATCHES: RelativePoseMsg.STATE_TOO_FEW_MATCHES,
    PoseState.LOST: RelativePoseMsg.STATE_LOST,
}

SOURCES = {
    Source.MATCHED: CorrespondencesMsg.SOURCE_MATCHED,
    Source.ALIGNED: CorrespondencesMsg.SOURCE_ALIGNED,
}

NAN = np.full(9, np.nan)
SAFETY = 2.0
"""Of the shift that makes the smallest eigenvalue of a covariance zero: eigenvalues are rounded."""


def header_to_msg(stamp_ns: int, frame_id: str) -> Header:
    """Write a time in ns and the name of a frame as a header."""
    return Header(stamp=stamp_to_msg(stamp_ns), frame_id=frame_id)


def view_to_msg(view: View) -> CameraInfo:
    """Write time, frame, size and calibration of an image."""
    return camera_to_msg(view.camera, header_to_msg(view.stamp_ns, view.frame_id), view.size)


def view_from_msg(msg: CameraInfo) -> View:
    """Read what `view_to_msg` writes.

    Raises:
        CameraInfoError: The calibration contradicts itself.
    """
    stamp_ns = stamp_from_msg(msg.header.stamp)
    size = (msg.height, msg.width)
    return View(stamp_ns, msg.header.frame_id, size, camera_from_msg(msg))


def correspondences_to_msg(correspondences: Correspondences) -> CorrespondencesMsg:
    """Write N matches; each field is one array that is built from bytes."""
    msg = CorrespondencesMsg()
    msg.reference_camera_info = view_to_msg(correspondences.reference)
    msg.query_camera_info = view_to_msg(correspondences.query)
    msg.header = msg.query_camera_info.header
    msg.reference_points = _flat(correspondences.reference_points, 'f')
    msg.query_points = _flat(correspondences.query_points, 'f')
    msg.confidence = _flat(correspondences.confidence, 'f')
    msg.sigma = _flat(correspondences.sigma, 'f')
    msg.inlier = _flat(correspondences.inliers, 'B')
    msg.track_ids = _flat(correspondences.track_ids, 'q')
    msg.new_keyframe = bool(correspondences.new_keyframe)
    msg.weights_name = correspondences.weights_name
    msg.weights_hash = correspondences.weights_hash
    msg.source = SOURCES[correspondences.source]
    return msg


def correspondences_from_msg(msg: CorrespondencesMsg) -> Correspondences:
    """Read matches; the arrays share the memory of the message.

    Raises:
        ValueError: The arrays of the message are not of the same number of matches, or the source
            is unknown.
    """
    return Correspondences(
        reference=view_from_msg(msg.reference_camera_info),
        query=view_from_msg(msg.query_camera_info),
        reference_points=_points(msg.reference_points),
        query_points=_points(msg.query_points),
        confidence=np.asarray(msg.confidence, np.float32),
        sigma=np.asarray(msg.sigma, np.float32),
        inliers=np.asarray(msg.inlier, np.uint8) != 0,
        track_ids=np.asarray(msg.track_ids, np.int64),
        new_keyframe=msg.new_keyframe,
        weights_name=msg.weights_name,
        weights_hash=msg.weights_hash,
        source=_source_of(msg.source),
    )


def relative_pose_to_msg(
    pose: RelativePose, reference: View, query: View, kind: int
) -> RelativePoseMsg:
    """Write a relative pose; one that failed has NaN for every number of it.

    Args:
        pose: The pose, or why there is none.
        reference: The image whose camera the pose is expressed in.
        query: The image whose camera's pose it is.
        kind: One of the ``KIND_`` constants of the message.
    """
    msg = RelativePoseMsg()
    msg.header = header_to_msg(query.stamp_ns, reference.frame_id)
    msg.reference_stamp = stamp_to_msg(reference.stamp_ns)
    msg.query_frame_id = query.frame_id
    msg.kind = kind
    msg.state = STATES[pose.state]
    msg.reason = pose.reason
    msg.check = int(pose.check)
    msg.pose = pose_to_msg(pose.reference_T_query, pose.covariance)
    msg.metric = bool(pose.metric)
    msg.method = pose.method
    msg.matches = len(pose.inliers)
    msg.inliers = int(np.count_nonzero(pose.inliers))
    msg.median_residual = float(pose.median_residual)
    return msg


def relative_pose_from_msg(msg: RelativePoseMsg, inliers: Array | None = None) -> RelativePose:
    """Read a relative pose.

    Args:
        msg: The message.
        inliers: bool (N,), the flags of the Correspondences of the same images. The message only
            has their number: without the flags, which matches are inliers is not known, and
            the first ones are marked.

    Raises:
        ValueError: The state is unknown, or the fields contradict each other.
    """
    states = {value: state for state, value in STATES.items()}
    if msg.state not in states:
        raise ValueError(f'RelativePose.state is {msg.state}, which is none of its constants')
    if inliers is None:
        inliers = np.arange(msg.matches) < msg.inliers
    state = states[msg.state]
    transform, covariance = pose_from_msg(msg.pose) if state.has_pose else (None, None)
    return RelativePose(
        state=state,
        reference_T_query=transform,
        covariance=covariance,
        metric=msg.metric,
        method=msg.method,
        inliers=np.asarray(inliers, np.bool_),
        median_residual=msg.median_residual,
        reason=msg.reason,
        check=_check_of(msg.check),
    )


def _check_of(code: int) -> Check:
    try:
        return Check(code)
    except ValueError as error:
        message = f'RelativePose.check is {code}, which is none of its constants'
        raise ValueError(message) from error


def _source_of(code: int) -> Source:
    for source, value in SOURCES.items():
        if value == code:
            return source
    raise ValueError(f'Correspondences.source is {code}, which is none of its constants')


def pose_to_msg(transform: Array | None, covariance: Array | None) -> PoseWithCovariance:
    """Write a pose (4, 4) and its covariance (6, 6); None gives NaN throughout."""
    msg = PoseWithCovariance()
    if transform is None or covariance is None:
        position, quaternion, msg.covariance = NAN[:3], NAN[:4], np.tile(NAN, 4)
    else:
        position, quaternion = transform[:3, 3], quaternion_from_rotation(transform[:3, :3])
        msg.covariance = covariance_to_msg(covariance)
    msg.pose.position.x, msg.pose.position.y, msg.pose.position.z = position.tolist()
    orientation = msg.pose.orientation
    orientation.x, orientation.y, orientation.z, orientation.w = quaternion.tolist()
    return msg


def covariance_to_msg(covariance: Array) -> Array:
    """Return the 36 numbers of a covariance (6, 6): symmetric and positive semi-definite.

    What is computed from differences of covariances is so but for its rounding errors, and filters
    die of these. Infinite variances stay: they stand for what is not known at all.
    """
    symmetric = np.asarray((covariance + covariance.T) / 2, np.float64)
    known = np.flatnonzero(np.isfinite(np.diag(symmetric)))
    block = symmetric[np.ix_(known, known)]
    smallest = float(np.linalg.eigvalsh(block)[0]) if len(known) else 0.0
    if smallest < 0:
        # A shift of all, since a projection would have rounding errors of its own.
        symmetric[known, known] -= SAFETY * smallest
    return symmetric.reshape(36)


def pose_from_msg(msg: PoseWithCovariance) -> tuple[Array, Array]:
    """Read a pose (4, 4) and its covariance (6, 6)."""
    position, q = msg.pose.position, msg.pose.orientation
    transform = np.eye(4)
    transform[:3, 3] = position.x, position.y, position.z
    transform[:3, :3] = rotation_from_quaternion(np.array([q.x, q.y, q.z, q.w]))
    return transform, np.array(msg.covariance, np.float64).reshape(6, 6)


def _flat(values: Array, typecode: str) -> array.array[Any]:
    # Message fields take an array.array as it is; lists and ndarrays are checked item by item.
    dtype = {'f': np.float32, 'B': np.uint8, 'q': np.int64}[typecode]
    return array.array(typecode, np.ascontiguousarray(values, dtype).tobytes())


def _points(flat: Any) -> Array:  # noqa: ANN401 - an array.array here, an ndarray from rosbags
    values = np.asarray(flat, np.float32)
    if values.size % 2:
        raise ValueError(f'points must be pairs x, y, not {values.size} numbers')
    return values.reshape(-1, 2)
