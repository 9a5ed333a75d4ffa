"""From the messages of one moment to the frame that the frontend takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from loftr_ros.codecs.calibration_files import FileCalibration, read_calibrations
from loftr_ros.codecs.cameras import CameraInfoError, camera_from_msg, named_rectified
from loftr_ros.codecs.depth import depth_from_msg
from loftr_ros.codecs.images import ImageConversionError, image_from_msg, size_of
from loftr_ros.codecs.stamps import stamp_from_msg
from loftr_ros.codecs.stereo import find_right_camera, no_baseline
from loftr_ros.frontend import Frame, RightView
from loftr_ros.settings.declarations import ParameterError, transform_from_pose

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image

    from loftr_ros.geometry import Camera
    from loftr_ros.settings.parameters import NodeParameters

Array = npt.NDArray[np.float64]
Refuse = Callable[[str, str], None]
Lookup = Callable[[str, str], Array | None]
"""Returns a_T_b (4, 4) for the names of two frames; None where it is not known."""


class InputError(ValueError):
    """The input of a topic cannot be used.

    Attributes:
        topic: Where it came from.
        reason: What is wrong with it.
    """

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f'{topic}: {reason}')
        self.topic = topic
        self.reason = reason


@dataclass(frozen=True)
class ImageInput:
    """An image as it arrived.

    Attributes:
        image: The image.
        camera_info: Its calibration; None if there is none so far.
        topic: Where the image came from.
        camera_info_topic: Where the calibration comes from.
    """

    image: Image | CompressedImage
    camera_info: CameraInfo | FileCalibration | None
    topic: str
    camera_info_topic: str


@dataclass(frozen=True)
class DepthInput:
    """A depth image as it arrived, and the topic that it came from."""

    image: Image | CompressedImage
    topic: str


@dataclass(frozen=True)
class Arrival:
    """What is processed at once: the image of one camera, or those of two.

    Attributes:
        images: One image, or the reference and the query, or the left and the right one.
        received: When the last of the messages came, s of the monotonic clock.
        depth: Depth of the one image; None but in mode rgbd.
    """

    images: tuple[ImageInput, ...]
    received: float
    depth: DepthInput | None = None


class FrameReader:
    """Reads frames; a calibration that cannot be used costs the pose, an image the frame."""

    def __init__(
        self,
        parameters: NodeParameters,
        refuse: Refuse,
        lookup: Lookup,
        warn: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Read frames of the mode of the parameters.

        Args:
            parameters: Mode, rectification and pose of the right camera.
            refuse: Called with the topic and the reason of each calibration that is not used.
            lookup: Knows where the right camera stands if neither parameters nor calibration do.
            warn: Called with a text, once for each topic whose images seem to be rectified.

        Raises:
            ParameterError: A file of a calibration cannot be used.
        """
        self._warn = warn
        self._warned: set[str] = set()
        self._rectified = parameters.input.rectified
        try:
            self._calibrations = read_calibrations(parameters.input.calibration_file)
        except CameraInfoError as error:
            raise ParameterError(f'input.calibration_file: {error}') from error
        self._refuse = refuse
        self._lookup = lookup
        self._left_T_right = transform_from_pose(parameters.input.left_T_right)
        if not self._left_T_right[:3, 3].any() and self._calibrations.left_T_right is not None:
            self._left_T_right = self._calibrations.left_T_right

    def image(self, image: ImageInput, camera: int = 0) -> Frame:
        """Read a single image of the camera of this number.

        Raises:
            InputError: The image cannot be used.
        """
        image = self._calibrated(image, camera)
        self._check_rectification(image)
        frame, problem = read_frame(image, self._rectified)
        if problem:
            # The matches are as good without a calibration: only the pose has to wait.
            self._refuse(image.camera_info_topic, problem)
        return frame

    def _check_rectification(self, image: ImageInput) -> None:
        """Warn where images of a topic for rectified ones would be undistorted once more."""
        info, topic = image.camera_info, image.topic
        if self._rectified or info is None or topic in self._warned or not any(info.d):
            return
        if any(part.startswith('image_rect') for part in topic.split('/')[-2:]):
            self._warned.add(topic)
            self._warn(
                f'{topic}: its name is that of rectified images, but its calibration '
                f'({image.camera_info_topic}) has a distortion and input.rectified is '
                'false: if they are rectified, set it to true, or poses will be wrong'
            )

    def rgbd(self, image: ImageInput, depth: DepthInput) -> Frame:
        """Read an image with its depth.

        Raises:
            InputError: The image or its depth cannot be used.
        """
        frame = self.image(image)
        try:
            metres = depth_from_msg(depth.image)
        except ImageConversionError as error:
            raise InputError(depth.topic, str(error)) from error
        (height, width), (rows, columns) = frame.image.shape[:2], metres.shape
        if (rows, columns) != (height, width):
            raise InputError(
                depth.topic,
                f'the depth has {columns}x{rows} px, but the image {width}x{height} px: depth must '
                'be registered to the image (depth_image_proc/register)',
            )
        return replace(frame, depth=metres)

    def stereo(self, left: ImageInput, right: ImageInput) -> Frame:
        """Read the images of both cameras; without all calibration the frame has none at all.

        Raises:
            InputError: An image cannot be used.
        """
        left, right = self._calibrated(left, 0), self._calibrated(right, 1)
        frame, other = self.image(left), self.image(right, 1)
        problem = frame.calibration_problem or other.calibration_problem
        if other.camera is None:
            return replace(frame, camera=None, calibration_problem=problem)
        try:
            pose = self._right_camera(left, right)
        except CameraInfoError as error:
            self._refuse(right.camera_info_topic, str(error))
            return replace(frame, camera=None, calibration_problem=str(error))
        if pose is None:
            frames = left.image.header.frame_id, right.image.header.frame_id
            self._refuse(right.camera_info_topic, no_baseline(*frames))
            return replace(frame, camera=None, calibration_problem=no_baseline(*frames))
        return replace(frame, right=RightView(other.image, other.camera, pose))

    def _right_camera(self, left: ImageInput, right: ImageInput) -> Array | None:
        return find_right_camera(
            self._left_T_right,
            (left.camera_info, right.camera_info),
            lambda: self._lookup(left.image.header.frame_id, right.image.header.frame_id),
            rectified=self._is_rectified(left),
        )

    def _calibrated(self, image: ImageInput, camera: int) -> ImageInput:
        """Return an image with the calibration of its file, where there is one."""
        known = self._calibrations.cameras
        return replace(image, camera_info=known[camera]) if camera < len(known) else image

    def _is_rectified(self, image: ImageInput) -> bool:
        return self._rectified or named_rectified(image.topic)


def read_frame(image: ImageInput, rectified: bool) -> tuple[Frame, str]:
    """Read an image with its calibration.

    Returns:
        The frame, and why its calibration was left out ('' if it was not).

    Raises:
        InputError: The image cannot be used.
    """
    _check_announced(image)
    try:
        pixels = image_from_msg(image.image)
    except ImageConversionError as error:
        raise InputError(image.topic, str(error)) from error
    except MemoryError as error:
        # It is this image that is too large, not the device that is too small for the others.
        raise InputError(image.topic, 'there is no memory to read the image') from error
    camera, problem = _read_camera(image, pixels, rectified or named_rectified(image.topic))
    header = image.image.header
    stamp_ns = stamp_from_msg(header.stamp)
    frame = Frame(stamp_ns, pixels, header.frame_id, camera, calibration_problem=problem)
    return frame, problem


def _check_announced(image: ImageInput) -> None:
    """Refuse a compressed image that is larger than its calibration, before it is decoded.

    Raises:
        InputError: It is.
    """
    size, info = size_of(image.image), image.camera_info
    if not hasattr(image.image, 'format') or size is None or info is None or not info.width:
        return
    if size[0] > info.height or size[1] > info.width:
        raise InputError(
            image.topic,
            f'the compressed image has {size[1]}x{size[0]} px, but its camera_info is for '
            f'{info.width}x{info.height} px',
        )


def _read_camera(
    image: ImageInput, pixels: npt.NDArray[Any], rectified: bool
) -> tuple[Camera | None, str]:
    if image.camera_info is None:
        return None, ''
    height, width = pixels.shape[:2]
    try:
        return camera_from_msg(image.camera_info, (height, width), rectified=rectified), ''
    except CameraInfoError as error:
        return None, str(error)
