"""From messages to results, without any communication."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from loftr_ros.frontend import Frame, FrameError, Matcher, Tracker, TrackingResult
from loftr_ros.ros.cameras import CameraInfoError, camera_from_msg
from loftr_ros.ros.images import ImageConversionError, image_from_msg, prepare
from loftr_ros.ros.stamps import stamp_from_msg

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image

    from loftr_ros.ros.parameters import NodeParameters

Refuse = Callable[[str, str], None]


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


class NodeMatcher(Matcher[Any], Protocol):
    """What the node needs of a matcher besides the tracker; `loftr_ros.matching` has it."""

    max_matches: int | None

    @property
    def weights_name(self) -> str:
        """Name of the weights."""

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the weights' file."""

    @property
    def device(self) -> str:
        """Where the matcher runs."""

    @property
    def confidence_threshold(self) -> float:
        """Smallest confidence of a match."""

    @confidence_threshold.setter
    def confidence_threshold(self, value: float | None) -> None: ...

    def warm_up(self, height: int, width: int) -> float:
        """Match once, for images of this size, px; returns the time that it took, s."""


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
    camera_info: CameraInfo | None
    topic: str
    camera_info_topic: str


@dataclass(frozen=True)
class Arrival:
    """What is processed at once: the image of one camera, or those of two.

    Attributes:
        images: One image, or the reference and the query.
        received: When the last of the messages came, s of the monotonic clock.
    """

    images: tuple[ImageInput, ...]
    received: float


def load_matcher(parameters: NodeParameters) -> NodeMatcher:
    """Load LoFTR as the parameters say.

    Raises:
        ValueError: Weights, device or precision cannot be had.
        OSError: The file of the weights cannot be read.
    """
    from loftr_ros.matching.matcher import Matcher as LoFTRMatcher  # torch takes seconds

    matcher: NodeMatcher = LoFTRMatcher(
        weights=parameters.weights,
        device=parameters.device,
        precision=parameters.precision,
        longer_side=parameters.longer_side or None,
        confidence_threshold=parameters.confidence_threshold or None,
        max_matches=parameters.max_matches or None,
    )
    return matcher


def free_memory() -> None:
    """Give back the memory that torch keeps for the next model, if there was one."""
    torch = sys.modules.get('torch')
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


class Processor:
    """Turns arrivals into results; for use by one thread."""

    def __init__(self, matcher: NodeMatcher, parameters: NodeParameters, refuse: Refuse) -> None:
        """Process with `matcher`; `refuse(topic, reason)` hears of unusable calibrations."""
        self.matcher = matcher
        self.tracker = Tracker(matcher, parameters.tracker_options())
        self._rectified = parameters.rectified
        self._refuse = refuse
        self._calibrated: bool | None = None
        prepare()

    def apply(self, parameters: NodeParameters) -> None:
        """Use other parameters from the next frame on."""
        self.tracker.replace_options(parameters.tracker_options())
        self.matcher.confidence_threshold = parameters.confidence_threshold or None
        self.matcher.max_matches = parameters.max_matches or None

    def process(self, arrival: Arrival) -> TrackingResult | None:
        """Match what arrived: one image to the tracker's reference, or two to each other.

        Returns:
            The result; None for a frame that has no reference yet.

        Raises:
            InputError: An image cannot be used.
        """
        frames = [self._frame(image) for image in arrival.images]
        try:
            if len(frames) == 2:
                return self.tracker.match_pair(*frames)
            return self._track(frames[0])
        except FrameError as error:
            raise InputError(arrival.images[-1].topic, str(error)) from error

    def match_images(self, reference: ImageInput, query: ImageInput) -> TrackingResult:
        """Match two images that have nothing to do with those that arrive.

        Raises:
            InputError: An image or a calibration cannot be used.
        """
        frames = [read_frame(image, self._rectified) for image in (reference, query)]
        for image, (_, problem) in zip((reference, query), frames, strict=True):
            if problem:
                raise InputError(image.camera_info_topic, problem)
        try:
            return self.tracker.match_pair(*(frame for frame, _ in frames))
        except FrameError as error:
            raise InputError(f'{reference.topic}, {query.topic}', str(error)) from error

    def set_keyframe(self) -> None:
        """Make the next frame the keyframe."""
        self.tracker.set_keyframe()

    def reset(self) -> None:
        """Forget all frames so far."""
        self._calibrated = None
        self.tracker.reset()

    def _track(self, frame: Frame) -> TrackingResult | None:
        calibrated = frame.camera is not None
        if calibrated and self._calibrated is False:
            # A keyframe from before the calibration would leave all poses to it undetermined.
            self.tracker.set_keyframe()
        result = self.tracker.process(frame)
        self._calibrated = calibrated
        return result

    def _frame(self, image: ImageInput) -> Frame:
        frame, problem = read_frame(image, self._rectified)
        if problem:
            # The matches are as good without a calibration: only the pose has to wait.
            self._refuse(image.camera_info_topic, problem)
        return frame


def read_frame(image: ImageInput, rectified: bool) -> tuple[Frame, str]:
    """Read an image with its calibration.

    Returns:
        The frame, and why its calibration was left out ('' if it was not).

    Raises:
        InputError: The image cannot be used.
    """
    try:
        pixels = image_from_msg(image.image)
    except ImageConversionError as error:
        raise InputError(image.topic, str(error)) from error
    camera, problem = None, ''
    if image.camera_info is not None:
        try:
            height, width = pixels.shape[:2]
            camera = camera_from_msg(image.camera_info, (height, width), rectified=rectified)
        except CameraInfoError as error:
            problem = str(error)
    header = image.image.header
    return Frame(stamp_from_msg(header.stamp), pixels, header.frame_id, camera), problem
