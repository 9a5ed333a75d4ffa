"""Classical odometry to compare with: corners followed by Lucas-Kanade, and PnP on known depth.

OpenCV's goodFeaturesToTrack, calcOpticalFlowPyrLK forward and back, and solvePnPRansac with a
refinement. Where frames have no depth the essential matrix gives rotation and direction, and the
same external distances that the others have give the length. After frames that show nothing it
goes on from the last good one; after `RESTART` of them it starts anew where constant velocity
leads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from loftr_ros.data.images import to_grey
from loftr_ros.frontend import Frame
from loftr_ros.geometry.transforms import (
    exponential,
    inverse_transform,
    logarithm,
    make_transform,
)

Array = npt.NDArray[np.float64]
Points = npt.NDArray[np.float32]
Distance = Callable[[int, int], float]

CORNERS, QUALITY, SPACING = 800, 0.01, 7
WINDOW, LEVELS, FARTHEST_BACK = (21, 21), 3, 1.0
PNP_ERROR = 2.0
FEWEST = 15
RENEW_SHARE = 0.5
"""A new keyframe is taken when fewer of its corners are left."""
RESTART = 4
_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 0.01)


@dataclass
class _Keyframe:
    """A frame, its corners with their rays, and where those are by now."""

    frame: Frame
    world_T_camera: Array
    rays: Array
    depths: Array
    image: npt.NDArray[np.uint8]
    points: Points
    count: int


class LucasKanade:
    """Odometry of one camera, frame by frame; the first camera is the world."""

    def __init__(self, distance: Distance) -> None:
        """Start; `distance` returns that between two times, ns, in metres, if depth does not."""
        self._distance = distance
        self._keyframe: _Keyframe | None = None
        self._poses: list[tuple[int, Array]] = []
        self._failures = 0

    def process(self, frame: Frame) -> Array | None:
        """Return the pose (4, 4) of the camera in the first one, m; None where it is not known."""
        keyframe, grey = self._keyframe, np.ascontiguousarray(to_grey(frame.image))
        if keyframe is None:
            self._keyframe = self._new(frame, grey, np.eye(4))
            self._poses = [(frame.stamp_ns, np.eye(4))]
            return np.eye(4)
        there, found = _follow(keyframe.image, grey, keyframe.points)
        pose = None
        if found.sum() >= FEWEST:
            kept = keyframe.rays[found], keyframe.depths[found]
            pose = self._pose(keyframe, frame, *kept, there[found])
        if pose is None:
            self._failed(frame, grey)
            return None
        self._failures = 0
        self._poses = [*self._poses[-1:], (frame.stamp_ns, pose)]
        keyframe.rays, keyframe.depths = keyframe.rays[found], keyframe.depths[found]
        keyframe.image, keyframe.points = grey, there[found]
        if found.sum() < RENEW_SHARE * keyframe.count:
            self._keyframe = self._new(frame, grey, pose) or keyframe
        return pose

    def _failed(self, frame: Frame, grey: npt.NDArray[np.uint8]) -> None:
        self._failures += 1
        if self._failures >= RESTART:
            fresh = self._new(frame, grey, self._predicted(frame.stamp_ns))
            if fresh is not None:
                self._keyframe, self._failures = fresh, 0
                self._poses = [(frame.stamp_ns, fresh.world_T_camera)]

    def _predicted(self, stamp_ns: int) -> Array:
        """Return the pose that constant velocity leads to."""
        last_ns, last = self._poses[-1]
        if len(self._poses) < 2:
            return last
        before_ns, before = self._poses[0]
        twist = logarithm(inverse_transform(before) @ last) / (last_ns - before_ns)
        return np.asarray(last @ exponential(twist * (stamp_ns - last_ns)))

    def _new(
        self, frame: Frame, grey: npt.NDArray[np.uint8], world_T_camera: Array
    ) -> _Keyframe | None:
        """Return a keyframe; None where it has too few corners."""
        corners = cv2.goodFeaturesToTrack(grey, CORNERS, QUALITY, SPACING)
        if corners is None or frame.camera is None:
            return None
        points = np.asarray(corners[:, 0], np.float32)
        rays = np.column_stack([frame.camera.normalize(points), np.ones(len(points))])
        depths = _depths(frame, grey, points)
        good = np.isfinite(rays).all(axis=1) & (np.isfinite(depths) | (frame.mode == 'mono'))
        if good.sum() < FEWEST:
            return None
        given = rays[good], depths[good], grey, points[good]
        return _Keyframe(frame, world_T_camera, *given, int(good.sum()))

    def _pose(
        self, keyframe: _Keyframe, frame: Frame, rays: Array, depths: Array, there: Points
    ) -> Array | None:
        if frame.camera is None:
            return None
        seen = frame.camera.normalize(there)
        good = np.isfinite(seen).all(axis=1)
        rays, depths, seen = rays[good], depths[good], seen[good]
        error = PNP_ERROR / frame.camera.focal_length
        if np.isfinite(depths).all():
            motion = _pnp(rays * depths[:, None], seen, error)
        else:
            length = self._distance(keyframe.frame.stamp_ns, frame.stamp_ns)
            motion = _essential(rays[:, :2], seen, 0.5 * error, length)
        return None if motion is None else keyframe.world_T_camera @ motion


def _follow(
    image: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8], points: Points
) -> tuple[Points, npt.NDArray[np.bool_]]:
    """Follow points (N, 2) px to another image and back."""
    given: dict[str, Any] = {'winSize': WINDOW, 'maxLevel': LEVELS, 'criteria': _CRITERIA}
    if not len(points):
        return points, np.zeros(0, np.bool_)
    there, seen, _ = cv2.calcOpticalFlowPyrLK(image, other, points, None, **given)  # type: ignore[call-overload]
    back, returned, _ = cv2.calcOpticalFlowPyrLK(other, image, there, None, **given)  # type: ignore[call-overload]
    near = np.linalg.norm(back - points, axis=1) < FARTHEST_BACK
    return np.asarray(there, np.float32), near & (seen[:, 0] > 0) & (returned[:, 0] > 0)


def _depths(frame: Frame, grey: npt.NDArray[np.uint8], points: Points) -> Array:
    """Return the depths (N,) of points, m, from the depth image or the right view."""
    if frame.depth is not None:
        column, row = np.rint(points).astype(int).T
        depth = np.asarray(frame.depth[row, column], np.float64)
        return np.where(depth > 0, depth, np.nan)
    if frame.right is None or frame.camera is None:
        return np.full(len(points), np.nan)
    right, shift = frame.right, frame.right.left_T_right[0, 3]
    there, found = _follow(grey, np.ascontiguousarray(to_grey(right.image)), points)
    rays, others = frame.camera.normalize(points), right.camera.normalize(there)
    disparity = rays[:, 0] - others[:, 0]
    pixel = 1.0 / frame.camera.focal_length
    level = np.abs(rays[:, 1] - others[:, 1]) < PNP_ERROR * pixel
    good = found & level & (disparity > pixel)
    return np.where(good, shift / np.where(good, disparity, 1.0), np.nan)


def _pnp(points: Array, seen: Array, error: float) -> Array | None:
    """Return the pose (4, 4) of the camera that sees 3-D points (N, 3) at rays (N, 2)."""
    if len(points) < FEWEST:
        return None
    ok, rotation, shift, inliers = cv2.solvePnPRansac(
        points,
        seen,
        np.eye(3),
        np.empty(0),
        iterationsCount=300,
        reprojectionError=error,
        confidence=0.999,
        flags=cv2.SOLVEPNP_EPNP,
    )
    if not ok or inliers is None or len(inliers) < FEWEST:
        return None
    kept = inliers[:, 0]
    refined = cv2.solvePnPRefineLM(
        points[kept], seen[kept], np.eye(3), np.empty(0), rotation, shift
    )
    camera_T_key = _transform(cv2.Rodrigues(refined[0])[0], refined[1])
    return inverse_transform(camera_T_key)


def _essential(rays: Array, seen: Array, error: float, length: float) -> Array | None:
    """Return the motion (4, 4) from rays (N, 2) to others, by the length of its translation."""
    if len(rays) < FEWEST:
        return None
    matrix, mask = cv2.findEssentialMat(rays, seen, np.eye(3), cv2.RANSAC, 0.999, error)
    if matrix is None or matrix.shape != (3, 3):
        return None
    count, rotation, shift, _ = cv2.recoverPose(matrix, rays, seen, np.eye(3), mask=mask)
    if count < FEWEST:
        return None
    return inverse_transform(_transform(rotation, length * shift))


def _transform(rotation: npt.ArrayLike, shift: npt.ArrayLike) -> Array:
    return make_transform(np.asarray(rotation, np.float64), np.ravel(shift).astype(np.float64))
