"""Correspondences as the feature tracks of VINS-Mono and VINS-Fusion.

Plain Python: no ROS here. What the estimators expect is read from their sources: a feature is a
number that returns in every frame from its first to its last (feature_manager.cpp counts its
observations to identify their frames), seen on the undistorted plane z = 1 with its velocity there.
T. Qin, P. Li and S. Shen, "VINS-Mono: a robust and versatile monocular visual-inertial state
estimator", IEEE Transactions on Robotics, 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from loftr_ros.codecs.correspondences import Correspondences, View
from loftr_ros.geometry import Camera

Array = npt.NDArray[np.float64]

ID_COUNT = 2**24
"""Ids travel as float32, which holds whole numbers up to this; they start over there."""


@dataclass(frozen=True)
class FeatureOptions:
    """Options of `FeatureTracks`.

    Attributes:
        max_features: Greatest number of features of a frame, as `max_cnt` of VINS.
        min_distance: Least distance between two features of a frame, px, as its `min_dist`.
        max_sigma: Matches with a larger standard deviation are left out, px.
        max_gap_s: After so long without a message the estimator has to restart, s.

    Raises:
        ValueError: A field is out of its range.
    """

    max_features: int = 150
    min_distance: float = 20.0
    max_sigma: float = 3.0
    max_gap_s: float = 1.0

    def __post_init__(self) -> None:
        """Check all ranges."""
        for name in ('max_features', 'max_sigma', 'max_gap_s'):
            if not getattr(self, name) > 0:
                raise ValueError(f'{name} must be positive, not {getattr(self, name)!r}')
        if not 0 <= self.min_distance < float('inf'):
            raise ValueError(f'min_distance must be 0 or positive, not {self.min_distance!r}')


@dataclass(frozen=True, eq=False)
class Features:
    """What one frame sees of the features.

    Attributes:
        stamp_ns: Time of the frame, ns.
        ids: int64 (M,), from 0 to ID_COUNT - 1, unique within the frame; a number stays with its
            feature while that is seen in every frame, and is not given to another for long after.
        points: float64 (M, 2), x and y, px of the image as the camera published it.
        rays: float64 (M, 2), x and y on the undistorted plane z = 1.
        velocities: float64 (M, 2) of the rays, 1/s, since the last sight of the same point.
        sights: int64 (M,), frames that have seen the feature so far, its keyframe included.
    """

    stamp_ns: int
    ids: npt.NDArray[np.int64]
    points: Array
    rays: Array
    velocities: Array
    sights: npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Sight:
    """A feature as the last frame saw it."""

    number: int
    ray: Array
    stamp_ns: int
    sights: int


class FeatureTracks:
    """Converts one message after the other to features; not for use by several threads."""

    def __init__(self, options: FeatureOptions | None = None) -> None:
        """Begin without any feature."""
        self._options = options or FeatureOptions()
        self._last: dict[int, _Sight] = {}
        self._last_ns: int | None = None
        self._next = 0

    def breaks(self, stamp_ns: int) -> bool:
        """Return whether a frame of this time does not continue the ones before it."""
        if self._last_ns is None:
            return False
        return not 0 < stamp_ns - self._last_ns <= self._options.max_gap_s * 1e9

    def reset(self) -> None:
        """Forget all features; their numbers are not given again."""
        self._last, self._last_ns = {}, None

    def update(self, correspondences: Correspondences) -> Features | None:
        """Go on by one message.

        A feature seen for the first time was seen in the reference image, too, and moved since.

        Returns:
            The features; None where the pose of the frame, and with it every match, is in doubt.

        Raises:
            ValueError: An image is not calibrated, or the reference is not the earlier one.
        """
        stamp_ns = correspondences.query.stamp_ns
        if stamp_ns <= correspondences.reference.stamp_ns:
            raise ValueError('the reference is not before the query: these are no tracks in time')
        rays = _camera_of(correspondences.query, 'query').normalize(correspondences.query_points)
        reference_rays = _camera_of(correspondences.reference, 'reference').normalize(
            correspondences.reference_points
        )
        good = correspondences.inliers & (correspondences.sigma <= self._options.max_sigma)
        good &= np.isfinite(rays).all(axis=1) & np.isfinite(reference_rays).all(axis=1)
        chosen = self._choose(correspondences, np.flatnonzero(good))
        if not len(chosen):
            return None
        found = [self._sight(correspondences, rays, reference_rays, index) for index in chosen]
        self._last = {
            int(correspondences.track_ids[index]): sight
            for index, (sight, _) in zip(chosen, found, strict=True)
        }
        self._last_ns = stamp_ns
        return Features(
            stamp_ns,
            np.array([sight.number for sight, _ in found], np.int64),
            correspondences.query_points[chosen].astype(np.float64),
            rays[chosen],
            np.array([velocity for _, velocity in found]),
            np.array([sight.sights for sight, _ in found], np.int64),
        )

    def _choose(self, correspondences: Correspondences, good: npt.NDArray[Any]) -> list[int]:
        """Return matches far enough from each other: those of the longest tracks, then the best."""
        ids = correspondences.track_ids
        sights = [self._last[i].sights if i in self._last else 0 for i in ids[good].tolist()]
        free = np.full(correspondences.query.size, 255, np.uint8)
        chosen: list[int] = []
        for index in good[np.lexsort((correspondences.sigma[good], -np.array(sights)))]:
            x, y = np.round(correspondences.query_points[index]).astype(int).tolist()
            inside = 0 <= x < free.shape[1] and 0 <= y < free.shape[0]
            if len(chosen) == self._options.max_features or not inside or not free[y, x]:
                continue
            cv2.circle(free, (x, y), int(self._options.min_distance), 0, -1)
            chosen.append(int(index))
        return chosen

    def _sight(
        self, correspondences: Correspondences, rays: Array, reference_rays: Array, index: int
    ) -> tuple[_Sight, Array]:
        """Return the feature of a match, and its velocity."""
        last = self._last.get(int(correspondences.track_ids[index]))
        if last is None:
            last = _Sight(self._next, reference_rays[index], correspondences.reference.stamp_ns, 1)
            self._next = (self._next + 1) % ID_COUNT
        stamp_ns = correspondences.query.stamp_ns
        velocity = (rays[index] - last.ray) / ((stamp_ns - last.stamp_ns) / 1e9)
        return _Sight(last.number, rays[index], stamp_ns, last.sights + 1), velocity


def _camera_of(view: View, name: str) -> Camera:
    if view.camera is None:
        raise ValueError(f'the {name} image of {view.stamp_ns / 1e9:.3f} s is not calibrated')
    return view.camera
