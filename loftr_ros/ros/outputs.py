"""Publishers of the node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sensor_msgs.msg import Image

from loftr_ros.codecs.conversions import (
    SOURCES,
    correspondences_to_msg,
    header_to_msg,
    image_to_msg,
    relative_pose_to_msg,
)
from loftr_ros.codecs.correspondences import Correspondences, View
from loftr_ros.frontend import Source, TrackingState
from loftr_ros.msg import Correspondences as CorrespondencesMsg
from loftr_ros.msg import RelativePose as RelativePoseMsg
from loftr_ros.visualization.matches import draw_matches

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from rclpy.lifecycle import LifecycleNode

    from loftr_ros.frontend import LoopClosure, TrackingResult
    from loftr_ros.settings.parameters import NodeParameters

QUEUE_SIZE = 10
TRACKING = {
    TrackingState.TRACKING: RelativePoseMsg.TRACKING_TRACKING,
    TrackingState.SEARCHING: RelativePoseMsg.TRACKING_SEARCHING,
    TrackingState.RECOVERED: RelativePoseMsg.TRACKING_RECOVERED,
    TrackingState.RESTARTED: RelativePoseMsg.TRACKING_RESTARTED,
    TrackingState.FROZEN: RelativePoseMsg.TRACKING_FROZEN,
    TrackingState.BRIDGED: RelativePoseMsg.TRACKING_BRIDGED,
}


def kind_of(result: TrackingResult, parameters: NodeParameters) -> int:
    """Return what the reference is to the query, as a ``KIND_`` constant of RelativePose."""
    if parameters.mode == 'pair':
        return int(RelativePoseMsg.KIND_PAIR)
    # During a gap and at its end the reference is older than the frame before.
    previous = parameters.reference == 'previous' and result.state is TrackingState.TRACKING
    # An aligned frame is placed in the reference of the matched frame before it.
    previous = previous and result.source is Source.MATCHED
    return int(RelativePoseMsg.KIND_PREVIOUS if previous else RelativePoseMsg.KIND_KEYFRAME)


def result_to_msgs(
    result: TrackingResult, kind: int, weights_name: str, weights_hash: str
) -> tuple[CorrespondencesMsg, RelativePoseMsg]:
    """Write a result as the two messages that carry it."""
    correspondences = Correspondences.of(result, weights_name, weights_hash)
    views = correspondences.reference, correspondences.query
    relative_pose = relative_pose_to_msg(result.pose, *views, kind)
    if kind != RelativePoseMsg.KIND_PAIR:
        relative_pose.tracking = TRACKING[result.state]
    relative_pose.source = SOURCES[result.source]
    return correspondences_to_msg(correspondences), relative_pose


def loop_to_msg(closure: LoopClosure) -> RelativePoseMsg:
    """Write a loop: the pose of a keyframe in one of long ago, with the stamps of both."""
    views = View.of(closure.reference), View.of(closure.query)
    return relative_pose_to_msg(closure.pose, *views, RelativePoseMsg.KIND_LOOP)


def draw_result(result: TrackingResult) -> npt.NDArray[np.uint8]:
    """Draw the matches of a result, within the time that a frame can spare."""
    return draw_matches(
        result.reference.image,
        result.query.image,
        result.matches,
        result.pose.inliers if result.pose.state.has_pose else None,
        smooth=False,
    )


def matches_image_to_msg(result: TrackingResult) -> Image:
    """Draw a result as a message."""
    query = result.query
    return image_to_msg(draw_result(result), header_to_msg(query.stamp_ns, query.frame_id))


class Outputs:
    """Publishes results while the node is active."""

    def __init__(self, node: LifecycleNode, weights_name: str, weights_hash: str) -> None:
        """Create the publishers; results name the weights that they come from."""
        self._node = node
        self._weights = weights_name, weights_hash
        create = node.create_lifecycle_publisher
        self._correspondences = create(CorrespondencesMsg, '~/correspondences', QUEUE_SIZE)
        self._relative_pose = create(RelativePoseMsg, '~/relative_pose', QUEUE_SIZE)
        self._matches_image = create(Image, '~/matches_image', QUEUE_SIZE)

    def publish(self, result: TrackingResult, parameters: NodeParameters) -> None:
        """Publish what the parameters ask for; the picture only if somebody looks."""
        kind = kind_of(result, parameters)
        correspondences, relative_pose = result_to_msgs(result, kind, *self._weights)
        self._correspondences.publish(correspondences)
        self._relative_pose.publish(relative_pose)
        if self._matches_image.get_subscription_count():
            self._matches_image.publish(matches_image_to_msg(result))

    def publish_loop(self, closure: LoopClosure) -> None:
        """Publish a loop among the relative poses."""
        self._relative_pose.publish(loop_to_msg(closure))

    def close(self) -> None:
        """Take the publishers back."""
        for publisher in (self._correspondences, self._relative_pose, self._matches_image):
            self._node.destroy_lifecycle_publisher(publisher)
