"""What a live run recorded, as the records that a replay of the same bag makes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from rosbags.highlevel import AnyReader

from loftr_ros.codecs.stamps import stamp_from_msg
from loftr_ros.data.bags.message_types import package_typestore
from loftr_ros.data.bags.messages import pose_of
from loftr_ros.evaluation.live.plan import CORRESPONDENCES, ODOMETRY, RELATIVE_POSE
from loftr_ros.evaluation.records.frame_records import KnownFrame, Recorder, matrix_of
from loftr_ros.frontend import Frame, Odometry, TrackingResult
from loftr_ros.matching.matches import Matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from loftr_ros.codecs.correspondences import Correspondences, View
    from loftr_ros.data.bags.message_types import Message
    from loftr_ros.evaluation.records.results import FrameRecord, Values


@dataclass(frozen=True, eq=False)
class LiveResult:
    """What the node published about one frame.

    Attributes:
        result: The matches and the pose; its images have no pixels.
        arrival_ns: When the recorder had the pose, ns since 1970.
        odom_T_base: Pose that the node published as odometry, x y z and quaternion; None without.

    """

    result: TrackingResult
    arrival_ns: int
    odom_T_base: Values | None = None


@dataclass(frozen=True, eq=False)
class LiveRecords:
    """The records of one time that a bag was played.

    Attributes:
        records: Of the frames that the node processed, by their place in the bag.
        track_lengths: Frames that saw each track.
        latencies: Place of the frame -> time from publishing it to receiving its pose, s.

    """

    records: tuple[FrameRecord, ...]
    track_lengths: tuple[int, ...]
    latencies: Mapping[int, float]


def read_results(bag: Path, begin_ns: int, end_ns: int) -> list[LiveResult]:
    """Read what the recorder received between two times (ns since 1970), in that order."""
    received: dict[str, dict[int, tuple[int, Message]]] = {
        topic: {} for topic in (CORRESPONDENCES, RELATIVE_POSE, ODOMETRY)
    }
    with AnyReader([bag], default_typestore=package_typestore()) as reader:
        connections = [c for c in reader.connections if c.topic in received]
        messages = reader.messages(connections) if connections else ()
        for connection, time_ns, data in messages:
            if not begin_ns <= time_ns < end_ns:
                continue
            message: Any = reader.deserialize(data, connection.msgtype)
            if not _is_loop(message):
                received[connection.topic][stamp_from_msg(message.header.stamp)] = time_ns, message
    poses = {stamp: pose_of(message) for stamp, (_, message) in received[ODOMETRY].items()}
    return [
        LiveResult(
            _tracking_result(received[CORRESPONDENCES][stamp][1], message),
            time_ns,
            tuple(poses[stamp].tolist()) if stamp in poses else None,
        )
        for stamp, (time_ns, message) in received[RELATIVE_POSE].items()
        if stamp in received[CORRESPONDENCES]
    ]


def _is_loop(message: Message) -> bool:
    """Return whether it is a RelativePose of a loop, which is no result of a frame.

    The constant is that of the message's own definition: its value is another one since 0.2.
    """
    return hasattr(message, 'KIND_LOOP') and bool(message.kind == message.KIND_LOOP)


def live_records(
    results: Iterable[LiveResult],
    replayed: Sequence[FrameRecord],
    sent: Mapping[int, int],
    *,
    published: bool,
) -> LiveRecords:
    """Make the records of a live run, whose places and true poses are those of the replay.

    Args:
        results: What the node published.
        replayed: All frames of the bag, as the replay records them.
        sent: Time of each image -> when it was published, ns since 1970.
        published: Whether the trajectory is the node's odometry; else its motions are chained as
            the replay chains them, since one camera without scale has no odometry.

    """
    frames = {
        record.stamp_ns: KnownFrame(record.index, _matrix(record.world_T_camera))
        for record in replayed
        if record.status != 'refused'
    }
    recorder, odometry = Recorder(), Odometry()
    records: dict[int, FrameRecord] = {}
    latencies: dict[int, float] = {}
    for each in results:
        stamp, reference_ns = each.result.query.stamp_ns, each.result.reference.stamp_ns
        if stamp not in frames or reference_ns not in frames:
            continue
        frame, reference = frames[stamp], frames[reference_ns]
        if reference.index not in records:
            first = recorder.first(reference.index, reference_ns, reference.world_T_camera)
            records[reference.index] = first
        estimate = odometry.update(each.result)
        record = recorder.matched(frame.index, each.result, frame.world_T_camera, estimate)
        if published:
            record = replace(record, odom_T_base=each.odom_T_base)
        records[frame.index] = record
        if stamp in sent:
            latencies[frame.index] = (each.arrival_ns - sent[stamp]) / 1e9
    ordered = tuple(records[index] for index in sorted(records))
    return LiveRecords(ordered, tuple(recorder.track_lengths.values()), latencies)


def _tracking_result(correspondences: Message, pose: Message) -> TrackingResult:
    from loftr_ros.codecs.conversions import correspondences_from_msg, relative_pose_from_msg

    found: Correspondences = correspondences_from_msg(correspondences)
    matches = Matches(
        found.reference_points,
        found.query_points,
        found.confidence,
        found.sigma,
        np.full(len(found), -1),  # the message does not carry them
        (0, 0),
    )
    return TrackingResult(
        reference=_frame(found.reference),
        query=_frame(found.query),
        matches=matches,
        track_ids=found.track_ids,
        pose=relative_pose_from_msg(pose, found.inliers),
        new_keyframe=bool(found.new_keyframe),
        seconds={},
    )


def _frame(view: View) -> Frame:
    """Make a frame without pixels, which takes no memory."""
    pixels = np.broadcast_to(np.uint8(0), view.size)
    return Frame(view.stamp_ns, pixels, view.frame_id, view.camera)


def _matrix(values: Values | None) -> Any:  # noqa: ANN401 - a matrix or nothing
    return None if values is None else matrix_of(values)
