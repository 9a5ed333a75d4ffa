"""Read back what the demo recorded, and add to it what was computed from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rosbags.highlevel import AnyReader

from loftr_ros.codecs.images import image_from_msg
from loftr_ros.codecs.stamps import stamp_from_msg
from loftr_ros.data.bags.message_types import package_typestore
from loftr_ros.data.bags.messages import STATES, pose_of
from loftr_ros.data.bags.writer import BagWriter
from loftr_ros.evaluation.demo.topics import ESTIMATED_POSE, IMAGE
from loftr_ros.evaluation.live.plan import CORRESPONDENCES, RELATIVE_POSE
from loftr_ros.evaluation.live.processes import LiveError
from loftr_ros.geometry import PoseState
from loftr_ros.geometry.quaternions import rotation_from_quaternion
from loftr_ros.geometry.transforms import make_transform
from loftr_ros.matching.matches import Matches

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from loftr_ros.data.bags.message_types import Message


@dataclass(frozen=True, eq=False, kw_only=True)
class PairResult:
    """What the node said about one image.

    Attributes:
        reference_ns: Time of the reference image, ns.
        query_ns: Time of the query image, ns.
        arrival_ns: When the recorder had the pose, ns since 1970.
        state: One of `STATES`.
        reason: Why there is no full pose; '' if there is one.
        reference_T_query: (4, 4); None without a pose.
        matches: Number of matches.
        inliers: Number of matches that the pose explains.
        new_keyframe: Whether the image became the reference of the following ones.

    """

    reference_ns: int
    query_ns: int
    arrival_ns: int
    state: str
    reason: str
    reference_T_query: NDArray[np.float64] | None
    matches: int
    inliers: int
    new_keyframe: bool = False


def read_results(bag: Path) -> list[PairResult]:
    """Read all relative poses of a bag, in the order of their arrival."""
    keyframes = {
        stamp_from_msg(message.header.stamp): bool(message.new_keyframe)
        for _, message in _messages(bag, CORRESPONDENCES)
    }
    return [
        pair_result(message, time_ns, keyframes)
        for time_ns, message in _messages(bag, RELATIVE_POSE)
    ]


def pair_result(message: Message, arrival_ns: int, keyframes: Mapping[int, bool]) -> PairResult:
    """Read a loftr_ros/msg/RelativePose."""
    query_ns = stamp_from_msg(message.header.stamp)
    state = STATES[message.state] if message.state < len(STATES) else STATES[0]
    pose = None
    if state in (PoseState.OK.name, PoseState.ROTATION_ONLY.name):
        values = pose_of(message)
        pose = make_transform(rotation_from_quaternion(values[3:]), values[:3])
    return PairResult(
        reference_ns=stamp_from_msg(message.reference_stamp),
        query_ns=query_ns,
        arrival_ns=arrival_ns,
        state=state,
        reason=message.reason,
        reference_T_query=pose,
        matches=int(message.matches),
        inliers=int(message.inliers),
        new_keyframe=keyframes.get(query_ns, False),
    )


def read_matches(
    bag: Path, query_stamps: Collection[int]
) -> dict[int, tuple[Matches, NDArray[np.bool_]]]:
    """Read matches and inliers of some query images."""
    return {
        stamp: _matches(message)
        for _, message in _messages(bag, CORRESPONDENCES)
        if (stamp := stamp_from_msg(message.header.stamp)) in query_stamps
    }


def read_images(bag: Path, stamps: Collection[int]) -> dict[int, NDArray[Any]]:
    """Read the images of some stamps."""
    return {
        stamp: image_from_msg(message)
        for _, message in _messages(bag, IMAGE)
        if (stamp := stamp_from_msg(message.header.stamp)) in stamps
    }


def finish_bag(
    recording: Path, bag: Path, estimate: Mapping[int, tuple[int, NDArray[np.float64]]]
) -> Counter[str]:
    """Copy a recording, and add the estimated trajectory as PoseStamped.

    Args:
        recording: What the recorder wrote.
        bag: Folder of the new bag, which does not exist yet.
        estimate: Time of an image, ns -> time of arrival, ns, and pose in the world (4, 4).

    Returns:
        Number of messages per topic.

    """
    with BagWriter(bag) as writer, AnyReader([recording]) as reader:
        for connection, time_ns, data in reader.messages():
            writer.write_raw(connection.topic, connection.msgtype, data, time_ns)
        for stamp, (time_ns, pose) in estimate.items():
            writer.write_pose(ESTIMATED_POSE, pose, stamp, 'world', time_ns)
    return count_messages(bag)


def count_messages(bag: Path) -> Counter[str]:
    """Read a bag through, with nothing but what it says about its own types; count per topic."""
    counts: Counter[str] = Counter()
    with AnyReader([bag]) as reader:
        for connection, _, data in reader.messages():
            reader.deserialize(data, connection.msgtype)
            counts[connection.topic] += 1
    return counts


def check_counts(found: Mapping[str, int], recorded: Mapping[str, int], bag: Path) -> None:
    """Make sure that a bag gives back what was recorded.

    Raises:
        LiveError: A topic has more or fewer messages.

    """
    wrong = [
        f'{topic}: {found.get(topic, 0)} of {count}'
        for topic, count in recorded.items()
        if found.get(topic, 0) != count
    ]
    if wrong:
        raise LiveError(f'{bag} does not give back what was recorded: {"; ".join(wrong)}')


def _messages(bag: Path, topic: str) -> Iterator[tuple[int, Message]]:
    with AnyReader([bag], default_typestore=package_typestore()) as reader:
        connections = [c for c in reader.connections if c.topic == topic]
        if not connections:  # which `messages` would take for all topics
            return
        for connection, time_ns, data in reader.messages(connections):
            yield time_ns, reader.deserialize(data, connection.msgtype)


def _matches(message: Message) -> tuple[Matches, NDArray[np.bool_]]:
    count = len(message.confidence)
    matches = Matches(
        message.reference_points.reshape(-1, 2),
        message.query_points.reshape(-1, 2),
        message.confidence,
        message.sigma,
        np.full(count, -1),  # the message does not carry them
        (0, 0),
    )
    return matches, message.inlier.astype(np.bool_)
