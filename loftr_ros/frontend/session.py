"""What becomes of a frame: one session serves node, replay and benchmarks alike."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from loftr_ros.frontend.base_odometry import BaseOdometry
from loftr_ros.frontend.following import Follower
from loftr_ros.frontend.frame import Frame
from loftr_ros.frontend.gyroscope import Gyroscope
from loftr_ros.frontend.localization import Localizer, PlaceSearch, SavedPlaces
from loftr_ros.frontend.loop_options import LoopOptions
from loftr_ros.frontend.loops import LoopCloser, LoopSearch
from loftr_ros.frontend.masks import Masks
from loftr_ros.frontend.odometry import Odometry, OdometryEstimate
from loftr_ros.frontend.options import TrackerOptions
from loftr_ros.frontend.places import Located
from loftr_ros.frontend.states import TrackingState
from loftr_ros.frontend.tracker import Anchor, Matcher, Tracker, TrackingResult
from loftr_ros.geometry.transforms import inverse_transform
from loftr_ros.geometry.types import Array

Features = TypeVar('Features')
Part = TypeVar('Part')


class SessionMatcher(Matcher[Features], Protocol[Features]):
    """What a session needs of a matcher; `loftr_ros.matching.Matcher` is one."""

    def signature(self, features: Features, /) -> npt.NDArray[np.float32]:
        """Return float32 (D,) of length 1: the dot product of two says how alike images are."""


@dataclass(frozen=True)
class SessionOptions:
    """Options of a session.

    Attributes:
        tracker: Of the tracker and its poses.
        loops: Of the search for loops; None for no search.
        follow: Whether frames between matched ones will be aligned.
    """

    tracker: TrackerOptions = field(default_factory=TrackerOptions)
    loops: LoopOptions | None = None
    follow: bool = False


@dataclass(frozen=True, eq=False)
class Start:
    """Where frames that follow a matched one start from; nothing changes it.

    Attributes:
        anchor: The matched frame.
        odometry: As it was at that frame; None where there is none.
    """

    anchor: Anchor
    odometry: Odometry | None


@dataclass(frozen=True, eq=False)
class Step:
    """What is known after a frame.

    Attributes:
        result: Matches and pose; None for a frame that had no reference to be matched to.
        estimate: Pose and velocity of the base; None where odometry has no motion to go on by.
        loops: The search for loops; None where there was none.
        places: The search among saved places; None where there was none.
        start: Where `Between.process` can go on from; None if the frame failed, or nobody will.
        notice: What is wrong with the inputs as a whole, in words: said once; otherwise empty.
    """

    result: TrackingResult | None
    estimate: OdometryEstimate | None = None
    loops: LoopSearch | None = None
    places: PlaceSearch | None = None
    start: Start | None = None
    notice: str = ''


class Between:
    """The frames between matched ones: aligned with the last of these, and chained to odometry.

    It shares nothing with the session but what `Step.start` hands over, so that it can work in
    another thread while the session matches. Not for use by several threads at the same time.
    """

    def __init__(
        self,
        options: SessionOptions | None = None,
        masks: Masks | None = None,
        gyroscope: Gyroscope | None = None,
    ) -> None:
        """Start with nothing to follow; the gyroscope, if there is one, is that of the session."""
        self._gyroscope = gyroscope
        self._follower = Follower((options or SessionOptions()).tracker, gyroscope=gyroscope)
        self._masks = masks or Masks()
        self._start: Start | None = None
        self._odometry: Odometry | None = None

    def process(self, frame: Frame, start: Start) -> Step | None:
        """Take the next frame.

        Args:
            frame: A frame after that of the start.
            start: Of the last matched frame that is known by now.

        Returns:
            What is known, or None where the frame has to be matched.

        Raises:
            FrameError: The frame cannot be used.
        """
        if start is not self._start:
            self._start = start
            self._odometry = None if start.odometry is None else start.odometry.branch()
        result = self._follower.follow(self._masks.put_on(frame), start.anchor)
        if result is None:
            return None
        result = _fused(self._gyroscope, result)
        return Step(result, None if self._odometry is None else self._odometry.update(result))

    def replace_options(self, options: SessionOptions) -> None:
        """Use other options from the next frame on."""
        self._follower.options = options.tracker

    def reset(self) -> None:
        """Forget what was followed."""
        self._start = self._odometry = None
        self._follower.reset()


class Session(Generic[Features]):
    """The frames of one camera: tracked, chained to odometry, and searched for loops.

    Not for use by several threads at the same time.

    Attributes:
        tracker: Matches the frames.
        odometry: Chains the poses; None for no odometry.
        loops: Finds keyframes of this run again; None where that is not wanted.
        localizer: Finds keyframes of earlier runs; None where loops are not wanted.
        gyroscope: Bridges frames without a pose; its bias is corrected by those that have one.
    """

    def __init__(
        self,
        matcher: SessionMatcher[Features],
        options: SessionOptions | None = None,
        masks: Masks | None = None,
        odometry: BaseOdometry | None = None,
        gyroscope: Gyroscope | None = None,
    ) -> None:
        """Start without frames.

        Args:
            matcher: Matches the images.
            options: Of all parts.
            masks: What never matches.
            odometry: Goes on by each result; None for no odometry.
            gyroscope: Of the camera, which the odometry was given, too; None for none.
        """
        options = options or SessionOptions()
        self.tracker = Tracker(matcher, options.tracker, gyroscope=gyroscope)
        self.odometry = odometry
        self.gyroscope = gyroscope
        self.loops: LoopCloser[Features] | None = None
        self.localizer: Localizer[Features] | None = None
        self._chain = self._last_chain = 0
        self._chain_T_odom: Array = np.eye(4)
        self._known_ns: int | None = None
        self._matcher = matcher
        self._masks = masks or Masks()
        self._calibrated: bool | None = None
        self._noticed = False
        self._follow = options.follow
        self._set_loop_options(options.loops)

    def process(self, frame: Frame) -> Step:
        """Take the next frame.

        Raises:
            FrameError: The frame cannot be used. The session is as it was before.
        """
        step = self.track(frame)
        places = self.find_place(step)
        return replace(step, places=places, loops=self.find_loops(step))

    def track(self, frame: Frame) -> Step:
        """Take the next frame without `find_place` and `find_loops`, which can be done afterwards.

        A robot needs its pose first: the search takes as long as another frame.

        Raises:
            FrameError: The frame cannot be used. The session is as it was before.
        """
        frame = self._masks.put_on(frame)
        calibrated = frame.camera is not None
        if calibrated and self._calibrated is False:
            # A keyframe from before the calibration would leave all poses to it undetermined.
            self.tracker.set_keyframe()
        result = self.tracker.process(frame)
        self._calibrated = calibrated
        if result is None:
            return Step(None)
        before = self.odometry.branch() if self._follow and self.odometry is not None else None
        result = _fused(self.gyroscope, result, learning=True)
        estimate = None if self.odometry is None else self.odometry.update(result)
        if estimate is not None and estimate.bridged and result.state is TrackingState.SEARCHING:
            result = replace(result, state=TrackingState.BRIDGED)
        return Step(
            result, estimate, start=self._start_from(result, before), notice=self._notice(result)
        )

    def add_imu(self, stamp_ns: int, angular_rate: npt.ArrayLike) -> None:
        """Give the gyroscope, if there is one, the angular rate (3,) about its axes, rad/s.

        Raises:
            ValueError: It is not finite, or not after the last one.
        """
        if self.gyroscope is not None:
            self.gyroscope.add(stamp_ns, angular_rate)

    def _notice(self, result: TrackingResult) -> str:
        problem = '' if self.gyroscope is None else self.gyroscope.problem
        if result.swapped:
            problem = f'{result.scale_problem}: exchange the topics of both cameras'
        if self._noticed or not problem:
            return ''
        self._noticed = True
        return problem

    def _start_from(self, result: TrackingResult, odometry: Odometry | None) -> Start | None:
        """Return where the frames after this one start from."""
        anchor = self.tracker.anchor() if self._follow else None
        if anchor is None:
            return None
        if odometry is None and self.odometry is not None and not result.new_keyframe:
            odometry = self.odometry.branch()
        elif odometry is not None:
            # Their reference is that of the anchor, even where the anchor is the next keyframe.
            odometry.update(replace(result, new_keyframe=False))
        return Start(anchor, odometry)

    def find_loops(self, step: Step) -> LoopSearch | None:
        """Look for loops after the last frame, whose step this is; None if there is no search."""
        if self.loops is None:
            return None
        odom_T_camera = self._camera_in_odom(step)
        search = self.loops.update(step.result, self._in_chain(odom_T_camera), self._known_ns)
        self._rejoin(search, odom_T_camera)
        return search

    def find_place(self, step: Step) -> PlaceSearch | None:
        """Look for the last frame, whose step this is, in saved places; None if there are none."""
        estimate = step.estimate
        if estimate is not None and estimate.gap:
            self.moved_odometry()
        self._known_ns = None
        if self.localizer is None:
            return None
        pose = self._camera_in_odom(step)
        search = self.localizer.update(step.result, pose)
        self._located(search, pose)
        return search

    def relocalize(self) -> PlaceSearch:
        """Look for the present keyframe in saved places at once.

        Raises:
            ValueError: There are none, or no frame has come yet.
        """
        search = self._required(self.localizer).search()
        # What odometry knows of is a later frame: the next keyframe joins it to the map.
        self.tracker.set_keyframe()
        return search

    @property
    def map_T_odom(self) -> Array | None:  # noqa: N802 - names of frames
        """Pose (4, 4) of the odometry frame in the map, m.

        The map is that of the saved places, and without any it is the odometry frame. None while
        it is unknown where the camera is in it: after places were loaded, and after a gap.
        """
        return None if self._chain else self._chain_T_odom

    def load_places(self, saved: SavedPlaces) -> None:
        """Look for these places from now on; those of this run are forgotten.

        Raises:
            ValueError: Loops are not wanted.
        """
        localizer = self._required(self.localizer)
        self._required(self.loops).reset()
        localizer.load(saved)
        chains = (place.located.chain for place in saved.places if place.located is not None)
        self._last_chain = max(chains, default=0)
        self.moved_odometry()
        # A camera that stands still has no keyframe to come.
        self.tracker.set_keyframe()

    def saved_places(self, weights_name: str, weights_hash: str) -> SavedPlaces:
        """Return the places loaded and those of this run.

        Raises:
            ValueError: There are none, or loops are not wanted.
        """
        loaded = self._required(self.localizer)
        memory = self._required(self.loops).memory
        places = loaded.places + memory.places
        if not places:
            raise ValueError('there are no places to save: no keyframe has been remembered yet')
        step = memory.typical_step if not loaded.places else loaded.typical_step
        return SavedPlaces(places, step, weights_name, weights_hash)

    def moved_odometry(self) -> None:
        """Take note that the odometry frame lies elsewhere from now on."""
        if (self.loops and len(self.loops.memory)) or (self.localizer and self.localizer.places):
            self._last_chain += 1
            if self.localizer is not None:
                self.localizer.forget_motion()
            self._chain, self._chain_T_odom = self._last_chain, np.eye(4)

    def _required(self, part: Part | None) -> Part:
        if part is None:
            raise ValueError('places are remembered and found only with loop.enabled true')
        return part

    def _camera_in_odom(self, step: Step) -> Array | None:
        """Return the pose of the camera of the last frame by odometry, m; None if unknown."""
        estimate = step.estimate
        base_T_camera = None if self.odometry is None else self.odometry.base_T_camera
        if estimate is None or base_T_camera is None or not estimate.metric or estimate.bridged:
            return None
        return estimate.odom_T_base @ base_T_camera

    def _in_chain(self, odom_T_camera: Array | None) -> Located | None:
        if odom_T_camera is None:
            return None
        return Located(self._chain, self._chain_T_odom @ odom_T_camera)

    def _rejoin(self, search: LoopSearch | None, odom_T_camera: Array | None) -> None:
        """Where a loop leads back to a place of this run, it is known again where the camera is."""
        if search is None or self.loops is None:
            return
        known = {place.frame.stamp_ns: place.located for place in self.loops.memory.places}
        for closure in search.closures[-1:]:
            there, motion = known.get(closure.reference.stamp_ns), closure.pose
            if there is None or there.chain >= self._chain or motion.reference_T_query is None:
                continue
            if motion.metric:
                self._join(there.moved(motion.reference_T_query), odom_T_camera)

    def _join(self, located: Located, odom_T_camera: Array | None) -> None:
        """Go on in the chain in which the camera was found."""
        if odom_T_camera is not None:
            self._chain = located.chain
            self._chain_T_odom = located.chain_T_camera @ inverse_transform(odom_T_camera)

    def _located(self, search: PlaceSearch | None, odom_T_camera: Array | None) -> None:
        found = None if search is None else search.found
        if found is not None:
            self._known_ns = found.closure.query.stamp_ns
        if found is not None and found.located is not None:
            self._join(found.located, odom_T_camera)

    def match_pair(self, reference: Frame, query: Frame) -> TrackingResult:
        """Match frames of two cameras, which have nothing to do with a sequence.

        Raises:
            FrameError: One of the frames cannot be used.
        """
        return self.tracker.match_pair(*self._masks.put_on_pair(reference, query))

    def replace_options(self, options: SessionOptions) -> None:
        """Use other options from the next frame on; what is known so far stays."""
        self._follow = options.follow
        self.tracker.replace_options(options.tracker)
        self._set_loop_options(options.loops)

    def forget_frames(self) -> None:
        """Make the next frame the first; odometry goes on after a gap."""
        self._calibrated = None
        self.tracker.reset()
        if self.loops is not None and self.localizer is not None:
            self.loops.reset()
            self.localizer.reset()

    def reset(self) -> None:
        """Forget all frames and all motion."""
        self._noticed = False
        self.forget_frames()
        if self.odometry is not None:
            self.odometry.reset()
        if self.gyroscope is not None:
            self.gyroscope.forget_samples()
        self._chain, self._chain_T_odom = 0, np.eye(4)
        self.moved_odometry()

    def _set_loop_options(self, options: LoopOptions | None) -> None:
        if options is None:
            self.loops = self.localizer = None
        elif self.loops is None or self.localizer is None:
            self.loops = LoopCloser(self.tracker, self._matcher.signature, options)
            self.localizer = Localizer(self.tracker, self._matcher.signature, options)
        else:
            self.loops.replace_options(options)
            self.localizer.options = options


def _fused(
    gyroscope: Gyroscope | None, result: TrackingResult, *, learning: bool = False
) -> TrackingResult:
    """Return a result whose pose takes account of the gyroscope, which may learn from it first."""
    if gyroscope is None:
        return result
    stamps = result.reference.stamp_ns, result.query.stamp_ns
    if learning:  # from the images alone
        gyroscope.learn(result.pose, *stamps)
    return replace(result, pose=gyroscope.fused(result.pose, *stamps))
