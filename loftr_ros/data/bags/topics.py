"""Which topics of a bag are used: found by type and name unless they are given."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

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

    from rosbags.highlevel import AnyReader

TRUTH_NAME = re.compile(
    r'(ground_?truth|(^|[/_])gt([/_]|$)|truth|vicon|mocap|optitrack|leica)', re.IGNORECASE
)
DEPTH_NAME = re.compile(r'(depth|disparity|range|mask|label|matches)', re.IGNORECASE)
# Pictures that drivers and this package draw are no depth: a name says depth, and nothing else.
METRIC_DEPTH_NAME = re.compile(r'depth', re.IGNORECASE)
RIGHT_NAMES = (('left', 'right'), ('cam0', 'cam1'), ('image_0', 'image_1'), ('infra1', 'infra2'))


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

    """

    image: str | None = None
    camera_info: str | None = None
    ground_truth: str | None = None
    depth: str | None = None
    right_image: str | None = None
    right_camera_info: str | None = None
    ground_truth_frame: str | None = None


BY_TYPE = TopicNames()


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


def topics_of_types(reader: AnyReader, types: Iterable[str]) -> list[str]:
    """List the topics of some types that have messages."""
    wanted = tuple(types)
    return sorted({c.topic for c in reader.connections if c.msgtype in wanted and c.msgcount})


def choose_topics(reader: AnyReader, path: Path, names: TopicNames, mode: str) -> BagTopics:
    """Choose the topics for a mode.

    Raises:
        DatasetError: If a topic that was given or that the mode needs is not there.

    """
    images, infos = topics_of_types(reader, IMAGE_TYPES), topics_of_types(reader, (CAMERA_TYPE,))
    poses = topics_of_types(reader, POSE_TYPES)
    tf = [t for t in topics_of_types(reader, (TRANSFORM_TYPE,)) if not t.endswith('static')]
    image = _given(path, names.image, images, 'images') or _best_image(path, images, infos, reader)
    info = _given(path, names.camera_info, infos, 'calibrations') or _info_of(image, infos)
    truths = [topic for topic in poses if TRUTH_NAME.search(topic)]
    truth = _given(path, names.ground_truth, [*poses, *tf], 'poses') or next(iter(truths), None)
    depth = _depth(path, names, images) if mode == 'rgbd' else None
    right = _right(path, names, image, images) if mode == 'stereo' else None
    right_info = None
    if right is not None:
        given = _given(path, names.right_camera_info, infos, 'calibrations')
        right_info = given or _info_beside(right, infos)
        if info is None or right_info is None:
            problem = f'the calibration of {image if info is None else right} is missing'
            raise DatasetError(path, problem, 'Stereo needs that of both cameras.')
    return BagTopics(
        image,
        info,
        truth,
        tuple(topic for topic in images if topic not in {image, depth, right}),
        tuple(topic for topic in poses if topic != truth),
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


def _depth(path: Path, names: TopicNames, images: list[str]) -> str:
    found = [topic for topic in images if METRIC_DEPTH_NAME.search(topic)]
    chosen = _given(path, names.depth, images, 'images') or next(iter(found), None)
    if chosen is None:
        others = f'Topics with images: {", ".join(images)}; choose one, or another mode.'
        raise DatasetError(path, 'no topic is named as depth', others)
    return chosen


def _right(path: Path, names: TopicNames, left: str, images: list[str]) -> str:
    swapped = (left.replace(one, other) for one, other in RIGHT_NAMES if one in left)
    found = [topic for topic in swapped if topic in images]
    chosen = _given(path, names.right_image, images, 'images') or next(iter(found), None)
    if chosen is None:
        others = f'Topics with images: {", ".join(images)}; choose one, or another mode.'
        raise DatasetError(path, f'no topic is named as the right one of {left}', others)
    return chosen


def _info_of(image: str, infos: list[str]) -> str | None:
    """Find the calibration beside an image topic; a bag's only one serves as well."""
    return _info_beside(image, infos) or (infos[0] if len(infos) == 1 else None)


def _info_beside(image: str, infos: list[str]) -> str | None:
    namespace = image.removesuffix('/compressed').rpartition('/')[0]
    beside = f'{namespace}/camera_info'
    return beside if beside in infos else None
