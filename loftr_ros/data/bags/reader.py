"""ROS 2 bags as image sequences: sqlite3 or mcap, raw or compressed images, no ROS needed."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rosbags.highlevel import AnyReader

from loftr_ros.codecs.cameras import camera_from_msg
from loftr_ros.codecs.depth import depth_from_msg
from loftr_ros.codecs.images import image_from_msg
from loftr_ros.codecs.stamps import stamp_from_msg
from loftr_ros.codecs.stereo import right_camera_from_msgs
from loftr_ros.data.bags.message_types import package_typestore
from loftr_ros.data.bags.pairing import Stamped, pair_by_stamp
from loftr_ros.data.bags.topics import BY_TYPE, BagTopics, TopicNames, choose_topics
from loftr_ros.data.bags.truth import read_truth
from loftr_ros.data.errors import DatasetError
from loftr_ros.data.sequences import GroundTruthFrame, RightCamera
from loftr_ros.frontend.frame import Frame, RightView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from loftr_ros.data.bags.message_types import Message
    from loftr_ros.data.poses import TimedPoses
    from loftr_ros.geometry import Camera

FILE_SUFFIXES = ('.mcap', '.db3')
MAX_GAP_NS = 200_000_000
SLOP_NS = 20_000_000
"""Greatest difference between the stamps of an image and of its depth or right image, ns."""
RECTIFIED_NAME = re.compile(r'/image_rect[^/]*(/compressed)?$')


@dataclass(frozen=True, eq=False)
class BagSequence:
    """Images of one topic of a bag, with calibration and true poses where the bag has them.

    Attributes:
        name: Name of the bag.
        path: Folder or file of the bag.
        topics: Which topics were chosen.
        count: Number of images.
        camera: Calibration of the images; None if unknown.
        truth: Poses of the camera in the world; None if unknown.
        right: The right camera, in the mode stereo.
        unknown_types: Types of other topics that cannot be read.

    """

    name: str
    path: Path
    topics: BagTopics
    count: int
    camera: Camera | None
    truth: TimedPoses | None
    right: RightCamera | None = None
    unknown_types: tuple[str, ...] = ()
    layout: str = 'bag'

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.count

    def __iter__(self) -> Iterator[GroundTruthFrame]:
        """Read one frame after the other.

        Raises:
            DatasetError: If the bag is damaged or an image cannot be decoded.

        """
        with _opened(self.path) as reader:
            topics = [self.topics.image, *filter(None, [self.topics.partner])]
            arrivals = (
                (topic == self.topics.image, Stamped(_stamp_of(message, time_ns), message))
                for topic, time_ns, message in _messages_of_all(reader, topics)
            )
            if self.topics.partner is None:
                yield from (self._frame(image, None) for _, image in arrivals)
                return
            for image, partner in pair_by_stamp(arrivals, SLOP_NS):
                yield self._frame(image, partner)

    def _frame(self, image: Stamped, partner: Message | None) -> GroundTruthFrame:
        pixels = self._decoded(image_from_msg, image.message, self.topics.image)
        depth, right = None, None
        if partner is not None and self.topics.depth:
            depth = self._decoded(depth_from_msg, partner, self.topics.depth)
        elif partner is not None and self.topics.right_image and self.right:
            view = self._decoded(image_from_msg, partner, self.topics.right_image)
            right = RightView(view, self.right.camera, self.right.left_T_right)
        frame_id = image.message.header.frame_id
        frame = Frame(image.stamp_ns, pixels, frame_id, self.camera, depth, right)
        try:
            frame.check()
        except ValueError as error:
            raise DatasetError(
                self.path, f'on {self.topics.image} {error}', 'Choose topics that fit.'
            ) from error
        pose = None if self.truth is None else self.truth.at(image.stamp_ns, MAX_GAP_NS)
        return GroundTruthFrame(frame, pose, depth)

    def _decoded(
        self, decode: Callable[[Message], NDArray[Any]], message: Message, topic: str
    ) -> NDArray[Any]:
        try:
            return decode(message)
        except ValueError as error:
            stamp = stamp_from_msg(message.header.stamp)
            raise DatasetError(
                self.path,
                f'on {topic} the image of {stamp} ns cannot be read: {error}',
                'Choose another image topic or remove the message.',
            ) from error


def is_bag(path: Path) -> bool:
    """Whether a path looks like a ROS 2 bag: its folder, or one of its files."""
    if path.is_file():
        return path.suffix in FILE_SUFFIXES
    return path.is_dir() and bag_file(path) is not None


def open_bag(
    path: Path, names: TopicNames = BY_TYPE, mode: str = 'mono', *, rectified: bool = False
) -> BagSequence:
    """Open a ROS 2 bag; topics are found by their types unless they are given.

    True poses are only taken by themselves from topics whose name says so (ground truth, vicon,
    mocap, ...), as an odometry is no truth.

    Args:
        path: Folder of the bag, or a single .mcap or .db3 file.
        names: Topics that are given.
        mode: 'mono', 'stereo' (right images, calibration of both cameras) or 'rgbd' (depth).
        rectified: The images are rectified, whatever their topic is called.

    Raises:
        DatasetError: If the bag is unreadable or empty or lacks a topic.

    """
    with _opened(path) as reader:
        topics = choose_topics(reader, path, names, mode)
        first = next(_messages(reader, topics.image))[1]
        truth, note = None, ''
        if topics.ground_truth:
            frame_id, child = first.header.frame_id, names.ground_truth_frame
            truth, note = read_truth(reader, topics.ground_truth, frame_id, child, _messages)
        rectified = rectified or RECTIFIED_NAME.search(topics.image) is not None
        camera = _read_camera(reader, path, topics.image, topics.camera_info, first, rectified)
        right = _read_right(reader, path, topics, rectified)
        if truth is None and topics.ground_truth:
            others = (*topics.other_poses, topics.ground_truth)
            topics = replace(topics, ground_truth=None, other_poses=others, note=note)
        count = sum(c.msgcount for c in reader.connections if c.topic == topics.image)
        known = reader.typestore.fielddefs
        unknown = sorted({c.msgtype for c in reader.connections if c.msgtype not in known})
    return BagSequence(path.stem, path, topics, count, camera, truth, right, tuple(unknown))


def topic_types(path: Path) -> dict[str, str]:
    """Return the message type of each topic of a bag.

    Raises:
        DatasetError: If the bag is unreadable.

    """
    with _opened(path) as reader:
        return {connection.topic: connection.msgtype for connection in reader.connections}


def bag_file(path: Path) -> Path | None:
    """Return what `rosbags` opens: the folder with its metadata, or else its only file."""
    if path.is_file() or (path / 'metadata.yaml').is_file():
        return path
    files = [file for suffix in FILE_SUFFIXES for file in sorted(path.glob(f'*{suffix}'))]
    return files[0] if len(files) == 1 else None


@contextmanager
def _opened(path: Path) -> Iterator[AnyReader]:
    """Open a bag; whatever goes wrong with its contents becomes a `DatasetError`."""
    bag = bag_file(path)
    if bag is None:
        raise DatasetError(path, 'there is no bag', 'A bag has metadata.yaml, *.mcap or *.db3.')
    try:
        with AnyReader([bag], default_typestore=package_typestore()) as reader:
            yield reader
    except DatasetError:
        raise
    except Exception as error:  # damaged files raise what the parser in question happens to raise
        raise DatasetError(
            path,
            f'the bag cannot be read ({type(error).__name__}: {error})',
            'It may be truncated: try `ros2 bag reindex`, or `mcap recover` for .mcap files.',
        ) from error


def _messages(reader: AnyReader, topic: str) -> Iterator[tuple[int, Message]]:
    for _, time_ns, message in _messages_of_all(reader, [topic]):
        yield time_ns, message


def _messages_of_all(reader: AnyReader, topics: list[str]) -> Iterator[tuple[str, int, Message]]:
    connections = [c for c in reader.connections if c.topic in topics]
    for connection, time_ns, data in reader.messages(connections=connections):
        yield connection.topic, time_ns, reader.deserialize(data, connection.msgtype)


def _stamp_of(message: Message, time_ns: int) -> int:
    """Return the stamp of a message, or where it has none the time of its arrival, ns."""
    return stamp_from_msg(message.header.stamp) or time_ns


def _read_camera(
    reader: AnyReader,
    path: Path,
    image_topic: str,
    info_topic: str | None,
    image: Message,
    rectified: bool,
) -> Camera | None:
    if info_topic is None:
        return None
    try:
        info = next(_messages(reader, info_topic))[1]
        size = (image.height, image.width) if hasattr(image, 'height') else None
        return camera_from_msg(info, size, rectified=rectified)
    except ValueError as error:
        raise DatasetError(
            path,
            f'the calibration on {info_topic} of {image_topic} is unusable ({error})',
            'Choose another topic of CameraInfo.',
        ) from error


def _read_right(
    reader: AnyReader, path: Path, topics: BagTopics, rectified: bool
) -> RightCamera | None:
    """Read where the right camera stands: from p and r of both calibrations."""
    if topics.right_image is None or topics.right_camera_info is None:
        return None
    image = next(_messages(reader, topics.right_image))[1]
    names = topics.right_image, topics.right_camera_info
    camera = _read_camera(reader, path, *names, image, rectified)
    infos = [
        next(_messages(reader, topic or ''))[1]
        for topic in (topics.camera_info, topics.right_camera_info)
    ]
    left_T_right: NDArray[np.float64] | None
    try:
        left_T_right = right_camera_from_msgs(infos[0], infos[1], rectified=rectified)
    except ValueError as error:
        remedy = 'Choose other topics, or the mode mono.'
        raise DatasetError(path, str(error), remedy) from error
    if camera is None or left_T_right is None:
        problem = f'{topics.right_camera_info} holds no baseline (p[3] is zero)'
        raise DatasetError(path, problem, 'Calibrate the stereo pair, or use the mode mono.')
    return RightCamera(camera, left_T_right)
