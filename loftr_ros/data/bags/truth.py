"""True poses of the camera from the messages of a bag."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from loftr_ros.codecs.stamps import stamp_from_msg
from loftr_ros.data.bags.messages import TRANSFORM_TYPE, find_transform, pose_of
from loftr_ros.data.bags.topics import TRUTH_NAME, topics_of_types
from loftr_ros.data.poses import TimedPoses

if TYPE_CHECKING:
    from loftr_ros.data.bags.message_types import Message
    from loftr_ros.data.bags.storage import BagReader


def read_truth(
    reader: BagReader,
    topic: str,
    camera_frame: str,
    child_frame: str | None,
) -> tuple[TimedPoses | None, str]:
    """Read the true poses of the camera from a topic.

    A pose of another frame than the camera's is brought to the camera with /tf_static; a
    PoseStamped names no frame and counts as the camera's.

    Args:
        reader: The bag.
        topic: Of one of the types of poses, or of TFMessage.
        camera_frame: Optical frame of the images.
        child_frame: Which frame of a TFMessage has the true poses; None finds it.

    Returns:
        The poses, and why there are none ('' if there are).

    """
    messages = [message for _, message in reader.messages(topic)]
    if not messages:
        return None, f'no message on {topic} can be read'
    if hasattr(messages[0], 'transforms'):
        every = [transform for message in messages for transform in message.transforms]
        messages, note = _of_one_frame(every, topic, child_frame)
        if note:
            return None, note
    body = getattr(messages[0], 'child_frame_id', '') or camera_frame
    same = body.lstrip('/') == camera_frame.lstrip('/')
    body_T_camera = (
        np.eye(4) if same else find_transform(static_transforms(reader), body, camera_frame)
    )
    if body_T_camera is None:
        return None, f'{topic} is of {body}, which /tf_static does not join to {camera_frame}'
    values = np.array([pose_of(message) for message in messages])
    stamps = np.array([stamp_from_msg(message.header.stamp) for message in messages], np.int64)
    samples = TimedPoses.from_samples(stamps, values[:, :3], values[:, 3:])
    return samples.moved(body_T_camera), ''


def static_transforms(reader: BagReader) -> list[Message]:
    """Return the transforms of /tf_static."""
    return [
        transform
        for name in topics_of_types(reader, (TRANSFORM_TYPE,))
        if name.endswith('tf_static')
        for _, message in reader.messages(name)
        for transform in message.transforms
    ]


def _of_one_frame(
    transforms: list[Message], topic: str, child_frame: str | None
) -> tuple[list[Message], str]:
    """Return the transforms of the child frame that is named, named like truth, or alone."""
    children = sorted({transform.child_frame_id for transform in transforms})
    named = [child for child in children if TRUTH_NAME.search(child)]
    if child_frame is None and len(children) > 1 and len(named) != 1:
        return [], f'{topic} moves {", ".join(children)}: name the one with the true poses'
    wanted = child_frame or (named or [*children, ''])[0]
    chosen = [one for one in transforms if one.child_frame_id.lstrip('/') == wanted.lstrip('/')]
    return chosen, '' if chosen else f'{topic} does not move {wanted!r}, but {", ".join(children)}'
