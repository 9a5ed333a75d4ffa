"""ROS 2 bags as image sequences: sqlite3 or mcap, raw or compressed images, no ROS needed."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rosbags.highlevel import AnyReader

from loftr_ros.evaluation.bag_messages import (
    CAMERA_TYPE,
    IMAGE_TYPES,
    POSE_TYPES,
    TRANSFORM_TYPE,
    find_transform,
    pose_of,
)
from loftr_ros.evaluation.errors import DatasetError
from loftr_ros.evaluation.message_types import package_typestore
from loftr_ros.evaluation.poses import TimedPoses
from loftr_ros.evaluation.sequences import GroundTruthFrame
from loftr_ros.frontend.frame import Frame
from loftr_ros.ros.cameras import camera_from_msg
from loftr_ros.ros.images import image_from_msg
from loftr_ros.ros.stamps import stamp_from_msg

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from loftr_ros.evaluation.message_types import Message
    from loftr_ros.geometry import Camera

FILE_SUFFIXES = ('.mcap', '.db3')
MAX_GAP_NS = 200_000_000
TRUTH_NAME = re.compile(
    r'(ground_?truth|(^|[/_])gt([/_]|$)|truth|vicon|mocap|optitrack|leica)', re.IGNORECASE
)
DEPTH_NAME = re.compile(r'(depth|disparity|range|mask|label|matches)', re.IGNORECASE)
RECTIFIED_NAME = re.compile(r'/image_rect[^/]*(/compressed)?$')


@dataclass(frozen=True)
class BagTopics:
    """Topics of a bag that were chosen, and what else there was.

    Attributes:
        image: Topic of the images.
        camera_info: Topic of their calibration, or None.
        ground_truth: Topic of the true poses, or None.
        other_images: Further topics of images.
        other_poses: Further topics of poses, which may or may not be true.
        note: Why something is left out; empty if nothing is.

    """

    image: str
    camera_info: str | None
    ground_truth: str | None
    other_images: tuple[str, ...] = ()
    other_poses: tuple[str, ...] = ()
    note: str = ''

    def __str__(self) -> str:
        """Say in one paragraph what was chosen and what else could be."""
        lines = [
            f'images {self.image}',
            f'calibration {self.camera_info or "none"}',
            f'ground truth {self.ground_truth or "none"}',
        ]
        if self.other_images:
            lines.append(f'other images: {", ".join(self.other_images)}')
        if self.other_poses:
            lines.append(f'other poses: {", ".join(self.other_poses)}')
        return '; '.join(lines) + (f' ({self.note})' if self.note else '')


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

    """

    name: str
    path: Path
    topics: BagTopics
    count: int
    camera: Camera | None
    truth: TimedPoses | None
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
            for time_ns, message in _messages(reader, self.topics.image):
                try:
                    image = image_from_msg(message)
                except ValueError as error:
                    raise DatasetError(
                        self.path,
                        f'on {self.topics.image} at {time_ns} ns {error}',
                        'Choose another image topic or remove the message.',
                    ) from error
                stamp = stamp_from_msg(message.header.stamp) or time_ns
                frame = Frame(stamp, image, message.header.frame_id, self.camera)
                self._check_size(frame)
                pose = None if self.truth is None else self.truth.at(stamp, MAX_GAP_NS)
                yield GroundTruthFrame(frame, pose)

    def _check_size(self, frame: Frame) -> None:
        try:
            frame.check()
        except ValueError as error:
            raise DatasetError(
                self.path, f'on {self.topics.image} {error}', 'Choose topics that fit.'
            ) from error


def is_bag(path: Path) -> bool:
    """Whether a path looks like a ROS 2 bag: its folder, or one of its files."""
    if path.is_file():
        return path.suffix in FILE_SUFFIXES
    return path.is_dir() and _bag_of(path) is not None


def open_bag(
    path: Path,
    image_topic: str | None = None,
    ground_truth_topic: str | None = None,
    camera_info_topic: str | None = None,
) -> BagSequence:
    """Open a ROS 2 bag; topics are found by their types unless they are given.

    True poses are only taken by themselves from topics whose name says so (ground truth, vicon,
    mocap, ...), as an odometry is no truth. A pose of another frame than the camera's is brought to
    the camera with /tf_static; a PoseStamped names no frame and counts as the camera's.

    Args:
        path: Folder of the bag, or a single .mcap or .db3 file.
        image_topic: Topic of Image or CompressedImage.
        ground_truth_topic: Topic of Odometry, PoseStamped or TransformStamped.
        camera_info_topic: Topic of CameraInfo.

    Raises:
        DatasetError: If the bag is unreadable or empty or lacks a topic.

    """
    with _opened(path) as reader:
        topics = _choose_topics(reader, path, image_topic, ground_truth_topic, camera_info_topic)
        first = next(_messages(reader, topics.image))[1]
        truth, note = _read_truth(reader, topics.ground_truth, first.header.frame_id)
        camera = _read_camera(reader, path, topics, first)
        if truth is None and topics.ground_truth:
            topics = BagTopics(
                topics.image,
                topics.camera_info,
                None,
                topics.other_images,
                (*topics.other_poses, topics.ground_truth),
                note,
            )
        count = sum(c.msgcount for c in reader.connections if c.topic == topics.image)
    return BagSequence(path.stem, path, topics, count, camera, truth)


def _bag_of(path: Path) -> Path | None:
    """Return what `rosbags` opens: the folder with its metadata, or else its only file."""
    if path.is_file() or (path / 'metadata.yaml').is_file():
        return path
    files = [file for suffix in FILE_SUFFIXES for file in sorted(path.glob(f'*{suffix}'))]
    return files[0] if len(files) == 1 else None


@contextmanager
def _opened(path: Path) -> Iterator[AnyReader]:
    """Open a bag; whatever goes wrong with its contents becomes a `DatasetError`."""
    bag = _bag_of(path)
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
    connections = [c for c in reader.connections if c.topic == topic]
    for connection, time_ns, data in reader.messages(connections=connections):
        yield time_ns, reader.deserialize(data, connection.msgtype)


def _topics_of(reader: AnyReader, types: tuple[str, ...]) -> list[str]:
    found = {c.topic for c in reader.connections if c.msgtype in types and c.msgcount}
    return sorted(found)


def _choose_topics(
    reader: AnyReader,
    path: Path,
    image: str | None,
    ground_truth: str | None,
    camera_info: str | None,
) -> BagTopics:
    images, infos = _topics_of(reader, IMAGE_TYPES), _topics_of(reader, (CAMERA_TYPE,))
    poses = _topics_of(reader, POSE_TYPES)
    image = _given(path, image, images, 'images') or _best_image(path, images, infos, reader)
    info = _given(path, camera_info, infos, 'calibrations') or _info_of(image, infos)
    truths = [topic for topic in poses if TRUTH_NAME.search(topic)]
    truth = _given(path, ground_truth, poses, 'poses') or next(iter(truths), None)
    return BagTopics(
        image,
        info,
        truth,
        tuple(topic for topic in images if topic != image),
        tuple(topic for topic in poses if topic != truth),
    )


def _given(path: Path, topic: str | None, known: list[str], kind: str) -> str | None:
    if topic is not None and topic not in known:
        raise DatasetError(
            path,
            f'there are no {kind} on {topic}',
            f'Topics with {kind}: {", ".join(known) or "none"}.',
        )
    return topic


def _best_image(path: Path, images: list[str], infos: list[str], reader: AnyReader) -> str:
    if not images:
        kinds = sorted({f'{c.topic} ({c.msgtype})' for c in reader.connections})
        raise DatasetError(
            path,
            'the bag has no images' if reader.message_count else 'the bag is empty',
            f'Topics: {", ".join(kinds) or "none"}; needed: {" or ".join(IMAGE_TYPES)}.',
        )
    counts = {c.topic: c.msgcount for c in reader.connections}
    return min(
        images,
        key=lambda topic: (
            DEPTH_NAME.search(topic) is not None,
            _info_of(topic, infos) is None,
            -counts[topic],
            topic,
        ),
    )


def _info_of(image: str, infos: list[str]) -> str | None:
    """Find the calibration beside an image topic; a bag's only one serves as well."""
    namespace = image.removesuffix('/compressed').rpartition('/')[0]
    beside = f'{namespace}/camera_info'
    if beside in infos:
        return beside
    return infos[0] if len(infos) == 1 else None


def _read_camera(reader: AnyReader, path: Path, topics: BagTopics, image: Message) -> Camera | None:
    if topics.camera_info is None:
        return None
    rectified = RECTIFIED_NAME.search(topics.image) is not None
    try:
        info = next(_messages(reader, topics.camera_info))[1]
        size = (image.height, image.width) if hasattr(image, 'height') else None
        return camera_from_msg(info, size, rectified=rectified)
    except ValueError as error:
        raise DatasetError(
            path,
            f'the calibration on {topics.camera_info} is unusable ({error})',
            'Choose another topic of CameraInfo.',
        ) from error


def _read_truth(
    reader: AnyReader, topic: str | None, camera_frame: str
) -> tuple[TimedPoses | None, str]:
    """Read true poses of the camera, or say why a topic cannot give them."""
    if topic is None:
        return None, ''
    messages = [message for _, message in _messages(reader, topic)]
    body = getattr(messages[0], 'child_frame_id', '') or camera_frame
    body_T_camera = _static_transform(reader, body, camera_frame)
    if body_T_camera is None:
        return None, f'{topic} is of {body}, which /tf_static does not join to {camera_frame}'
    samples = TimedPoses.from_samples(
        np.array([stamp_from_msg(message.header.stamp) for message in messages], np.int64),
        np.array([pose_of(message)[:3] for message in messages]),
        np.array([pose_of(message)[3:] for message in messages]),
    )
    return samples.moved(body_T_camera), ''


def _static_transform(reader: AnyReader, body: str, camera: str) -> NDArray[np.float64] | None:
    if body.lstrip('/') == camera.lstrip('/'):
        return np.eye(4)
    transforms = [
        transform
        for topic in _topics_of(reader, (TRANSFORM_TYPE,))
        if topic.endswith('tf_static')
        for _, message in _messages(reader, topic)
        for transform in message.transforms
    ]
    return find_transform(transforms, body, camera)
