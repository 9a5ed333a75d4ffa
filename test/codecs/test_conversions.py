"""Results survive the conversion to messages, and failures never look like poses."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseWithCovariance
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message

from loftr_ros.codecs.conversions import (
    correspondences_from_msg,
    correspondences_to_msg,
    pose_from_msg,
    pose_to_msg,
    relative_pose_from_msg,
    relative_pose_to_msg,
)
from loftr_ros.codecs.correspondences import Correspondences, View
from loftr_ros.frontend import Frame, Source, TrackingResult
from loftr_ros.geometry import Camera, PoseState, RelativePose
from loftr_ros.matching.matches import Matches
from loftr_ros.msg import Correspondences as CorrespondencesMsg
from loftr_ros.msg import RelativePose as RelativePoseMsg

CAMERA = Camera(160, 120, np.array([[100.0, 0, 80], [0, 100, 60], [0, 0, 1]]))
REFERENCE = View(1_000_000_007, 'left', (120, 160), CAMERA)
QUERY = View(2_000_000_003, 'right', (240, 320))
KIND = RelativePoseMsg.KIND_KEYFRAME


def rotation(x: float, y: float, z: float) -> np.ndarray[Any, Any]:
    import cv2

    return np.asarray(cv2.Rodrigues(np.array([x, y, z]))[0], np.float64)


def correspondences(count: int) -> Correspondences:
    rng = np.random.default_rng(1)
    return Correspondences(
        reference=REFERENCE,
        query=QUERY,
        reference_points=rng.uniform(0, 160, (count, 2)).astype(np.float32),
        query_points=rng.uniform(0, 160, (count, 2)).astype(np.float32),
        confidence=rng.uniform(0, 1, count).astype(np.float32),
        sigma=rng.uniform(0, 1, count).astype(np.float32),
        inliers=rng.uniform(0, 1, count) > 0.5,
        track_ids=np.arange(count, dtype=np.int64) + 2**40,
        new_keyframe=True,
        weights_name='lite',
        weights_hash='ab' * 32,
        source=Source.ALIGNED,
    )


def full_pose() -> RelativePose:
    transform = np.eye(4)
    transform[:3, :3] = rotation(0.1, -0.2, 0.3)
    transform[:3, 3] = 0.6, 0.0, 0.8
    covariance = np.diag([1e-4, 2e-4, 3e-4, 1e-6, 2e-6, 3e-6])
    inliers = np.array([True, False, True])
    return RelativePose.up_to_scale(
        transform, covariance, method='essential', inliers=inliers, median_residual=0.25
    )


@pytest.mark.parametrize('count', [0, 1, 7])
def test_correspondences_survive_the_wire(count: int) -> None:
    sent = correspondences(count)
    wire = serialize_message(correspondences_to_msg(sent))
    received = correspondences_from_msg(deserialize_message(wire, CorrespondencesMsg))
    assert received.source is Source.ALIGNED
    for name in (
        'reference_points',
        'query_points',
        'confidence',
        'sigma',
        'inliers',
        'track_ids',
    ):
        np.testing.assert_array_equal(getattr(received, name), getattr(sent, name), name)
        assert getattr(received, name).dtype == getattr(sent, name).dtype
    assert received.reference.camera is not None
    np.testing.assert_array_equal(received.reference.camera.matrix, CAMERA.matrix)
    assert received.reference.stamp_ns == REFERENCE.stamp_ns
    assert received.query == QUERY or received.query.camera is None
    assert (received.query.size, received.query.frame_id) == (QUERY.size, QUERY.frame_id)
    assert received.new_keyframe
    assert (received.weights_name, received.weights_hash) == ('lite', 'ab' * 32)


def test_a_literal_message_holds_points_as_x0_y0_x1_y1() -> None:
    msg = CorrespondencesMsg()
    msg.reference_points = array.array('f', [1, 2, 3, 4])
    msg.query_points = array.array('f', [5, 6, 7, 8])
    msg.confidence = msg.sigma = array.array('f', [0.5, 0.25])
    msg.inlier = array.array('B', [1, 0])
    msg.track_ids = array.array('q', [10, 11])
    read = correspondences_from_msg(msg)
    np.testing.assert_array_equal(read.reference_points, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(read.query_points, [[5, 6], [7, 8]])
    np.testing.assert_array_equal(read.inliers, [True, False])
    written = correspondences_to_msg(read)
    assert written.reference_points == msg.reference_points
    assert written.inlier == msg.inlier
    assert written.track_ids == msg.track_ids


def test_the_header_is_that_of_the_query() -> None:
    msg = correspondences_to_msg(correspondences(2))
    assert (msg.header.stamp.sec, msg.header.stamp.nanosec) == (2, 3)
    assert msg.header.frame_id == 'right'
    assert msg.query_camera_info.header == msg.header
    assert msg.reference_camera_info.header.stamp.nanosec == 7
    assert not msg.query_camera_info.k.any()


def test_arrays_of_different_lengths_are_refused() -> None:
    msg = correspondences_to_msg(correspondences(3))
    msg.sigma = array.array('f', [1.0])
    with pytest.raises(ValueError, match=r'sigma has the shape \(1,\), but 3 matches'):
        correspondences_from_msg(msg)
    msg.reference_points = array.array('f', [1.0])
    with pytest.raises(ValueError, match='pairs x, y, not 1'):
        correspondences_from_msg(msg)


def test_what_the_tracker_found_becomes_correspondences() -> None:
    frame = Frame(5, np.zeros((12, 16), np.uint8), 'a')
    query = Frame(6, np.zeros((10, 14, 3), np.uint8), 'b')
    matches = Matches.empty()
    failed = RelativePose.failed(PoseState.LOST, 'dark')
    result = TrackingResult(
        reference=frame,
        query=query,
        matches=matches,
        track_ids=np.zeros(0, np.int64),
        pose=failed,
        new_keyframe=True,
        seconds={},
    )
    found = Correspondences.of(result, 'name', 'hash')
    assert (found.reference.size, found.query.size) == ((12, 16), (10, 14))
    assert (found.reference.stamp_ns, found.query.frame_id) == (5, 'b')
    assert len(found) == 0
    assert found.new_keyframe


def test_a_pose_survives_the_wire() -> None:
    sent = full_pose()
    wire = serialize_message(relative_pose_to_msg(sent, REFERENCE, QUERY, KIND))
    msg = deserialize_message(wire, RelativePoseMsg)
    assert (msg.matches, msg.inliers) == (3, 2)
    # Of the later time, in the frame of expression, as in nav_msgs/Odometry.
    assert (msg.header.stamp.sec, msg.header.frame_id) == (2, 'left')
    assert (msg.reference_stamp.sec, msg.query_frame_id) == (1, 'right')
    assert not msg.metric
    assert msg.kind == KIND
    received = relative_pose_from_msg(msg, sent.inliers)
    assert received.reference_T_query is not None
    assert sent.reference_T_query is not None
    np.testing.assert_allclose(received.reference_T_query, sent.reference_T_query, atol=1e-12)
    np.testing.assert_array_equal(received.covariance, sent.covariance)
    np.testing.assert_array_equal(received.inliers, sent.inliers)
    assert (received.state, received.method) == (PoseState.OK, 'essential')
    assert received.median_residual == 0.25


def test_a_pose_that_was_not_filled_in_is_of_no_state_and_no_kind() -> None:
    empty = RelativePoseMsg()
    assert empty.state == RelativePoseMsg.STATE_UNKNOWN
    assert empty.kind == RelativePoseMsg.KIND_UNKNOWN


def test_without_flags_only_the_number_of_inliers_is_known() -> None:
    received = relative_pose_from_msg(relative_pose_to_msg(full_pose(), REFERENCE, QUERY, KIND))
    assert received.inliers.tolist().count(True) == 2
    assert len(received.inliers) == 3


@pytest.mark.parametrize('state', [PoseState.DEGENERATE, PoseState.TOO_FEW_MATCHES, PoseState.LOST])
def test_a_failure_is_nan_throughout(state: PoseState) -> None:
    msg = relative_pose_to_msg(RelativePose.failed(state, 'why', 9), REFERENCE, QUERY, KIND)
    position, orientation = msg.pose.pose.position, msg.pose.pose.orientation
    numbers = [position.x, position.y, position.z, orientation.x, orientation.y]
    numbers += [orientation.z, orientation.w, msg.median_residual, *msg.pose.covariance]
    assert np.isnan(numbers).all()
    assert msg.state not in (RelativePoseMsg.STATE_OK, RelativePoseMsg.STATE_ROTATION_ONLY)
    assert (msg.reason, msg.matches, msg.inliers) == ('why', 9, 0)
    received = relative_pose_from_msg(msg)
    assert received.state is state
    assert received.reference_T_query is None


def test_a_rotation_alone_has_an_unbounded_translation() -> None:
    sent = RelativePose.rotation_only(
        rotation(0, 0.1, 0),
        np.eye(3) * 1e-6,
        method='homography',
        inliers=np.ones(4, np.bool_),
        median_residual=0.5,
        reason='no parallax',
    )
    msg = relative_pose_to_msg(sent, REFERENCE, QUERY, KIND)
    assert msg.state == RelativePoseMsg.STATE_ROTATION_ONLY
    assert np.isinf([msg.pose.covariance[0], msg.pose.covariance[7], msg.pose.covariance[14]]).all()
    received = relative_pose_from_msg(msg)
    np.testing.assert_array_equal(received.covariance, sent.covariance)


def test_an_unfilled_message_is_no_estimate() -> None:
    with pytest.raises(ValueError, match='state is 0'):
        relative_pose_from_msg(RelativePoseMsg())


def test_an_orientation_that_is_no_unit_quaternion_is_refused() -> None:
    msg = PoseWithCovariance()
    msg.pose.orientation.w = 0.5
    with pytest.raises(ValueError, match='unit quaternion'):
        pose_from_msg(msg)


@settings(max_examples=200, deadline=None)
@given(st.tuples(*[st.floats(-4, 4)] * 3))
def test_rotations_of_every_angle_survive(vector: tuple[float, float, float]) -> None:
    transform = np.eye(4)
    transform[:3, :3] = rotation(*vector)
    back, _ = pose_from_msg(pose_to_msg(transform, np.eye(6)))
    np.testing.assert_allclose(back, transform, atol=1e-12)


def test_rotations_by_180_degrees_survive() -> None:
    for signs in ([1, -1, -1], [-1, 1, -1], [-1, -1, 1]):
        transform = np.diag([*map(float, signs), 1.0])
        back, _ = pose_from_msg(pose_to_msg(transform, np.eye(6)))
        np.testing.assert_allclose(back, transform, atol=1e-12)


def test_correspondences_of_an_unknown_source_are_refused() -> None:
    msg = correspondences_to_msg(correspondences(3))
    msg.source = 9
    with pytest.raises(ValueError, match='source is 9'):
        correspondences_from_msg(msg)
