"""From messages to results, without any communication."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from loftr_ros.codecs.images import prepare
from loftr_ros.frontend import (
    Frame,
    FrameError,
    LoopCloser,
    LoopSearch,
    Matcher,
    Tracker,
    TrackingResult,
)
from loftr_ros.ros.frames import (
    Arrival,
    FrameReader,
    ImageInput,
    InputError,
    Lookup,
    Refuse,
    read_frame,
)
from loftr_ros.ros.memory import free_memory, is_out_of_memory, smaller_side
from loftr_ros.settings.masks import Masks

if TYPE_CHECKING:
    from loftr_ros.matching.limits import NetworkSize
    from loftr_ros.settings.parameters import NodeParameters


def ignore(_: str) -> None:
    """Stand for somebody who listens."""


def know_no_transform(_target: str, _source: str) -> None:
    """Stand for tf2 where it is not installed."""


class NodeMatcher(Matcher[Any], Protocol):
    """What the node needs of a matcher besides the tracker; `loftr_ros.matching` has it."""

    max_matches: int | None
    longer_side: int | None

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

    def network_size(self, height: int, width: int) -> NetworkSize:
        """Return the size at which images of a size, px, are matched, and why."""

    def warm_up(self, height: int, width: int) -> float:
        """Match once, for images of this size, px; returns the time that it took, s."""

    def signature(self, features: Any) -> npt.NDArray[np.float32]:  # noqa: ANN401 - of any matcher
        """Return a vector of length 1, whose dot product with others tells how alike they are."""


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
        max_pixels=parameters.max_pixels or None,
        max_memory=parameters.max_memory or None,
        try_rotations=parameters.try_rotations,
        confidence_threshold=parameters.confidence_threshold or None,
        max_matches=parameters.max_matches or None,
        backend=parameters.backend,
        providers=parameters.providers,
        cuda_graphs=parameters.cuda_graphs,
    )
    return matcher


class Processor:
    """Turns arrivals into results; for use by one thread."""

    def __init__(
        self,
        matcher: NodeMatcher,
        parameters: NodeParameters,
        refuse: Refuse,
        lookup: Lookup = know_no_transform,
        warn: Callable[[str], object] = ignore,
    ) -> None:
        """Process what arrives in the mode of the parameters.

        Args:
            matcher: Matches the images.
            parameters: Mode and options.
            refuse: Hears of the topic and the reason of each calibration that is not used.
            lookup: Knows transforms between cameras.
            warn: Told that images are matched at a smaller size than some would expect.

        Raises:
            ParameterError: A mask cannot be used.
        """
        self.matcher = matcher
        self.tracker = Tracker(matcher, parameters.tracker_options())
        self.loops = LoopCloser(self.tracker, matcher.signature, parameters.loop_options())
        self._find_loops = parameters.loop_closures
        self._mode = parameters.mode
        self._rectified = parameters.rectified
        self._reader = FrameReader(parameters, refuse, lookup)
        self._masks = Masks.read(parameters)
        self._warn = warn
        self.fallback = ''
        self.network_size = ''
        self._sizes: set[tuple[int, int]] = set()
        self._calibrated: bool | None = None
        prepare()

    def apply(self, parameters: NodeParameters) -> None:
        """Use other parameters from the next frame on."""
        self.tracker.replace_options(parameters.tracker_options())
        self.loops.replace_options(parameters.loop_options())
        if self._find_loops and not parameters.loop_closures:
            self.loops.reset()
        self._find_loops = parameters.loop_closures
        self.matcher.confidence_threshold = parameters.confidence_threshold or None
        self.matcher.max_matches = parameters.max_matches or None

    def process(self, arrival: Arrival) -> TrackingResult | None:
        """Match what arrived: a frame to the tracker's reference, or two images to each other.

        Returns:
            The result; None for a frame that has no reference yet.

        Raises:
            InputError: An image cannot be used.
        """
        try:
            return self._told_of_size(self._process(arrival))
        except (MemoryError, RuntimeError) as error:
            # What led to an error keeps its tensors alive, so the rest happens after it is gone.
            if self.fallback or not is_out_of_memory(error):
                raise
            reason = f'{error}'.partition('\n')[0]
        self._fall_back(arrival, reason)
        return self._told_of_size(self._process(arrival))

    def _process(self, arrival: Arrival) -> TrackingResult | None:
        try:
            if self._mode == 'pair':
                frames = (self._reader.image(image) for image in arrival.images)
                return self.tracker.match_pair(*self._masks.put_on_pair(*frames))
            return self._track(self._masks.put_on(self._frame(arrival)))
        except FrameError as error:
            # The stamps of a sequence are those of its first camera; of a pair, the last counts.
            image = arrival.images[-1 if self._mode == 'pair' else 0]
            raise InputError(image.topic, str(error)) from error

    def find_loops(self, result: TrackingResult | None) -> LoopSearch | None:
        """Look for a loop after a frame whose result this is, if that is wanted."""
        if not self._find_loops or self._mode == 'pair':
            return None
        return self.loops.update(result)

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
        self.loops.reset()

    def _fall_back(self, arrival: Arrival, reason: str) -> None:
        """Match at half the size from now on, which takes a quarter of the memory or less."""
        image = self._reader.image(arrival.images[0]).image
        side = smaller_side(self.matcher.network_size(image.shape[0], image.shape[1]).size)
        self.matcher.longer_side = side
        self._sizes.clear()
        self.reset()
        free_memory()
        self.fallback = (
            f'{self.matcher.device} ran out of memory: images are matched at {side} px of the '
            f'longer side from now on (longer_side; max_memory limits it before); {reason}'
        )
        self._warn(self.fallback)

    def _told_of_size(self, result: TrackingResult | None) -> TrackingResult | None:
        """Say once of each size of images that memory or pixels limit it, and keep the last."""
        for frame in () if result is None else (result.reference, result.query):
            height, width = frame.image.shape[:2]
            if (height, width) in self._sizes:
                continue
            self._sizes.add((height, width))
            size = self.matcher.network_size(height, width)
            self.network_size = str(size)
            if size.limit in ('max_pixels', 'max_memory'):
                self._warn(self.network_size)
        return result

    def _track(self, frame: Frame) -> TrackingResult | None:
        calibrated = frame.camera is not None
        if calibrated and self._calibrated is False:
            # A keyframe from before the calibration would leave all poses to it undetermined.
            self.tracker.set_keyframe()
        result = self.tracker.process(frame)
        self._calibrated = calibrated
        return result

    def _frame(self, arrival: Arrival) -> Frame:
        if arrival.depth is not None:
            return self._reader.rgbd(arrival.images[0], arrival.depth)
        if self._mode == 'stereo':
            return self._reader.stereo(*arrival.images)
        return self._reader.image(arrival.images[0])
