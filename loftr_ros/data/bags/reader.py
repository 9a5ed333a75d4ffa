"""Bags as image sequences: images, their calibrations and true poses, without ROS."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from loftr_ros.codecs.cameras import CameraInfoError, camera_from_msg, named_rectified
from loftr_ros.codecs.depth import depth_from_msg
from loftr_ros.codecs.images import ImageConversionError, image_from_msg
from loftr_ros.codecs.stamps import stamp_from_msg
from loftr_ros.codecs.stereo import find_right_camera, no_baseline
from loftr_ros.data.bags.messages import CAMERA_TYPE, find_transform
from loftr_ros.data.bags.pairing import Pair, Stamped, pair_by_stamp
from loftr_ros.data.bags.storage import opened
from loftr_ros.data.bags.topics import BY_TYPE, BagTopics, TopicNames, choose_topics
from loftr_ros.data.bags.truth import read_truth, static_transforms
from loftr_ros.data.errors import DatasetError
from loftr_ros.data.sequences import (
    GroundTruthFrame,
    InputOptions,
    RefusedFrame,
    RightCamera,
    good_frames,
)
from loftr_ros.frontend.frame import Frame, FrameError, RightView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from loftr_ros.data.bags.message_types import Message
    from loftr_ros.data.bags.storage import BagReader, Record
    from loftr_ros.data.poses import TimedPoses
    from loftr_ros.geometry import Camera

MAX_GAP_NS = 200_000_000
FIRST = 10
"""So many images may be broken before the first that states the size."""


@dataclass(frozen=True, eq=False, kw_only=True)
class BagSequence:
    """Images of one topic of a bag, with calibration and true poses where the bag has them.

    Attributes:
        name: Name of the bag.
        path: Folder or file of the bag.
        topics: Which topics were chosen.
        count: Number of images.
        camera: The first calibration of the images that can be used; None if unknown.
        truth: Poses of the camera in the world; None if unknown.
        options: How it is read.
        infos: The first calibration of each topic that can be used.
        right: The right camera, in the mode stereo.
        unknown_types: Types of other topics that cannot be read.
        notes: What is odd about the files.

    """

    name: str
    path: Path
    topics: BagTopics
    count: int
    camera: Camera | None
    truth: TimedPoses | None
    options: InputOptions
    infos: dict[str, Message] = field(default_factory=dict)
    right: RightCamera | None = None
    unknown_types: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    layout: str = 'bag'

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.count

    @property
    def truth_span_ns(self) -> tuple[int, int] | None:
        """Times of the first and the last true pose, ns; None where there are none."""
        return None if self.truth is None else self.truth.span_ns

    def __iter__(self) -> Iterator[GroundTruthFrame]:
        """Read one frame after the other.

        Raises:
            DatasetError: If the bag is damaged, or at the first image that cannot be used.

        """
        return good_frames(self.path, self.items())

    def items(self) -> Iterator[GroundTruthFrame | RefusedFrame]:
        """Read one frame after the other, also behind an image that cannot be used.

        Raises:
            DatasetError: If the bag is damaged.

        """
        with opened(self.path) as reader:
            arrivals = self._arrivals(reader)
            if self.topics.partner is None:
                yield from (self._frame(Pair(image, None, None)) for _, image in arrivals)
                return
            for pair in pair_by_stamp(arrivals, self.options.slop_ns):
                yield self._frame(pair)

    def _arrivals(self, reader: BagReader) -> Iterator[tuple[bool, Stamped]]:
        """Read images and partners, each with the calibration that holds when it comes."""
        used = self.topics
        info_of = {used.image: used.camera_info}
        if used.right_image:
            info_of[used.right_image] = used.right_camera_info
        infos, fixed = dict(self.infos), self._fixed()
        topics = [used.image, *filter(None, (used.partner, *info_of.values()))]
        for record in reader.records(topics):
            stamped = _stamped(reader, record)
            if record.msgtype == CAMERA_TYPE:
                # One that says nothing, as a driver's first, ends no calibration.
                if stamped.message is not None and _says_something(stamped.message):
                    infos[record.topic] = stamped.message
                continue
            info = fixed.get(record.topic) or infos.get(info_of.get(record.topic) or '')
            yield record.topic == used.image, stamped._replace(info=info)

    def _fixed(self) -> dict[str, Message]:
        """Return the calibrations of files by the topic of their images."""
        images = self.topics.image, self.topics.right_image or ''
        return dict(zip(images, self.options.calibrations.cameras, strict=False))

    def _frame(self, pair: Pair) -> GroundTruthFrame | RefusedFrame:
        try:
            return self._read(pair)
        except ValueError as error:  # of an image, its depth, or what does not fit together
            return RefusedFrame(pair.image.stamp_ns, str(error))

    def _read(self, pair: Pair) -> GroundTruthFrame:
        image, partner = pair.image, pair.partner
        pixels = _decoded(image_from_msg, image, self.topics.image)
        camera = self._camera(image, pixels, self.topics.camera_info)
        depth, right = None, None
        if partner is not None and self.topics.depth:
            depth = _decoded(depth_from_msg, partner, self.topics.depth)
        elif partner is not None and self.topics.right_image and self.right:
            view = _decoded(image_from_msg, partner, self.topics.right_image)
            other = self._camera(partner, view, self.topics.right_camera_info)
            right = RightView(view, other or self.right.camera, self.right.left_T_right)
        frame_id = image.message.header.frame_id  # type: ignore[union-attr]
        frame = Frame(image.stamp_ns, pixels, frame_id, camera, depth, right)
        try:
            frame.check()
        except FrameError as error:
            raise ValueError(f'{self.topics.image}: {error}') from error
        pose = None if self.truth is None else self.truth.at(image.stamp_ns, MAX_GAP_NS)
        return GroundTruthFrame(frame, pose, depth, pair.apart_ns)

    def _camera(self, image: Stamped, pixels: NDArray[Any], topic: str | None) -> Camera | None:
        """Return the calibration of an image.

        Raises:
            ValueError: If it is not that of the image.

        """
        if image.info is None:
            return None
        try:
            size = pixels.shape[0], pixels.shape[1]
            return camera_from_msg(image.info, size, rectified=self.options.rectified)
        except CameraInfoError as error:
            raise ValueError(f'{topic}: {error}') from error


def open_bag(
    path: Path, names: TopicNames = BY_TYPE, mode: str = 'mono', options: InputOptions | None = None
) -> BagSequence:
    """Open a bag; topics are found by their types unless they are given.

    True poses are only taken by themselves from topics whose name says so (ground truth, vicon,
    mocap, ...), as an odometry is no truth.

    Args:
        path: Folder of the bag, or one of its files.
        names: Topics that are given.
        mode: 'mono', 'stereo' (right images, calibration of both cameras) or 'rgbd' (depth).
        options: How it is read.

    Raises:
        DatasetError: If the bag is unreadable or empty or lacks a topic.

    """
    with opened(path) as reader:
        options = options or InputOptions()
        files = options.calibrations.cameras
        calibrated = len(files) > (mode == 'stereo')
        topics = choose_topics(reader, path, names, mode, calibrated=calibrated)
        rectified = options.rectified or named_rectified(topics.image)
        options = replace(options, rectified=rectified)
        first, size = _first_image(reader, topics.image)
        truth, note = None, ''
        if topics.ground_truth:
            frame_id = '' if first is None else first.header.frame_id
            truth, note = read_truth(
                reader, topics.ground_truth, frame_id, names.ground_truth_frame
            )
        infos: dict[str, Message] = {}
        camera = None
        if files:
            camera = _of_file(path, files[0], size, rectified)
        elif topics.camera_info:
            camera, info = _first_camera(reader, path, topics.camera_info, size, rectified)
            infos |= {} if info is None else {topics.camera_info: info}
        right = _read_right(reader, path, topics, options, infos)
        if truth is None and topics.ground_truth:
            others = (*topics.other_poses, topics.ground_truth)
            topics = replace(topics, ground_truth=None, other_poses=others, note=note)
        count = sum(c.msgcount for c in reader.connections if c.topic == topics.image)
        unknown = {c.msgtype for c in reader.connections if not reader.knows(c.msgtype)}
        return BagSequence(
            name=path.stem,
            path=path,
            topics=topics,
            count=count,
            camera=camera,
            truth=truth,
            options=options,
            infos=infos,
            right=right,
            unknown_types=tuple(sorted(unknown)),
            notes=reader.notes,
        )


def topic_types(path: Path) -> dict[str, str]:
    """Return the message type of each topic of a bag.

    Raises:
        DatasetError: If the bag is unreadable.

    """
    with opened(path) as reader:
        return {connection.topic: connection.msgtype for connection in reader.connections}


def _stamped(reader: BagReader, record: Record) -> Stamped:
    """Read a message; its stamp is that of its arrival where it has none."""
    try:
        message = reader.deserialize(record.data, record.msgtype)
    except ValueError as error:
        return Stamped(record.time_ns, None, problem=str(error))
    return Stamped(stamp_from_msg(message.header.stamp) or record.time_ns, message)


def _decoded(decode: Callable[[Message], NDArray[Any]], image: Stamped, topic: str) -> NDArray[Any]:
    """Return the pixels of a message.

    Raises:
        ValueError: If it cannot be read; the text names the topic.

    """
    if image.message is None:
        raise ValueError(f'{topic}: {image.problem}')
    try:
        return decode(image.message)
    except ImageConversionError as error:
        raise ValueError(f'{topic}: {error}') from error


def _says_something(info: Message) -> bool:
    return bool(info.k.any() or info.p.any())


def _first_image(reader: BagReader, topic: str) -> tuple[Message | None, tuple[int, int] | None]:
    """Return the first image that can be read, and its (height, width); else the first of all."""
    first = None
    for _, message in itertools.islice(reader.messages(topic), FIRST):
        first = first if first is not None else message
        try:
            height, width = image_from_msg(message).shape[:2]
        except ImageConversionError:
            continue
        return message, (height, width)
    return first, None


def _first_camera(
    reader: BagReader, path: Path, topic: str, size: tuple[int, int] | None, rectified: bool
) -> tuple[Camera | None, Message | None]:
    """Return the first calibration that can be used, and its message; None where all are empty.

    Raises:
        DatasetError: If there are some, and none can be used.

    """
    refused: CameraInfoError | None = None
    for _, info in reader.messages(topic):
        # Whether the sizes agree is asked of each image: the first may be the odd one.
        known = bool(info.width or info.height)
        try:
            camera = camera_from_msg(info, None if known else size, rectified=rectified)
        except CameraInfoError as error:
            refused = refused or error
            continue
        if camera is not None:
            return camera, info
    if refused is not None:
        problem = f'no calibration on {topic} can be used ({refused})'
        raise DatasetError(path, problem, 'Choose another topic of CameraInfo.') from refused
    return None, None


def _of_file(
    path: Path, info: Message, size: tuple[int, int] | None, rectified: bool
) -> Camera | None:
    """Return the calibration of a file.

    Raises:
        DatasetError: If it is not that of the images.

    """
    try:
        return camera_from_msg(info, size, rectified=rectified)
    except CameraInfoError as error:
        problem = f'the calibration of the file is not that of the images ({error})'
        raise DatasetError(path, problem, 'Name another file.') from error


def _read_right(
    reader: BagReader,
    path: Path,
    topics: BagTopics,
    options: InputOptions,
    infos: dict[str, Message],
) -> RightCamera | None:
    """Find where the right camera stands, as the node does; adds its calibration to `infos`."""
    if topics.right_image is None:
        return None
    first, size = _first_image(reader, topics.right_image)
    topic, files = topics.right_camera_info or '', options.calibrations.cameras
    left_info = files[0] if files else infos.get(topics.camera_info or '')
    info: Message | None
    if len(files) > 1:
        camera, info = _of_file(path, files[1], size, options.rectified), files[1]
    else:
        camera, info = _first_camera(reader, path, topic, size, options.rectified)
    if camera is None or left_info is None:
        empty = topic if camera is None else topics.camera_info
        remedy = 'Stereo needs the calibration of both cameras.'
        raise DatasetError(path, f'all calibrations on {empty} are empty', remedy)
    infos[topic] = info
    left, _ = _first_image(reader, topics.image)
    frames = tuple('' if one is None else one.header.frame_id for one in (left, first))
    given = options.left_T_right
    if given is None or not given[:3, 3].any():
        given = options.calibrations.left_T_right
    try:
        left_T_right = find_right_camera(
            given,
            (left_info, info),
            lambda: find_transform(static_transforms(reader), *frames),
            rectified=options.rectified,
        )
    except CameraInfoError as error:
        remedy = 'Choose other topics, or the mode mono.'
        raise DatasetError(path, str(error), remedy) from error
    if left_T_right is None:
        problem = f'{topic or topics.right_image}: {no_baseline(*frames)}'
        raise DatasetError(path, problem, 'Or use the mode mono.')
    return RightCamera(camera, left_T_right)
