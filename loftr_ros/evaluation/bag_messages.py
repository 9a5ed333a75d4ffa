"""Turn messages read with `rosbags` into images, cameras and poses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rosbags.image import ImageError, compressed_image_to_cvimage, image_to_cvimage

from loftr_ros.evaluation.poses import invert, rotation_from_quaternion, transform
from loftr_ros.geometry import Camera

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from loftr_ros.evaluation.message_types import Message

IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
CAMERA_TYPE = 'sensor_msgs/msg/CameraInfo'
TRANSFORM_TYPE = 'tf2_msgs/msg/TFMessage'
POSE_TYPES = (
    'geometry_msgs/msg/PoseStamped',
    'geometry_msgs/msg/PoseWithCovarianceStamped',
    'geometry_msgs/msg/TransformStamped',
    'nav_msgs/msg/Odometry',
)
DISTORTION_COUNTS = {'plumb_bob': (4, 5), 'rational_polynomial': (8, 12, 14), 'equidistant': (4,)}
DISTORTION_ALIASES = {'fisheye': 'equidistant', 'radtan': 'plumb_bob'}


def stamp_of(message: Message) -> int:
    """Return the stamp of a message's header, ns."""
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def image_of(message: Message) -> NDArray[Any]:
    """Decode an Image or CompressedImage.

    Returns:
        (H, W) or (H, W, 3) in RGB order; 8-bit, 16-bit or float32 as in the message.

    Raises:
        ValueError: If the encoding is unknown or the data does not fit it.

    """
    try:
        if message.__msgtype__ == IMAGE_TYPES[1]:
            return _decode_compressed(message)
        target = _target_encoding(message.encoding)
        return np.ascontiguousarray(image_to_cvimage(message, target))
    except (ImageError, cv2.error, ValueError, TypeError, IndexError) as error:
        kind = getattr(message, 'encoding', None) or getattr(message, 'format', '')
        raise ValueError(f'an image ({kind!r}) cannot be decoded: {error}') from error


def _target_encoding(encoding: str) -> str | None:
    """Choose grey or RGB of the same depth; None leaves generic and depth images as they are."""
    if encoding.startswith('mono'):
        return encoding
    if encoding.startswith(('rgb', 'bgr', 'bayer')):
        return 'rgb16' if encoding.endswith('16') else 'rgb8'
    if encoding in {'uyvy', 'yuyv', 'yuv422', 'yuv422_yuy2', 'nv12', 'nv21'}:
        return 'rgb8'
    return {'8UC1': 'mono8', '8UC3': 'bgr8', '16UC1': 'mono16'}.get(encoding)


def _decode_compressed(message: Message) -> NDArray[Any]:
    image = compressed_image_to_cvimage(message)
    if image is None:
        raise ValueError('the compressed data is damaged')
    return image if image.ndim == 2 else np.ascontiguousarray(image[:, :, 2::-1])


def camera_of(message: Message, *, rectified: bool = False) -> Camera | None:
    """Convert a CameraInfo; None where it is not calibrated (K all zero).

    Args:
        message: The CameraInfo.
        rectified: Whether the images are rectified, as those of `image_rect`: then the projection
            matrix P holds and nothing is distorted.

    Raises:
        ValueError: If the calibration is impossible.

    """
    size = int(message.width), int(message.height)
    if not np.any(message.k):
        return None
    if rectified and np.any(message.p):
        return Camera(*size, np.array(message.p, np.float64).reshape(3, 4)[:, :3])
    matrix = np.array(message.k, np.float64).reshape(3, 3)
    coefficients = np.array(message.d, np.float64)
    if rectified or not np.any(coefficients):
        return Camera(*size, matrix)
    model = DISTORTION_ALIASES.get(message.distortion_model, message.distortion_model)
    return Camera(*size, matrix, model, _fit(coefficients, DISTORTION_COUNTS.get(model, ())))


def _fit(coefficients: NDArray[np.float64], counts: Iterable[int]) -> NDArray[np.float64]:
    """Drop or add zeros at the end, as drivers pad the coefficients of a model differently."""
    used = int(np.flatnonzero(coefficients)[-1]) + 1
    count = next((count for count in counts if count >= used), None)
    if count is None:
        return coefficients
    return np.pad(coefficients[:count], (0, max(count - coefficients.size, 0)))


def pose_of(message: Message) -> NDArray[np.float64]:
    """Return position and quaternion x y z w (7,) of a message of `POSE_TYPES`."""
    if message.__msgtype__ == 'geometry_msgs/msg/TransformStamped':
        position, rotation = message.transform.translation, message.transform.rotation
    else:
        pose = message.pose if hasattr(message.pose, 'position') else message.pose.pose
        position, rotation = pose.position, pose.orientation
    xyz = position.x, position.y, position.z
    return np.array([*xyz, rotation.x, rotation.y, rotation.z, rotation.w], np.float64)


def find_transform(
    transforms: Iterable[Any], target: str, source: str
) -> NDArray[np.float64] | None:
    """Compose `target_T_source` from static TransformStamped messages; None if they do not join."""
    edges: dict[str, dict[str, NDArray[np.float64]]] = {}
    for message in transforms:
        values = pose_of(message)
        parent_T_child = transform(rotation_from_quaternion(values[3:]), values[:3])
        parent, child = message.header.frame_id.lstrip('/'), message.child_frame_id.lstrip('/')
        edges.setdefault(parent, {})[child] = parent_T_child
        edges.setdefault(child, {})[parent] = invert(parent_T_child)
    known = {target.lstrip('/'): np.eye(4)}
    queue = list(known)
    for frame in queue:
        for neighbour, frame_T_neighbour in edges.get(frame, {}).items():
            if neighbour not in known:
                known[neighbour] = known[frame] @ frame_T_neighbour
                queue.append(neighbour)
    return known.get(source.lstrip('/'))
