"""Which topics of a bag are used: found by type and name unless they are given."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from loftr_ros.codecs.depth import holds_depth
from loftr_ros.codecs.images import is_known_kind
from loftr_ros.data.bags.messages import (
    CAMERA_TYPE,
    IMAGE_TYPES,
    POSE_TYPES,
    TRANSFORM_TYPE,
)
from loftr_ros.data.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from loftr_ros.data.bags.storage import BagReader

TRUTH_NAME = re.compile(
    r'(ground_?truth|(^|[/_])gt([/_]|$)|truth|vicon|mocap|optitrack|leica)', re.IGNORECASE
)
NO_PICTURE_NAME = re.compile(r'(depth|disparity|range|mask|label|matches)', re.IGNORECASE)
DEPTH_NAME = re.compile(r'depth', re.IGNORECASE)
CAMERA_NAME = re.compile(
    r'image(_(raw|rect|mono|color|colour|rect_color|rect_raw))?', re.IGNORECASE
)
"""What drivers call their pictures, unlike those that somebody draws."""
REGISTERED_NAME = re.compile(r'(registered|aligned)', re.IGNORECASE)
FIRST = 3
TRANSPORT_NAMES = ('compressed', 'compressedDepth', 'theora', 'zstd', 'ffmpeg', 'draco')
RIGHT_NAMES = (
    ('left', 'right'),
    ('Left', 'Right'),
    ('cam0', 'cam1'),
    ('cam_0', 'cam_1'),
    ('camera0', 'camera1'),
    ('camera_0', 'camera_1'),
    ('image_0', 'image_1'),
    ('infra1', 'infra2'),
)


@dataclass(frozen=True)
class TopicNames:
    """Topics that the user chose; None leaves the choice to types and names.

    Attributes:
        image: Images.
        camera_info: Their calibration.
        ground_truth: Odometry, PoseStamped, TransformStamped, or TFMessage.
        depth: Depth images, in the mode rgbd.
        right_image: Images of the right camera, in the mode stereo.
        right_camera_info: Their calibration.
        ground_truth_frame: Child frame of the true poses, of several in one TFMessage.
        imu: Samples of the gyroscope.

    """

    image: str | None = None
    camera_info: str | None = None
    ground_truth: str | None = None
    depth: str | None = None
    right_image: str | None = None
    right_camera_info: str | None = None
    ground_truth_frame: str | None = None
    imu: str | None = None


BY_TYPE = TopicNames()


@dataclass(frozen=True, kw_only=True)
class BagTopics:
    """Topics of a bag that were chosen, and what else there was.

    Attributes:
        image: Topic of the images.
        camera_info: Topic of their calibration, or None.
        ground_truth: Topic of the true poses, or None.
        other_images: Further topics of images.
        other_poses: Further topics of poses, which may or may not be true.
        note: Why something is left out; empty if nothing is.
        depth: Topic of the depth images, or None.
        right_image: Topic of the right camera's images, or None.
        right_camera_info: Topic of their calibration, or None.

    """

    image: str
    camera_info: str | None
    ground_truth: str | None
    other_images: tuple[str, ...] = ()
    other_poses: tuple[str, ...] = ()
    note: str = ''
    depth: str | None = None
    right_image: str | None = None
    right_camera_info: str | None = None

    @property
    def partner(self) -> str | None:
        """Topic of the images that belong to the images, if any."""
        return self.depth or self.right_image

    def used(self) -> dict[str, str]:
        """Return the chosen topics by their use."""
        names = ('image', 'camera_info', 'depth', 'right_image', 'right_camera_info')
        chosen = {name: getattr(self, name) for name in (*names, 'ground_truth')}
        return {name: topic for name, topic in chosen.items() if topic}

    def __str__(self) -> str:
        """Say in one paragraph what was chosen and what else could be."""
        lines = [
            f'images {self.image}',
            f'calibration {self.camera_info or "none"}',
            *([f'depth {self.depth}'] if self.depth else []),
            *([f'right images {self.right_image}'] if self.right_image else []),
            *([f'right calibration {self.right_camera_info}'] if self.right_camera_info else []),
            f'ground truth {self.ground_truth or "none"}',
        ]
        if self.other_images:
            lines.append(f'other images: {", ".join(self.other_images)}')
        if self.other_poses:
            lines.append(f'other poses: {", ".join(self.other_poses)}')
        return '; '.join(lines) + (f' ({self.note})' if self.note else '')


class ImageTopic(NamedTuple):
    """A topic of images, as its first message shows it.

    Attributes:
        name: Its name.
        messages: Number of messages.
        known: Whether its messages are of a kind that can be decoded.
        depth: Whether their encoding is that of depth.
        size: (height, width), px; None where only decoding would show it.

    """

    name: str
    messages: int
    known: bool
    depth: bool
    size: tuple[int, int] | None

    @property
    def last(self) -> str:
        """The last part of the name, without that of a transport."""
        return _base(self.name).rpartition('/')[2]


def topics_of_types(reader: BagReader, types: Iterable[str]) -> list[str]:
    """List the topics of some types that have messages."""
    wanted = tuple(types)
    return sorted({c.topic for c in reader.connections if c.msgtype in wanted and c.msgcount})


def choose_topics(
    reader: BagReader, path: Path, names: TopicNames, mode: str, *, calibrated: bool = False
) -> BagTopics:
    """Choose the topics for a mode.

    Args:
        reader: The open bag.
        path: Names it in errors.
        names: Topics that are given.
        mode: As in `open_bag`.
        calibrated: Whether calibrations come from elsewhere, so that none need to be in the bag.

    Raises:
        DatasetError: If a topic that was given or that the mode needs is not there.

    """
    images, infos = topics_of_types(reader, IMAGE_TYPES), topics_of_types(reader, (CAMERA_TYPE,))
    poses = topics_of_types(reader, POSE_TYPES)
    tf = [t for t in topics_of_types(reader, (TRANSFORM_TYPE,)) if not t.endswith('static')]
    seen = [_look_at(reader, name) for name in images]
    image = _given(path, names.image, images, 'images') or _best_image(path, seen, infos, reader)
    info = _given(path, names.camera_info, infos, 'calibrations') or _info_of(image, infos)
    truths = [topic for topic in poses if TRUTH_NAME.search(topic)]
    truth = _given(path, names.ground_truth, [*poses, *tf], 'poses') or next(iter(truths), None)
    depth = _depth(path, names, seen, image) if mode == 'rgbd' else None
    right = _right(path, names, image, images) if mode == 'stereo' else None
    right_info = None
    if right is not None:
        given = _given(path, names.right_camera_info, infos, 'calibrations')
        right_info = given or _info_beside(right, infos)
        if not calibrated and (info is None or right_info is None):
            problem = f'the calibration of {image if info is None else right} is missing'
            remedy = 'Stereo needs that of both cameras; --calibration takes it from a file.'
            raise DatasetError(path, problem, remedy)
    return BagTopics(
        image=image,
        camera_info=info,
        ground_truth=truth,
        other_images=tuple(topic for topic in images if topic not in {image, depth, right}),
        other_poses=tuple(topic for topic in poses if topic != truth),
        depth=depth,
        right_image=right,
        right_camera_info=right_info,
    )


def _given(path: Path, topic: str | None, known: list[str], kind: str) -> str | None:
    if topic is not None and topic not in known:
        raise DatasetError(
            path,
            f'there are no {kind} on {topic}',
            f'Topics with {kind}: {", ".join(known) or "none"}.',
        )
    return topic


def _look_at(reader: BagReader, name: str) -> ImageTopic:
    """Look at the first messages, of which one or the other may be broken."""
    count = sum(c.msgcount for c in reader.connections if c.topic == name)
    messages = [message for _, message in itertools.islice(reader.messages(name), FIRST)]
    known = next((message for message in messages if is_known_kind(message)), None)
    if known is None:
        return ImageTopic(name, count, known=False, depth=False, size=None)
    size = (known.height, known.width) if hasattr(known, 'height') else None
    return ImageTopic(name, count, known=True, depth=holds_depth(known), size=size)


def _best_image(path: Path, images: list[ImageTopic], infos: list[str], reader: BagReader) -> str:
    """Choose the pictures of a camera; the number of messages counts last."""
    if not images:
        kinds = sorted({f'{c.topic} ({c.msgtype})' for c in reader.connections})
        raise DatasetError(
            path,
            ('the bag has no images' if reader.message_count else 'the bag is empty')
            + (f' ({"; ".join(reader.notes)})' if reader.notes else ''),
            f'Topics: {", ".join(kinds) or "none"}; needed: {" or ".join(IMAGE_TYPES)}.',
        )
    names = {topic.name for topic in images}

    def rank(topic: ImageTopic) -> tuple[Any, ...]:
        return (
            topic.depth or NO_PICTURE_NAME.search(topic.last) is not None,
            not topic.known,
            _info_beside(topic.name, infos) is None,
            _is_right(topic.name, names),
            NO_PICTURE_NAME.search(topic.name) is not None,
            CAMERA_NAME.fullmatch(topic.last) is None,
            -topic.messages,
            topic.name,
        )

    return min(images, key=rank).name


def _depth(path: Path, names: TopicNames, images: list[ImageTopic], image: str) -> str:
    """Choose the depth: its encoding or the last part of its name says so."""
    size = next(topic.size for topic in images if topic.name == image)
    found = [
        topic
        for topic in images
        if topic.name != image and (topic.depth or DEPTH_NAME.search(topic.last))
    ]

    def rank(topic: ImageTopic) -> tuple[Any, ...]:
        return (
            not topic.depth,
            not topic.known,
            None not in (size, topic.size) and size != topic.size,
            REGISTERED_NAME.search(topic.name) is None,
            DEPTH_NAME.search(topic.name) is None,
            topic.name,
        )

    best = min(found, key=rank, default=None)
    known = [topic.name for topic in images]
    chosen = _given(path, names.depth, known, 'images') or (best.name if best else None)
    if chosen is None:
        others = f'Topics with images: {", ".join(known)}; choose one, or another mode.'
        raise DatasetError(path, 'no topic is named or encoded as depth', others)
    return chosen


def _right(path: Path, names: TopicNames, left: str, images: list[str]) -> str:
    found = [topic for topic in _swapped(left) if topic in images]
    chosen = _given(path, names.right_image, images, 'images') or next(iter(found), None)
    if chosen is None:
        others = f'Topics with images: {", ".join(images)}; choose one, or another mode.'
        raise DatasetError(path, f'no topic is named as the right one of {left}', others)
    if chosen == left:
        raise DatasetError(path, f'{left} is the left and the right image', 'Choose two topics.')
    return chosen


def _swapped(left: str) -> list[str]:
    return [left.replace(one, other) for one, other in RIGHT_NAMES if one in left]


def _is_right(topic: str, images: set[str]) -> bool:
    """Whether a topic is named as the right one of another."""
    return any(topic.replace(right, left) in images - {topic} for left, right in RIGHT_NAMES)


def _info_of(image: str, infos: list[str]) -> str | None:
    """Find the calibration beside an image topic; a bag's only one serves as well."""
    return _info_beside(image, infos) or (infos[0] if len(infos) == 1 else None)


def _info_beside(image: str, infos: list[str]) -> str | None:
    beside = f'{_base(image).rpartition("/")[0]}/camera_info'
    return beside if beside in infos else None


def _base(topic: str) -> str:
    """Return the name of an image topic without that of its transport."""
    base, _, transport = topic.rpartition('/')
    return base if transport in TRANSPORT_NAMES else topic
