"""Loops: keyframes that show a place of long ago, verified by matching."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from loftr_ros.frontend.frame import Frame, FrameError
from loftr_ros.frontend.keyframe_search import Features, KeyframeSearch
from loftr_ros.frontend.keyframes import TILES, covered_tiles
from loftr_ros.frontend.loop_options import LoopOptions, Verification
from loftr_ros.frontend.places import Located, Place, PlaceMemory, Signature
from loftr_ros.frontend.tracker import TrackingResult
from loftr_ros.geometry import RelativePose
from loftr_ros.geometry.rotations import rotation_vector
from loftr_ros.geometry.transforms import inverse_transform
from loftr_ros.geometry.types import Array
from loftr_ros.matching.matches import Matches

_SMALLEST_STEP = 1e-6
"""Keeps the step of a camera that sees nothing but the same from being zero."""
_ARC_POINTS = 33


@dataclass(frozen=True, eq=False)
class LoopClosure:
    """Two keyframes, long apart, that show the same place.

    Attributes:
        reference: The older keyframe, its image in grey.
        query: The later keyframe.
        matches: Between them; sigma is that of the points in the reference.
        pose: Pose of the query camera in the reference camera.
        steps: How much the views differ, in typical steps from one keyframe to the next.
    """

    reference: Frame
    query: Frame
    matches: Matches
    pose: RelativePose
    steps: float

    @classmethod
    def backward(cls, result: TrackingResult, steps: float) -> LoopClosure:
        """Return the loop that a match of the later keyframe with the older one makes."""
        matches, pose = _swapped(result.matches), result.pose.inverse()
        return cls(result.query, result.reference, matches, pose, steps)


@dataclass(frozen=True, eq=False)
class LoopSearch:
    """What a search at one keyframe came to.

    Attributes:
        query: The keyframe.
        candidate: The place that looks most alike, matched; None if none looks alike enough.
        rejection: Why the candidate is not believed; empty if it is, or is to be confirmed.
        closures: The loops that are certain now: none, or the candidate, and before it the same
            place seen from the keyframe before if that waited to be confirmed.
        seconds: Time spent on the 'signature', the 'search' and the verification: 'encode',
            'match', 'pose' (and 'depth') and 'total', s.
    """

    query: Frame
    candidate: LoopClosure | None
    rejection: str
    closures: tuple[LoopClosure, ...]
    seconds: dict[str, float]


@dataclass(frozen=True, eq=False)
class _Motion:
    """Motion from the keyframe that was searched last to the present one.

    Attributes:
        pose: (4, 4), m if `metric`; otherwise only of a single step the direction is known.
        metric: Whether all steps are in metres.
        steps: Number of keyframes.
    """

    pose: Array
    metric: bool
    steps: int


_NO_MOTION = _Motion(np.eye(4), True, 0)


@dataclass(frozen=True, eq=False)
class _Sighting:
    """A place that the last keyframe showed."""

    place: Place
    closure: LoopClosure
    confirmed: bool


@dataclass(eq=False)
class LoopCloser(KeyframeSearch[Features]):
    """Remember the keyframes of a tracker, and find those that show a place again.

    One place is verified at a keyframe: the one that looks most alike is matched to the present
    keyframe, and the pose estimated as any other. It counts only after a second keyframe in a row
    was matched to the same place, and both poses agree with the motion in between. A keyframe whose
    place is known is not remembered. Not for use by several threads at the same time.

    Attributes:
        memory: The keyframes that are remembered.
    """

    memory: PlaceMemory = field(init=False)
    _keyframe_ns: int | None = field(default=None, init=False)
    _motion: _Motion | None = field(default=None, init=False)
    _sighting: _Sighting | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Start without places."""
        self.memory = PlaceMemory(self.options.capacity)

    def replace_options(self, options: LoopOptions) -> None:
        """Use other options from the next keyframe on; places stay as far as there is room."""
        self.options = options
        self.memory.resize(options.capacity)

    def reset(self) -> None:
        """Forget all places."""
        self.memory.clear()
        self._keyframe_ns = self._searched_ns = None
        self._motion, self._sighting = None, None

    def update(
        self,
        result: TrackingResult | None,
        located: Located | None = None,
        known_ns: int | None = None,
    ) -> LoopSearch | None:
        """Go on by what the tracker returned for its last frame.

        Args:
            result: What it returned.
            located: Where the camera of that frame is; None if unknown.
            known_ns: Time of a keyframe that shows a saved place: it is not remembered.

        Returns:
            What the search came to; None if the frame is no keyframe, or one that follows too soon.
        """
        present = self.tracker.keyframe
        if present is None or not (result is None or result.new_keyframe):
            return None
        frame, features = present
        motion = None if result is None else result.pose.reference_T_query
        if located is not None and result and motion is not None and result.pose.metric:
            # Nothing was known of the first keyframe when it was remembered.
            reference = located.moved(inverse_transform(motion))
            self.memory.locate(result.reference.stamp_ns, reference)
        self._motion = self._moved(result)
        self._keyframe_ns = frame.stamp_ns
        if not self._is_due(frame):
            return None
        remembered = frame.stamp_ns != known_ns
        return self._search(frame, features, located, remembered)

    def _moved(self, result: TrackingResult | None) -> _Motion | None:
        """Return the motion since the last search; None where it is not known."""
        before = self._motion
        if before is None or result is None or result.reference.stamp_ns != self._keyframe_ns:
            return None
        pose = result.pose.reference_T_query
        if pose is None:
            return None
        metric = before.metric and result.pose.metric
        return _Motion(before.pose @ pose, metric, before.steps + 1)

    def _search(
        self, frame: Frame, features: Features, located: Located | None, remembered: bool
    ) -> LoopSearch:
        start = self.timer()
        signature = self.signature(features)
        pooled = self.timer()
        self.memory.note_step(signature)
        found = self._candidate(frame, signature)
        seconds = {'signature': pooled - start, 'search': self.timer() - pooled}
        sighting, rejection = None, ''
        if found is not None:
            sighting, rejection, spent = self._verify(*found)
            seconds |= spent
        closures = () if sighting is None or rejection else self._conclude(sighting)
        if sighting is None or rejection:
            self._sighting = None
            if remembered:
                self.memory.add(Place.of(frame, signature, located))
        self._motion = _NO_MOTION
        seconds['total'] = self.timer() - start
        candidate = None if sighting is None else sighting.closure
        return LoopSearch(frame, candidate, rejection, closures, seconds)

    def _candidate(self, frame: Frame, signature: Signature) -> tuple[Place, float] | None:
        """Return the place to verify, and how many typical steps it is away in appearance."""
        step = self.memory.typical_step
        if step is None:
            return None
        sighting = self._sighting
        if sighting is not None and not sighting.confirmed:
            return sighting.place, sighting.place.distance(signature) / max(step, _SMALLEST_STEP)
        age_ns = round(self.options.min_age_s * 1e9)
        nearest = self.memory.nearest(signature, frame.stamp_ns - age_ns)
        if nearest is None:
            return None
        place, distance = nearest
        steps = distance / max(step, _SMALLEST_STEP)
        return (place, steps) if steps <= self.options.max_steps else None

    def _verify(self, place: Place, steps: float) -> tuple[_Sighting | None, str, dict[str, float]]:
        """Match the present keyframe, which has the depth, to a place."""
        try:
            result = self.tracker.match_keyframe(place.frame)
        except FrameError as error:
            return None, str(error), {}
        closure = LoopClosure.backward(result, steps)
        rejection = result.scale_problem or doubt(closure, self.options.verification)
        before, confirmed = self._sighting, False
        if not rejection and before is not None and before.place is place and self._motion:
            rejection = self._contradiction(before.closure.pose, self._motion, closure.pose)
            confirmed = not rejection
        return _Sighting(place, closure, confirmed), rejection, result.seconds

    def _conclude(self, sighting: _Sighting) -> tuple[LoopClosure, ...]:
        """Return the closures that are certain by this sighting, and wait for the next."""
        before, self._sighting = self._sighting, sighting
        if not sighting.confirmed:
            return ()
        if before is None or before.confirmed:
            return (sighting.closure,)
        return before.closure, sighting.closure

    def _contradiction(self, first: RelativePose, motion: _Motion, second: RelativePose) -> str:
        """Return how two sightings of a place contradict the motion in between, or nothing."""
        if first.reference_T_query is None or second.reference_T_query is None:
            return 'a sighting has no pose'
        expected = first.reference_T_query @ motion.pose
        found = second.reference_T_query
        angle = np.linalg.norm(rotation_vector(found[:3, :3] @ expected[:3, :3].T))
        if angle > self.options.agreement.max_rotation:
            return f'two sightings of the place differ by {np.rad2deg(angle):.1f} deg'
        if not (first.metric and second.metric and motion.metric):
            return self._crossing(first.reference_T_query, motion, found)
        steps = (first.reference_T_query, motion.pose, found)
        length = sum(float(np.linalg.norm(step[:3, 3])) for step in steps)
        miss = float(np.linalg.norm(found[:3, 3] - expected[:3, 3]))
        if miss > self.options.agreement.allowed_distance(length):
            return f'two sightings of the place differ by {miss:.2f} m'
        return ''

    def _crossing(self, first: Array, motion: _Motion, second: Array) -> str:
        """Return how directions without scale contradict each other, or nothing.

        From the place, the second keyframe lies between the direction of the first and that of the
        motion, whatever the lengths are.
        """
        sides = first[:3, 3], first[:3, :3] @ motion.pose[:3, 3], second[:3, 3]
        if motion.steps != 1 or not all(side.any() for side in sides):
            return ''
        start, end, direction = (side / np.linalg.norm(side) for side in sides)
        miss = _off_arc(direction, start, end)
        if miss > self.options.agreement.max_direction:
            return f'the directions of two sightings contradict by {np.rad2deg(miss):.0f} deg'
        return ''


def doubt(closure: LoopClosure, limits: Verification) -> str:
    """Return why the pose of one pair of images is not believed, or nothing."""
    pose = closure.pose
    if not pose.state.has_pose or pose.covariance is None:
        return pose.reason
    inliers = int(pose.inliers.sum())
    if inliers < max(limits.min_inliers, limits.min_inlier_ratio * len(closure.matches)):
        return f'the pose explains only {inliers} of {len(closure.matches)} matches'
    coverage = min(_coverage(closure, True), _coverage(closure, False))
    if coverage < limits.min_coverage:
        return f'the matches cover only {coverage:.0%} of an image'
    sigma = float(np.sqrt(np.linalg.eigvalsh(pose.covariance[3:, 3:])[-1]))
    if sigma > limits.max_rotation_sigma:
        return f'the rotation is only known to {np.rad2deg(sigma):.1f} deg'
    return ''


def _off_arc(direction: Array, start: Array, end: Array) -> float:
    """Return the angle of a unit direction (3,) from all between two others, rad."""
    shares = np.linspace(0.0, 1.0, _ARC_POINTS)[:, None]
    between = (1.0 - shares) * start + shares * end
    lengths = np.maximum(np.linalg.norm(between, axis=1, keepdims=True), 1e-9)
    return float(np.arccos(np.clip(np.max(between / lengths @ direction), -1.0, 1.0)))


def _coverage(closure: LoopClosure, of_query: bool) -> float:
    """Return the share of the tiles of an image in which inliers lie."""
    inliers = closure.pose.inliers
    points = closure.matches.query_points if of_query else closure.matches.reference_points
    image = closure.query.image if of_query else closure.reference.image
    return covered_tiles(points[inliers], image.shape[:2]) / TILES**2


def _swapped(matches: Matches) -> Matches:
    """Return matches from the query to the reference, whose points are on no grid any more."""
    return Matches(
        matches.query_points,
        matches.reference_points,
        matches.confidence,
        matches.sigma,
        np.full(len(matches), -1, np.int64),
        (0, 0),
    )
