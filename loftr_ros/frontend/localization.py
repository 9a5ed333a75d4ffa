"""Where a camera is in places that another run has left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from loftr_ros.frontend.frame import Frame, FrameError
from loftr_ros.frontend.keyframe_search import Features, KeyframeSearch
from loftr_ros.frontend.loops import LoopClosure, doubt
from loftr_ros.frontend.places import Located, Place, Signature, in_map
from loftr_ros.frontend.states import TrackingState
from loftr_ros.frontend.tracker import TrackingResult
from loftr_ros.geometry.rotations import rotation_vector
from loftr_ros.geometry.transforms import compound, inverse_transform
from loftr_ros.geometry.types import Array

_NO_COVARIANCE = np.zeros((6, 6))


@dataclass(frozen=True, eq=False)
class SavedPlaces:
    """Places of one map, as a file holds them.

    Attributes:
        places: In the order of their times; all poses are in one frame.
        typical_step: Median distance of signatures from one keyframe to the next; None where there
            were too few to know.
        weights_name: Name of the weights that the signatures come from.
        weights_hash: SHA-256 of the weights' file.
    """

    places: tuple[Place, ...]
    typical_step: float | None
    weights_name: str
    weights_hash: str


@dataclass(frozen=True, eq=False)
class Localization:
    """A keyframe that shows a saved place.

    Attributes:
        closure: The saved keyframe, which is the reference, and the present one.
        located: Where the present keyframe is among the places; None where the place has no pose,
            or the two images no scale.
        covariance: float64 (6, 6) of that pose, x y z rx ry rz about the axes of its chain, by the
            two images alone: places count as known exactly.
    """

    closure: LoopClosure
    located: Located | None
    covariance: Array | None

    @property
    def map_T_camera(self) -> Array | None:  # noqa: N802 - names of frames
        """Pose (4, 4) of the camera in the map, m; None if unknown."""
        return in_map(self.located)

    @classmethod
    def at(cls, place: Place, closure: LoopClosure) -> Localization:
        """Put the camera of a loop to where its place is."""
        pose, there = closure.pose, place.located
        if not pose.metric or pose.reference_T_query is None or pose.covariance is None:
            return cls(closure, None, None)
        if there is None:
            return cls(closure, None, None)
        motion = pose.reference_T_query, pose.covariance
        _, covariance = compound(there.chain_T_camera, _NO_COVARIANCE, *motion)
        return cls(closure, there.moved(pose.reference_T_query), covariance)

    def in_map(self, camera_T_base: Array) -> tuple[Array, Array] | None:
        """Return the pose (4, 4) of the base in the map, m, and its covariance (6, 6)."""
        if self.map_T_camera is None or self.covariance is None:
            return None
        return compound(self.map_T_camera, self.covariance, camera_T_base, _NO_COVARIANCE)


@dataclass(frozen=True, eq=False)
class PlaceSearch:
    """What a search among saved places came to.

    Attributes:
        query: The keyframe.
        found: Where it is, if that is certain.
        rejections: Why the places that were matched are not believed, the most alike first.
        matched: How many places were matched.
        seconds: Time spent on the 'signature', the 'search', 'verification' and in 'total', s.
    """

    query: Frame
    found: Localization | None
    rejections: tuple[str, ...]
    matched: int
    seconds: dict[str, float]

    def __str__(self) -> str:
        """Say what it came to."""
        if self.found is not None:
            inliers = int(self.found.closure.pose.inliers.sum())
            pose = 'its pose in the map' if self.found.map_T_camera is not None else 'no map pose'
            return f'{self.found.closure.reference}: {inliers} inliers, {pose}'
        if not self.matched:
            return f'no place looks like {self.query}'
        reasons = '; '.join(dict.fromkeys(self.rejections))
        return f'none of {self.matched} places that look like {self.query} fits: {reasons}'


@dataclass(eq=False)
class Localizer(KeyframeSearch[Features]):
    """Find the keyframes of a tracker in saved places.

    The places that look most alike are matched to the keyframe, and judged as loops are. A pose on
    which few matches agree counts only if a second saved place puts the camera to the same spot, or
    the keyframe before did and the motion in between agrees. Not for use by several threads at the
    same time.

    Attributes:
        typical_step: Of the saved places.
    """

    typical_step: float | None = field(default=None, init=False)
    _places: tuple[Place, ...] = field(default=(), init=False)
    _signatures: npt.NDArray[np.float32] = field(
        default_factory=lambda: np.empty((0, 0), np.float32), init=False
    )
    _before: tuple[Located, Array] | None = field(default=None, init=False)
    _lost: bool = field(default=True, init=False)

    @property
    def places(self) -> tuple[Place, ...]:
        """The saved places."""
        return self._places

    def load(self, saved: SavedPlaces) -> None:
        """Search these places instead of those before."""
        self._places = saved.places
        self._signatures = np.array([place.signature for place in saved.places], np.float32)
        self.typical_step = saved.typical_step
        self.reset()

    def reset(self) -> None:
        """Forget the keyframes; the places stay."""
        self._searched_ns = self._before = None
        self._lost = True

    def forget_motion(self) -> None:
        """Take note that the odometry frame lies elsewhere from now on."""
        self._before = None

    def update(
        self, result: TrackingResult | None, odom_T_camera: Array | None = None
    ) -> PlaceSearch | None:
        """Go on by what the tracker returned for its last frame.

        Args:
            result: What it returned.
            odom_T_camera: (4, 4) pose of the camera of that frame by odometry, m; None if unknown.

        Returns:
            What the search came to; None if there was none.
        """
        if not self._places or not (result is None or result.new_keyframe):
            return None
        if result is None or result.state is TrackingState.RESTARTED:
            self._lost, self._before = True, None
        return self._search_now(odom_T_camera)

    def search(self) -> PlaceSearch:
        """Search for the present keyframe at once.

        Raises:
            ValueError: There are no places, or there is no keyframe.
        """
        if not self._places:
            raise ValueError('there are no places to find the camera in: load some first')
        self._searched_ns, self._lost = None, True
        search = self._search_now(None)
        # The next keyframe, whose odometry is known, is to join that to the map.
        self._searched_ns = None
        if search is None:
            raise ValueError('no image has come yet')
        return search

    def _search_now(self, odom_T_camera: Array | None) -> PlaceSearch | None:
        if self.tracker.keyframe is None:
            return None
        frame, features = self.tracker.keyframe
        if not self._is_due(frame):
            return None
        start = self.timer()
        signature = self.signature(features)
        pooled = self.timer()
        near = self._most_alike(signature, self.options.places.candidates if self._lost else 1)
        searched = self.timer()
        found, rejections, matched = self._verify(frame, near, odom_T_camera)
        self._lost = self._lost and found is None
        end = self.timer()
        seconds = {
            'signature': pooled - start,
            'search': searched - pooled,
            'verification': end - searched,
            'total': end - start,
        }
        return PlaceSearch(frame, found, tuple(rejections), matched, seconds)

    def _most_alike(self, signature: Signature, count: int) -> list[tuple[Place, float]]:
        """Return the places to verify, and how many typical steps they are away in appearance."""
        if signature.shape != self._signatures.shape[1:]:
            return []
        # Where no step is known, matching alone decides.
        step = self.typical_step or np.inf
        steps = np.maximum(0.0, 1.0 - self._signatures @ signature) / step
        near = np.argsort(steps, kind='stable')[:count]
        limit = self.options.places.max_steps
        return [(self._places[i], float(steps[i])) for i in near if steps[i] <= limit]

    def _verify(
        self, frame: Frame, near: Iterable[tuple[Place, float]], odom_T_camera: Array | None
    ) -> tuple[Localization | None, list[str], int]:
        """Match places until it is certain where the camera is."""
        rejections: list[str] = []
        sightings: list[Localization] = []
        matched = 0
        for place, steps in near:
            matched += 1
            try:
                closure, rejection = self._matched(place, frame, steps)
            except FrameError as error:
                rejections.append(str(error))
                continue
            rejection = rejection or doubt(closure, self.options.places.verification)
            if rejection:
                rejections.append(rejection)
                continue
            sighting = Localization.at(place, closure)
            if self._is_certain(sighting, sightings, odom_T_camera):
                self._before = _joined(sighting, odom_T_camera)
                return sighting, rejections, matched
            sightings.append(sighting)
            inliers = int(closure.pose.inliers.sum())
            rejections.append(f'{inliers} inliers need a second place or keyframe that agrees')
        self._before = _joined(sightings[0], odom_T_camera) if sightings else None
        return None, rejections, matched

    def _matched(self, place: Place, frame: Frame, steps: float) -> tuple[LoopClosure, str]:
        """Match a place to the present keyframe; whichever has a depth gives the pose scale."""
        if frame.mode == 'mono' and place.depth is not None:
            result = self.tracker.match_pair(place.frame_in_metres, frame)
            matches, pose = result.matches, result.pose
            return LoopClosure(place.frame, frame, matches, pose, steps), result.scale_problem
        result = self.tracker.match_keyframe(place.frame)
        return LoopClosure.backward(result, steps), result.scale_problem

    def _is_certain(
        self, sighting: Localization, before: list[Localization], odom_T_camera: Array | None
    ) -> bool:
        if int(sighting.closure.pose.inliers.sum()) >= self.options.places.certain_inliers:
            return True
        here = sighting.located
        if here is None:
            return False
        others = [(other.located, _distance(other) + _distance(sighting)) for other in before]
        if self._before is not None and odom_T_camera is not None:
            there, odom_T_before = self._before
            motion = inverse_transform(odom_T_before) @ odom_T_camera
            length = float(np.linalg.norm(motion[:3, 3])) + _distance(sighting)
            others.append((there.moved(motion), length))
        return any(other and self._agree(here, other, length) for other, length in others)

    def _agree(self, here: Located, there: Located, length: float) -> bool:
        """Return whether two poses are the same, over motions of a length, m."""
        if here.chain != there.chain:
            return False
        first, second = here.chain_T_camera, there.chain_T_camera
        angle = np.linalg.norm(rotation_vector(first[:3, :3].T @ second[:3, :3]))
        miss = float(np.linalg.norm(first[:3, 3] - second[:3, 3]))
        limits = self.options.agreement
        return bool(angle <= limits.max_rotation and miss <= limits.allowed_distance(length))


def _distance(sighting: Localization) -> float:
    """Return how far the camera is from the place, m."""
    motion = sighting.closure.pose.reference_T_query
    return 0.0 if motion is None else float(np.linalg.norm(motion[:3, 3]))


def _joined(sighting: Localization, odom_T_camera: Array | None) -> tuple[Located, Array] | None:
    """Return where the camera is and the same by odometry; None where either is unknown."""
    if sighting.located is None or odom_T_camera is None:
        return None
    return sighting.located, odom_T_camera
