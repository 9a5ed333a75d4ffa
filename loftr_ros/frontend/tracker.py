"""Frames in, matches with track ids and relative poses out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from loftr_ros.frontend.calibration import CalibrationCheck
from loftr_ros.frontend.depths import ReferenceDepths
from loftr_ros.frontend.estimation import estimate_in_metres, estimate_up_to_scale
from loftr_ros.frontend.frame import Frame, FrameError, RightView
from loftr_ros.frontend.gyroscope import Gyroscope
from loftr_ros.frontend.keyframes import KeyframeHistory, needs_keyframe, survivors
from loftr_ros.frontend.options import TrackerOptions
from loftr_ros.frontend.states import Source, TrackingState, checksum, next_state
from loftr_ros.frontend.tracks import TrackedMatches, Tracks
from loftr_ros.geometry import (
    KnownRotation,
    PoseState,
    RelativePose,
)
from loftr_ros.geometry.depth import PointDepths
from loftr_ros.matching.matches import Matches

Timer = Callable[[], float]
Result = TypeVar('Result')
Features = TypeVar('Features')


class Matcher(Protocol[Features]):
    """What the tracker needs of a matcher; `loftr_ros.matching.Matcher` is one."""

    def encode(
        self, image: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None = None, /
    ) -> Features:
        """Return the features of one image; ValueError if it or its mask cannot be used."""

    def match(self, reference: Features, query: Features) -> Matches:
        """Match the features of two images."""

    def starting_at(
        self, features: Features, points: npt.NDArray[np.float32], /
    ) -> tuple[Features, npt.NDArray[np.float32]]:
        """Return features of a reference whose matches start at points (N, 2), px, before others.

        And the reference point of each (N, 2), px, less than a cell beside it; NaN for those that
        have none of their own.
        """


@dataclass(frozen=True, eq=False, kw_only=True)
class TrackingResult:
    """What is known about a frame with respect to its reference.

    Attributes:
        reference: The frame that was matched to.
        query: The frame that was processed.
        matches: N matches between them. Those that go on with the id of an earlier keyframe lie at
            the point of that id, beside the cell of the matcher's grid; the pose is estimated from
            the matches as the matcher gives them.
        track_ids: int64 (N,), equal for the same point of the scene over frames.
        pose: Pose of the query camera in the reference camera, or why there is none.
        new_keyframe: Whether the query is the reference of the following frames.
        seconds: Time spent on 'encode', 'match', 'pose' and in 'total', s; also on 'depth' where
            the reference has a depth image or a right view.
        scale_problem: Why the pose is not metric although the reference has a depth image or a
            right view; otherwise empty.
        state: How the query hangs together with the frames before it.
        source: How the matches were found.
        swapped: Whether the left and the right view of the reference look swapped.
    """

    reference: Frame
    query: Frame
    matches: Matches
    track_ids: npt.NDArray[np.int64]
    pose: RelativePose
    new_keyframe: bool
    seconds: dict[str, float]
    scale_problem: str = ''
    state: TrackingState = TrackingState.TRACKING
    source: Source = Source.MATCHED
    swapped: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Anchor:
    """A matched frame whose pose is believed: later frames are aligned with it.

    Attributes:
        reference: The frame that it was matched to.
        query: The frame itself.
        matches: N matches between them as the matcher gave them.
        tracked: The same at the points of their track ids.
        track_ids: int64 (N,).
        pose: Pose of the query camera in the reference camera.
        depths: Depths of the N reference points; None where the pose is not metric.
        problem: Why it is not, although it could be; otherwise empty.
    """

    reference: Frame
    query: Frame
    matches: Matches
    tracked: Matches
    track_ids: npt.NDArray[np.int64]
    pose: RelativePose
    depths: PointDepths | None
    problem: str


@dataclass
class _Reference(Generic[Features]):
    frame: Frame
    features: Features
    depths: ReferenceDepths[Features]
    history: KeyframeHistory = field(default_factory=KeyframeHistory)
    before_gap: _Reference[Features] | None = None

    @classmethod
    def of(cls, frame: Frame, features: Features) -> _Reference[Features]:
        return cls(frame, features, ReferenceDepths(frame, features))


@dataclass(frozen=True, eq=False)
class _Attempt(Generic[Features]):
    """A frame against one reference."""

    reference: _Reference[Features]
    matches: Matches
    pose: RelativePose
    problem: str
    failed: bool
    calibration: CalibrationCheck
    seconds: dict[str, float]


class Tracker(Generic[Features]):
    """Match each frame of one camera to its reference and estimate the motion between them.

    Each image is encoded once: the features of a reference are kept. A frame that is refused
    leaves no trace. When too many frames failed tracking starts anew with another keyframe, but as
    long as that one fails too, the keyframe before the gap is tried again. Not for use by several
    threads at the same time.
    """

    def __init__(
        self,
        matcher: Matcher[Features],
        options: TrackerOptions | None = None,
        timer: Timer = time.perf_counter,
        gyroscope: Gyroscope | None = None,
    ) -> None:
        """Track with `matcher`; `timer` returns seconds and is only used for `seconds`."""
        self.matcher = matcher
        self._gyroscope = gyroscope
        self._options = options or TrackerOptions()
        self._timer = timer
        self._tracks = Tracks(self._options.track_tolerance)
        self._reference: _Reference[Features] | None = None
        self._last_stamp_ns: int | None = None
        self._last_checksum: int | None = None
        self._keyframe_requested = False
        self._calibration = CalibrationCheck()
        self._latest: tuple[_Attempt[Features], TrackedMatches, Frame] | None = None

    @property
    def options(self) -> TrackerOptions:
        """The present options."""
        return self._options

    @property
    def keyframe(self) -> tuple[Frame, Features] | None:
        """The present reference and its features; None before the first frame."""
        present = self._reference
        return None if present is None else (present.frame, present.features)

    def anchor(self) -> Anchor | None:
        """Return the last frame for others to be aligned with; None if it failed."""
        if self._latest is None:
            return None
        attempt, tracked, query = self._latest
        frame, depths = attempt.reference.frame, None
        if attempt.pose.metric:
            depths = attempt.reference.depths.at(
                attempt.matches, self._match_right, self._options.metric
            )
        return Anchor(
            reference=frame,
            query=query,
            matches=attempt.matches,
            tracked=tracked.matches,
            track_ids=tracked.ids,
            pose=attempt.pose,
            depths=depths,
            problem=attempt.problem,
        )

    def replace_options(self, options: TrackerOptions) -> None:
        """Use other options from the next frame on; reference and tracks stay."""
        self._options = options
        self._tracks.tolerance = options.track_tolerance

    def reset(self) -> None:
        """Forget reference and time; the next frame is the first. Ids are not used again."""
        self._reference = self._latest = None
        self._calibration = CalibrationCheck()
        self._last_stamp_ns = self._last_checksum = None
        self._keyframe_requested = False
        self._tracks.forget()

    def set_keyframe(self) -> None:
        """Make the next processed frame the reference of those that follow it."""
        self._keyframe_requested = True

    def process(self, frame: Frame) -> TrackingResult | None:
        """Match a frame to its reference.

        Args:
            frame: The next frame; its stamp must be after the last one's.

        Returns:
            The result, or None for the first frame, which becomes the reference.

        Raises:
            FrameError: The frame cannot be used. The tracker is as it was before.
        """
        start = self._timer()
        self._check_stamp(frame)
        frame.check()
        seen = checksum(frame.image)
        if self._reference is not None and seen == self._last_checksum:
            self._last_stamp_ns = frame.stamp_ns
            return _frozen(self._reference.frame, frame, self._timer() - start)
        features, encoding = self._encode(frame)
        if self._reference is None:
            self._last_stamp_ns, self._last_checksum = frame.stamp_ns, seen
            self._reference = _Reference.of(frame, features)
            return None
        attempt = self._attempt(self._reference, frame, features)
        earlier = self._reference.before_gap
        if attempt.failed and earlier is not None:
            again = self._attempt(earlier, frame, features)
            attempt = attempt if again.failed else again
        # Nothing can fail from here on, so the state may change.
        self._last_stamp_ns, self._last_checksum = frame.stamp_ns, seen
        return self._conclude(attempt, frame, features, start, encoding)

    def _attempt(
        self, reference: _Reference[Features], frame: Frame, features: Features
    ) -> _Attempt[Features]:
        matches, matching = self._match(reference.frame, reference.features, frame, features)
        known = None
        if self._gyroscope is not None:
            known = self._gyroscope.known_between(reference.frame.stamp_ns, frame.stamp_ns)
        pose, problem, solving = self._estimate(reference, frame, matches, known)
        calibration = self._calibration.joined(pose.focal_error)
        pose = calibration.judge(pose)
        calibrated = reference.frame.camera is not None and frame.camera is not None
        believed = pose.state.has_pose and not problem
        failed = len(matches) < self._options.min_matches or (calibrated and not believed)
        seconds = {'match': matching, **solving}
        return _Attempt(reference, matches, pose, problem, failed, calibration, seconds)

    def _conclude(
        self,
        attempt: _Attempt[Features],
        frame: Frame,
        features: Features,
        start: float,
        encoding: float,
    ) -> TrackingResult:
        reference, failures = self._enter(attempt)
        self._calibration = attempt.calibration
        explained = attempt.pose.inliers if attempt.pose.state.has_pose else None
        tracked = self._tracks.follow(attempt.matches, explained)
        self._latest = None if attempt.failed else (attempt, tracked, frame)
        needed = needs_keyframe(
            reference.history,
            reference.frame,
            survivors(attempt.matches, attempt.pose),
            self._options,
            attempt.failed,
        )
        new_keyframe = self._choose_keyframe(needed, attempt.failed, frame, features)
        seconds = {'encode': encoding, **attempt.seconds, 'total': self._timer() - start}
        return TrackingResult(
            reference=reference.frame,
            query=frame,
            matches=tracked.matches,
            track_ids=tracked.ids,
            pose=attempt.pose,
            new_keyframe=new_keyframe,
            seconds=seconds,
            scale_problem=attempt.problem,
            state=next_state(failures, attempt.failed, new_keyframe),
            swapped=reference.depths.swapped,
        )

    def _enter(self, attempt: _Attempt[Features]) -> tuple[_Reference[Features], int]:
        """Return the reference of the attempt, and how many frames failed just before."""
        reference, failures = attempt.reference, attempt.reference.history.failures
        if reference is not self._reference:
            # The scene before the gap is back.
            self._tracks.forget()
            self._reference = reference
        elif not attempt.failed:
            reference.before_gap = None
        return reference, failures

    def match_pair(self, reference: Frame, query: Frame) -> TrackingResult:
        """Match two frames that have nothing to do with the sequence; ids count from 0.

        Raises:
            FrameError: One of the frames cannot be used.
        """
        start = self._timer()
        features, encoding = self._encode(reference)
        return self._match_beside(_Reference.of(reference, features), query, start, encoding)

    def match_keyframe(self, query: Frame) -> TrackingResult:
        """Match the present reference to a frame beside the sequence, such as one of long ago.

        Raises:
            FrameError: The frame cannot be used.
            ValueError: There is no reference yet.
        """
        if self._reference is None:
            raise ValueError('there is no reference before the first frame')
        return self._match_beside(self._reference, query, self._timer(), 0.0)

    def _match_beside(
        self, reference: _Reference[Features], query: Frame, start: float, encoding: float
    ) -> TrackingResult:
        features, encoding_query = self._encode(query)
        matches, matching = self._match(reference.frame, reference.features, query, features)
        pose, problem, solving = self._estimate(reference, query, matches)
        pose = CalibrationCheck().joined(pose.focal_error).judge(pose)
        seconds = {'encode': encoding + encoding_query, 'match': matching, **solving}
        seconds['total'] = self._timer() - start
        ids = np.arange(len(matches))
        return TrackingResult(
            reference=reference.frame,
            query=query,
            matches=matches,
            track_ids=ids,
            pose=pose,
            new_keyframe=False,
            seconds=seconds,
            scale_problem=problem,
        )

    def _check_stamp(self, frame: Frame) -> None:
        if self._last_stamp_ns is not None and frame.stamp_ns <= self._last_stamp_ns:
            raise FrameError(
                f'{frame}: its stamp is not after the last one '
                f'({(self._last_stamp_ns - frame.stamp_ns) / 1e9:.9f} s earlier)'
            )

    def _encode(self, frame: Frame) -> tuple[Features, float]:
        frame.check()
        try:
            return self._timed(lambda: self.matcher.encode(frame.image, frame.mask))
        except ValueError as error:
            raise FrameError(f'{frame}: {error}') from error

    def _match(
        self, reference: Frame, reference_features: Features, query: Frame, query_features: Features
    ) -> tuple[Matches, float]:
        try:
            return self._timed(lambda: self.matcher.match(reference_features, query_features))
        except ValueError as error:
            raise FrameError(f'{query} cannot be matched to {reference}: {error}') from error

    def _estimate(
        self,
        reference: _Reference[Features],
        query: Frame,
        matches: Matches,
        known: KnownRotation | None = None,
    ) -> tuple[RelativePose, str, dict[str, float]]:
        """Return the pose, why it is not metric though it could be, and the times taken."""
        frame, problem = reference.frame, ''
        seconds: dict[str, float] = {}
        if frame.mode != 'mono' and frame.camera is not None and query.camera is not None:
            metric, problem, seconds = self._estimate_metric(reference, query, matches)
            if metric is not None:
                return metric, '', seconds
        pose, solving = self._timed(
            lambda: estimate_up_to_scale(frame, query, matches, self._options.two_view, known)
        )
        return pose, problem, {**seconds, 'pose': seconds.get('pose', 0.0) + solving}

    def _estimate_metric(
        self, reference: _Reference[Features], query: Frame, matches: Matches
    ) -> tuple[RelativePose | None, str, dict[str, float]]:
        try:
            depths, finding = self._timed(
                lambda: reference.depths.at(matches, self._match_right, self._options.metric)
            )
        except ValueError as error:
            return None, f'the right image cannot be used: {error}', {}
        if reference.depths.problem:
            return None, reference.depths.problem, {'depth': finding}
        pose, solving = self._timed(
            lambda: estimate_in_metres(reference.frame, query, matches, depths, self._options)
        )
        found = pose if pose.state.has_pose else None
        return found, pose.reason, {'depth': finding, 'pose': solving}

    def _match_right(self, left: Features, right: RightView) -> Matches:
        return self.matcher.match(left, self.matcher.encode(right.image, right.mask))

    def _choose_keyframe(
        self, needed: bool, failed: bool, frame: Frame, features: Features
    ) -> bool:
        every = self._options.reference == 'previous' and not failed
        if not (needed or self._keyframe_requested or every):
            return False
        self._keyframe_requested = False
        if failed and self._reference is not None:
            following = _Reference.of(frame, features)
            following.before_gap = self._reference.before_gap or self._reference
            self._tracks.forget()
        else:
            features, starts = self.matcher.starting_at(features, self._tracks.landed)
            following = _Reference.of(frame, features)
            self._tracks.hand_over(starts)
        self._reference = following
        return True

    def _timed(self, call: Callable[[], Result]) -> tuple[Result, float]:
        start = self._timer()
        result = call()
        return result, self._timer() - start


def _frozen(reference: Frame, query: Frame, seconds: float) -> TrackingResult:
    reason = 'the image is frozen: it equals the last one in every pixel'
    return TrackingResult(
        reference=reference,
        query=query,
        matches=Matches.empty(),
        track_ids=np.empty(0, dtype=np.int64),
        pose=RelativePose.failed(PoseState.LOST, reason),
        new_keyframe=False,
        seconds={'encode': 0.0, 'match': 0.0, 'pose': 0.0, 'total': seconds},
        state=TrackingState.FROZEN,
    )
