"""What is published says what it is relative to."""

from __future__ import annotations

import numpy as np
import pytest

from loftr_ros.frontend import Frame, TrackingResult, TrackingState
from loftr_ros.geometry import PoseState, RelativePose
from loftr_ros.matching.matches import Matches
from loftr_ros.msg import RelativePose as RelativePoseMsg
from loftr_ros.ros.outputs import kind_of, matches_image_to_msg, result_to_msgs
from loftr_ros.settings.parameters import NodeParameters


def result(state: TrackingState) -> TrackingResult:
    frame = Frame(2_000_000_000, np.zeros((8, 16), np.uint8), 'camera')
    pose = RelativePose.failed(PoseState.LOST, 'none')
    ids = np.zeros(0, np.int64)
    return TrackingResult(
        reference=frame,
        query=frame,
        matches=Matches.empty(),
        track_ids=ids,
        pose=pose,
        new_keyframe=False,
        seconds={},
        state=state,
    )


@pytest.mark.parametrize(
    ('parameters', 'state', 'kind'),
    [
        ({'reference': 'previous'}, TrackingState.TRACKING, RelativePoseMsg.KIND_PREVIOUS),
        ({'reference': 'previous'}, TrackingState.RECOVERED, RelativePoseMsg.KIND_KEYFRAME),
        ({'reference': 'keyframe'}, TrackingState.TRACKING, RelativePoseMsg.KIND_KEYFRAME),
        ({'mode': 'pair'}, TrackingState.TRACKING, RelativePoseMsg.KIND_PAIR),
    ],
)
def test_the_kind_says_what_the_reference_is(
    parameters: dict[str, str], state: TrackingState, kind: int
) -> None:
    assert kind_of(result(state), NodeParameters(**parameters)) == kind  # type: ignore[arg-type]


@pytest.mark.parametrize('state', list(TrackingState))
def test_the_pose_has_the_state_of_tracking(state: TrackingState) -> None:
    _, msg = result_to_msgs(result(state), RelativePoseMsg.KIND_KEYFRAME, 'lite', 'hash')
    assert msg.tracking == getattr(RelativePoseMsg, f'TRACKING_{state.name}')
    assert msg.tracking != RelativePoseMsg.TRACKING_NONE


def test_a_pair_beside_the_sequence_has_no_state_of_tracking() -> None:
    pair = result(TrackingState.TRACKING)
    _, msg = result_to_msgs(pair, RelativePoseMsg.KIND_PAIR, 'lite', 'hash')
    assert msg.tracking == RelativePoseMsg.TRACKING_NONE


def test_the_picture_has_both_images_and_the_header_of_the_query() -> None:
    msg = matches_image_to_msg(result(TrackingState.TRACKING))
    assert (msg.width, msg.encoding, msg.step) == (32, 'rgb8', 96)
    assert len(msg.data) == msg.step * msg.height
    assert (msg.header.stamp.sec, msg.header.frame_id) == (2, 'camera')
