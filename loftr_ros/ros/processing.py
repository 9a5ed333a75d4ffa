"""From messages to results, without any communication."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from loftr_ros.frontend import (
    Between,
    Frame,
    FrameError,
    LoopSearch,
    PlaceSearch,
    SavedPlaces,
    Session,
    Start,
    Step,
    TrackingResult,
)
from loftr_ros.frontend.place_files import load_places, save_places
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
from loftr_ros.settings.masks import read_masks

if TYPE_CHECKING:
    from loftr_ros.frontend import BaseOdometry, Gyroscope
    from loftr_ros.geometry.types import Array
    from loftr_ros.settings.matcher import NodeMatcher
    from loftr_ros.settings.parameters import NodeParameters


def ignore(_: str) -> None:
    """Stand for a callback that does nothing."""


def know_no_transform(_target: str, _source: str) -> None:
    """Stand for tf2 where it is not installed."""


class Processor:
    """Computes results of arrivals.

    For use by one thread, but for `align` and `between`, which another one may use meanwhile.

    Attributes:
        session: Matches.
        between: Aligns.
        start: What frames can be aligned with by now; None for nothing.
    """

    def __init__(
        self,
        matcher: NodeMatcher,
        parameters: NodeParameters,
        refuse: Refuse,
        lookup: Lookup = know_no_transform,
        warn: Callable[[str], object] = ignore,
        odometry: BaseOdometry | None = None,
        gyroscope: Gyroscope | None = None,
    ) -> None:
        """Process what arrives in the mode of the parameters.

        Args:
            matcher: Matches the images.
            parameters: Mode and options.
            refuse: Called with the topic and the reason of each calibration that is not used.
            lookup: Knows transforms between cameras.
            warn: Called with a text where images are matched at a smaller size than expected, or
                seem to be rectified although the parameters say that they are not.
            odometry: Of the base; None for no odometry.
            gyroscope: Which the odometry was given, too; None for none.

        Raises:
            ParameterError: A mask cannot be used.
        """
        self.matcher = matcher
        options, masks = parameters.session_options(), read_masks(parameters)
        self.session = Session(matcher, options, masks, odometry, gyroscope)
        self.between = Between(options, masks, gyroscope)
        self._lookup = lookup
        self._imu_frame = ''
        self.start: Start | None = None
        self._mode = parameters.mode
        self._rectified = parameters.input.rectified
        self._reader = FrameReader(parameters, refuse, lookup, warn)
        self._warn = warn
        self.fallback = ''
        self.network_size = ''
        self._sizes: set[tuple[int, int]] = set()

    def apply(self, parameters: NodeParameters) -> None:
        """Use other parameters from the next frame on."""
        self.session.replace_options(parameters.session_options())
        self.between.replace_options(parameters.session_options())
        self.matcher.confidence_threshold = parameters.matcher.confidence_threshold or None
        self.matcher.max_matches = parameters.matcher.max_matches or None

    def process(self, arrival: Arrival) -> Step:
        """Match what arrived: a frame to the tracker's reference, or two images to each other.

        Raises:
            InputError: An image cannot be used.
        """
        try:
            step = self._process(arrival)
        except (MemoryError, RuntimeError) as error:
            # What led to an error keeps its tensors alive, so the rest happens after it is gone.
            if self.fallback or not is_out_of_memory(error):
                raise
            reason = f'{error}'.partition('\n')[0]
        else:
            self._note_sizes(step.result)
            return step
        self._fall_back(arrival, reason)
        step = self._process(arrival)
        self._note_sizes(step.result)
        return step

    def _process(self, arrival: Arrival) -> Step:
        try:
            if self._mode == 'pair':
                images = enumerate(arrival.images)
                frames = (self._reader.image(image, camera) for camera, image in images)
                return Step(self.session.match_pair(*frames))
            step = self.session.track(self._frame(arrival))
        except FrameError as error:
            # The stamps of a sequence are those of its first camera; of a pair, the last counts.
            image = arrival.images[-1 if self._mode == 'pair' else 0]
            raise InputError(image.topic, str(error)) from error
        self.start = step.start
        return step

    def align(self, arrival: Arrival) -> Step | None:
        """Align what arrived with the last matched frame; None where it has to be matched.

        Raises:
            InputError: An image cannot be used.
        """
        start = self.start
        if start is None:
            return None
        try:
            return self.between.process(self._frame(arrival), start)
        except FrameError as error:
            raise InputError(arrival.images[0].topic, str(error)) from error

    def find_loops(self, step: Step) -> LoopSearch | None:
        """Look for a loop after the last frame, whose step this is, if that is wanted."""
        return self.session.find_loops(step)

    def find_place(self, step: Step) -> PlaceSearch | None:
        """Look for the last frame, whose step this is, in saved places, if there are some."""
        return self.session.find_place(step)

    def save_places(self, path: Path) -> SavedPlaces:
        """Save the places that are known to a file, and return them.

        Raises:
            ValueError: There are none, or the file cannot be written.
        """
        matcher = self.matcher
        saved = self.session.saved_places(matcher.weights_name, matcher.weights_hash)
        save_places(saved, path)
        return saved

    def load_places(self, path: Path, max_places: int) -> SavedPlaces:
        """Look for the places of a file from now on, and return them.

        Raises:
            ValueError: The file cannot be used, or loops are not wanted.
        """
        saved = load_places(path, self.matcher.weights_hash, max_places)
        self.session.load_places(saved)
        return saved

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
            return self.session.tracker.match_pair(*(frame for frame, _ in frames))
        except FrameError as error:
            raise InputError(f'{reference.topic}, {query.topic}', str(error)) from error

    def set_keyframe(self) -> None:
        """Make the next frame the keyframe."""
        self.session.tracker.set_keyframe()

    def reset(self) -> None:
        """Forget all frames and all motion so far."""
        self.start = None
        self.session.reset()

    def _fall_back(self, arrival: Arrival, reason: str) -> None:
        """Match at half the size from now on, which takes a quarter of the memory or less."""
        image = self._reader.image(arrival.images[0]).image
        side = smaller_side(self.matcher.network_size(image.shape[0], image.shape[1]).size)
        self.matcher.longer_side = side
        self._sizes.clear()
        self.start = None
        self.session.forget_frames()
        free_memory()
        self.fallback = (
            f'{self.matcher.device} ran out of memory: images are matched at {side} px of the '
            f'longer side from now on (matcher.longer_side); {reason}'
        )
        self._warn(self.fallback)

    def _note_sizes(self, result: TrackingResult | None) -> None:
        """Keep the size at which the last images were matched, for /diagnostics."""
        for frame in () if result is None else (result.reference, result.query):
            height, width = frame.image.shape[:2]
            if (height, width) in self._sizes:
                continue
            self._sizes.add((height, width))
            size = self.matcher.network_size(height, width)
            self.network_size = str(size)

    def add_imu(self, stamp_ns: int, angular_rate: Array, frame_id: str) -> None:
        """Give the gyroscope a sample of this frame; from any thread.

        Raises:
            ValueError: It is not finite, or not after the last one.
        """
        self._imu_frame = frame_id
        self.session.add_imu(stamp_ns, angular_rate)

    def _frame(self, arrival: Arrival) -> Frame:
        frame = self._read(arrival)
        gyroscope = self.session.gyroscope
        if gyroscope is not None and gyroscope.camera_R_imu is None and self._imu_frame:
            camera_T_imu = self._lookup(frame.frame_id, self._imu_frame)
            gyroscope.camera_R_imu = None if camera_T_imu is None else camera_T_imu[:3, :3]
        return frame

    def _read(self, arrival: Arrival) -> Frame:
        if arrival.depth is not None:
            return self._reader.rgbd(arrival.images[0], arrival.depth)
        if self._mode == 'stereo':
            return self._reader.stereo(*arrival.images)
        return self._reader.image(arrival.images[0])
