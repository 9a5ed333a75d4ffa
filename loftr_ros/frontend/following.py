"""Frames between two matched ones: the points of the last matched frame followed by alignment."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from loftr_ros.frontend.frame import Frame
from loftr_ros.frontend.gyroscope import Gyroscope
from loftr_ros.frontend.optical_flow import EvenImage, Followed, Points, follow
from loftr_ros.frontend.options import TrackerOptions
from loftr_ros.frontend.states import Source
from loftr_ros.frontend.tracker import Anchor, TrackingResult
from loftr_ros.geometry import Camera, RelativePose, follow_metric_pose, follow_relative_pose
from loftr_ros.geometry.rays import tile_indices
from loftr_ros.matching.matches import Matches

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

MOST_POINTS = 300
"""More make the pose no better, since neighbouring points err together, but later."""
LEAST_SHARE = 0.4
"""Share of the points below which a frame shows something else, or nothing."""
_ROUNDS = 4
_FEWEST = 8


@dataclass(frozen=True, eq=False)
class _Template:
    """What is followed from an anchor.

    Attributes:
        anchor: The matched frame.
        image: Its image.
        chosen: int64 (N,), which of its matches.
        points: float32 (N, 2), where they are in its image, px.
    """

    anchor: Anchor
    image: EvenImage
    chosen: Indices
    points: Points

    @classmethod
    def of(cls, anchor: Anchor) -> _Template:
        chosen = best_points(anchor, MOST_POINTS)
        points = anchor.matches.query_points[chosen]
        return cls(anchor, EvenImage.of(anchor.query.image), chosen, points)

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        return self.anchor.track_ids[self.chosen]


@dataclass(frozen=True, eq=False)
class _Sight:
    """Where points were in the last frame, and how they moved.

    Attributes:
        stamp_ns: Time of the frame, ns.
        image: Its image.
        ids: int64 (N,).
        points: float32 (N, 2), px.
        velocity: float64 (3, 2), of [1, x, y], affine over the image, px/s; where a gyroscope
            tells the rotation, of what is left beside it.
    """

    stamp_ns: int
    image: EvenImage
    ids: npt.NDArray[np.int64]
    points: Points
    velocity: Array

    def predict(self, stamp_ns: int, rotated: Points) -> Points:
        """Return where the points are at a time.

        Args:
            stamp_ns: The time, ns.
            rotated: float32 (N, 2), where a rotation of the camera alone would move them, px.
        """
        moved = _design(self.points) @ self.velocity * ((stamp_ns - self.stamp_ns) / 1e9)
        return np.asarray(rotated + moved, np.float32)


class Follower:
    """Follows the points of the keyframe that the last matched frame, the anchor, holds.

    Each point is aligned with its patch in the anchor's image, so that errors do not add up from
    frame to frame. A frame in which too few are found is left to the matcher. Not for use by
    several threads at the same time.
    """

    def __init__(
        self,
        options: TrackerOptions | None = None,
        timer: Callable[[], float] = time.perf_counter,
        gyroscope: Gyroscope | None = None,
    ) -> None:
        """Start with no points; `timer` returns seconds and is only used for `seconds`.

        A gyroscope of the camera predicts where they are.
        """
        self._gyroscope = gyroscope
        self.options = options or TrackerOptions()
        self._timer = timer
        self._template: _Template | None = None
        self._sight: _Sight | None = None

    def reset(self) -> None:
        """Forget what was followed."""
        self._template = self._sight = None

    def follow(self, frame: Frame, anchor: Anchor) -> TrackingResult | None:
        """Find the points of an anchor in a later frame, and its pose in the anchor's reference.

        Returns:
            The result, or None where too few points are found or no pose is believed.

        Raises:
            FrameError: The frame cannot be used.
        """
        start = self._timer()
        frame.check()
        if not _comparable(frame, anchor):
            return None
        image = EvenImage.of(frame.image)
        template, sight = self._at(anchor)
        if image.equals(sight.image):
            return None  # the tracker knows whether the camera is frozen
        rotated = self._rotated(sight, frame)
        followed = self._find(template, sight, frame, image, rotated)
        if followed is None:
            return None
        aligned = self._timer()
        result = _result(template, followed, frame, self.options)
        if result is None:
            return None
        self._remember(sight, template, followed, frame, image, rotated)
        end = self._timer()
        seconds = {'encode': 0.0, 'match': aligned - start, 'pose': end - aligned}
        return replace(result, seconds={**seconds, 'total': end - start})

    def _at(self, anchor: Anchor) -> tuple[_Template, _Sight]:
        """Return what is followed, and where it was in the last frame."""
        template, before = self._template, self._sight
        if template is not None and before is not None and template.anchor is anchor:
            return template, before
        template, query = _Template.of(anchor), anchor.query
        known = _Sight(
            query.stamp_ns, template.image, template.ids, template.points, np.zeros((3, 2))
        )
        if before is not None and before.stamp_ns > query.stamp_ns:
            _, old, new = np.intersect1d(before.ids, template.ids, return_indices=True)
            drift = _affine(template.points[new], before.points[old] - template.points[new])
            points = (template.points + _design(template.points) @ drift).astype(np.float32)
            points[new] = before.points[old]
            known = replace(before, ids=template.ids, points=points)
        elif before is not None:
            known = replace(known, velocity=before.velocity)
        self._template, self._sight = template, known
        return template, known

    def _rotated(self, sight: _Sight, frame: Frame) -> Points:
        """Return where the rotation by the gyroscope moves the points (N, 2), px.

        That is where they were if it knows none.
        """
        rotation = None
        if self._gyroscope is not None and frame.camera is not None:
            rotation = self._gyroscope.between(sight.stamp_ns, frame.stamp_ns)
        if rotation is None or frame.camera is None:
            return sight.points
        return _rotate(sight.points, rotation.start_R_end, frame.camera)

    def _find(
        self,
        template: _Template,
        sight: _Sight,
        frame: Frame,
        image: EvenImage,
        rotated: Points,
    ) -> Followed | None:
        """Follow from where the motion leads, or else from where the points were."""
        for start in (sight.predict(frame.stamp_ns, rotated), rotated):
            followed = follow(template.image, image, template.points, start)
            if frame.mask is not None:
                column, row = np.rint(followed.points).T.astype(np.int64)
                rows, columns = frame.mask.shape
                seen = frame.mask[np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1)]
                followed = replace(followed, found=followed.found & seen)
            count = int(followed.found.sum())
            least = LEAST_SHARE * len(template.points)
            if count >= max(least, self.options.min_matches):
                return followed
        return None

    def _remember(
        self,
        sight: _Sight,
        template: _Template,
        followed: Followed,
        frame: Frame,
        image: EvenImage,
        rotated: Points,
    ) -> None:
        found = followed.found
        seconds = (frame.stamp_ns - sight.stamp_ns) / 1e9
        moved = followed.points[found] - rotated[found]
        velocity = _affine(sight.points[found], moved) / seconds
        change = _affine(template.points[found], followed.points[found] - template.points[found])
        rest = (template.points + _design(template.points) @ change).astype(np.float32)
        points = np.where(found[:, None], followed.points, rest)
        self._sight = _Sight(frame.stamp_ns, image, template.ids, points, velocity)


def best_points(anchor: Anchor, most: int) -> Indices:
    """Return up to `most` matches (N,) of an anchor that its pose explains, all over the image.

    Of each tile the surest come first.
    """
    pose, matches = anchor.pose, anchor.matches
    able = np.flatnonzero(pose.inliers if pose.state.has_pose else np.ones(len(matches), bool))
    able = able[np.argsort(matches.sigma[able], kind='stable')]
    tiles = tile_indices(
        matches.query_points[able].astype(np.float64), anchor.query.image.shape[:2]
    )
    order = np.argsort(tiles, kind='stable')
    counts = np.bincount(tiles)
    rank = np.empty(len(able), np.int64)
    rank[order] = np.concatenate([np.arange(count) for count in counts]) if len(able) else []
    return np.sort(able[np.argsort(rank, kind='stable')[:most]])


def _comparable(frame: Frame, anchor: Anchor) -> bool:
    """Return whether a frame comes after an anchor, from the same camera."""
    size = anchor.query.image.shape[:2]
    calibrated = (frame.camera is None) == (anchor.query.camera is None)
    return frame.stamp_ns > anchor.query.stamp_ns and frame.image.shape[:2] == size and calibrated


def _result(
    template: _Template, followed: Followed, frame: Frame, options: TrackerOptions
) -> TrackingResult | None:
    """Return matches and pose of a frame; None where no pose is believed."""
    anchor, kept = template.anchor, np.flatnonzero(followed.found)
    which = template.chosen[kept]
    own = anchor.matches.select(which)
    sigma = np.hypot(own.sigma, followed.sigma[kept]).astype(np.float32)
    matches = replace(own, query_points=followed.points[kept], sigma=sigma)
    pose, problem = _pose(anchor, which, matches, frame, options)
    if not pose.state.has_pose and frame.camera is not None:
        return None
    # The points of ids that were handed over lie beside those of the matcher's cells.
    shift = anchor.tracked.query_points[which] - own.query_points
    tracked = replace(
        matches,
        reference_points=anchor.tracked.reference_points[which],
        query_points=(matches.query_points + shift).astype(np.float32),
    )
    return TrackingResult(
        reference=anchor.reference,
        query=frame,
        matches=tracked,
        track_ids=anchor.track_ids[which],
        pose=pose,
        new_keyframe=False,
        seconds={},
        scale_problem=problem,
        source=Source.ALIGNED,
    )


def _pose(
    anchor: Anchor, which: Indices, matches: Matches, frame: Frame, options: TrackerOptions
) -> tuple[RelativePose, str]:
    """Return the pose, and why it is not metric although it could be."""
    if anchor.reference.camera is None or frame.camera is None:
        return replace(anchor.pose, inliers=np.zeros(len(matches), np.bool_)), ''
    points = matches.reference_points, matches.query_points
    cameras = anchor.reference.camera, frame.camera
    weight = matches.sigma, matches.confidence
    if anchor.depths is not None:
        depths, metric = anchor.depths.select(which), options.metric
        pose = follow_metric_pose(
            *points, depths, cameras, *weight, anchor.pose, options.two_view, metric
        )
        return pose, ''
    pose = follow_relative_pose(*points, cameras, *weight, anchor.pose, options.two_view)
    return pose, anchor.problem


def _rotate(points: Points, start_R_end: Array, camera: Camera) -> Points:
    """Return where points (N, 2) px are after a rotation (3, 3) of the camera.

    Those that leave the view stay.
    """
    rays = np.column_stack([camera.normalize(points), np.ones(len(points))])
    there = camera.project(rays @ start_R_end)
    return np.asarray(np.where(np.isfinite(there), there, points), np.float32)


def _design(points: Points) -> Array:
    return np.column_stack([np.ones(len(points)), points.astype(np.float64)])


def _affine(points: Points, moved: Points) -> Array:
    """Fit `moved` (N, 2) by an affine function of `points` (N, 2): (3, 2) of [1, x, y].

    Least squares, reweighted by Cauchy's weights with the median distance as scale.
    """
    result = np.zeros((3, 2))
    if len(points) < _FEWEST:
        return result
    design, weight = _design(points), np.ones(len(points))
    for _ in range(_ROUNDS):
        weighted = design.T * weight
        normal = weighted @ design + np.diag([1e-9, 1e-3, 1e-3])
        result = np.linalg.solve(normal, weighted @ moved)
        distance = np.linalg.norm(design @ result - moved, axis=1)
        scale = max(float(np.median(distance)), 0.1)
        weight = 1.0 / (1.0 + (distance / scale) ** 2)
    return result
