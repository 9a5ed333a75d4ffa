"""Places that keyframes showed, and a bounded memory of them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from loftr_ros.frontend.frame import Frame
from loftr_ros.geometry.types import Array

Signature = npt.NDArray[np.float32]

_STEPS = 50
"""The typical step between keyframes is the median of so many."""
_FEWEST_STEPS = 3
DEPTH_STEP = 4
"""Of the depth image one pixel is kept in a square of so many by so many."""


@dataclass(frozen=True, eq=False)
class Located:
    """Where a camera was.

    Attributes:
        chain: Number of the chain of motions that the pose is in. A gap of odometry begins another
            one, which lies anywhere to those before; 0 is the map.
        chain_T_camera: float64 (4, 4), pose of the camera in that chain, m.
    """

    chain: int
    chain_T_camera: Array

    def moved(self, motion: Array) -> Located:
        """Return where a camera is that has this pose (4, 4), m, in the camera here."""
        return Located(self.chain, self.chain_T_camera @ motion)


@dataclass(frozen=True, eq=False)
class Place:
    """What is kept of a keyframe: enough to be found and to be matched again.

    Attributes:
        frame: The keyframe with its image in grey, and without depth and right view: the present
            keyframe, which it is matched to, has them.
        signature: float32 (D,) of length 1; the dot product of two says how alike they look.
        located: Where the camera was; None if unknown.
        depth: float16 (H / 4, W / 4), every fourth pixel of the depth image, m, for a camera that
            comes back without depth; None where the keyframe had none.
    """

    frame: Frame
    signature: Signature
    located: Located | None = None
    depth: npt.NDArray[np.float16] | None = None

    @classmethod
    def of(cls, frame: Frame, signature: Signature, located: Located | None = None) -> Place:
        """Keep what is needed of a frame."""
        kept = replace(frame, image=_grey(frame.image), depth=None, right=None)
        return cls(kept, signature, located, _thinned(frame.depth))

    @property
    def map_T_camera(self) -> Array | None:  # noqa: N802 - names of frames
        """Pose (4, 4) of the camera in the map, m; None if unknown."""
        return in_map(self.located)

    @property
    def frame_in_metres(self) -> Frame:
        """The keyframe with its depth as far as it was kept: unknown where that was unknown."""
        if self.depth is None:
            return self.frame
        height, width = self.frame.image.shape[:2]
        rows, columns = (
            np.minimum(np.arange(size) // DEPTH_STEP, kept - 1)
            for size, kept in zip((height, width), self.depth.shape, strict=True)
        )
        depth = self.depth.astype(np.float32)[rows[:, None], columns]
        return replace(self.frame, depth=depth)

    def distance(self, signature: Signature) -> float:
        """Return how unlike another signature is: 0 for the same, 1 for nothing in common."""
        return max(0.0, 1.0 - float(self.signature @ signature))

    @property
    def size(self) -> int:
        """Memory that it takes, bytes."""
        depth = 0 if self.depth is None else self.depth.nbytes
        return int(self.frame.image.nbytes + self.signature.nbytes + depth)


class PlaceMemory:
    """Places in the order of their times, at most a given number of them.

    When there is one too many, the place goes whose neighbours in time look most alike: it is
    missed least, since the gap that it leaves along the path is the smallest (as points are left
    out of a line by M. Visvalingam and J. D. Whyatt, "Line generalisation by repeated elimination
    of points", 1993). So places lie close where the view changes fast, and a robot that stands or
    drives along a wall does not crowd out the rest. The first and the newest place stay.
    """

    def __init__(self, capacity: int) -> None:
        """Remember at most `capacity` places.

        Raises:
            ValueError: It is less than 3.
        """
        if capacity < 3:
            raise ValueError(f'a memory of places needs a capacity of 3 or more, not {capacity}')
        self.capacity = capacity
        self._places: list[Place] = []
        self._steps: deque[float] = deque(maxlen=_STEPS)
        self._last: Signature | None = None

    def __len__(self) -> int:
        """Return the number of places."""
        return len(self._places)

    @property
    def places(self) -> tuple[Place, ...]:
        """The places."""
        return tuple(self._places)

    @property
    def stamps(self) -> list[int]:
        """Times of the places, ns."""
        return [place.frame.stamp_ns for place in self._places]

    @property
    def size(self) -> int:
        """Memory that the places take, bytes."""
        return sum(place.size for place in self._places)

    @property
    def typical_step(self) -> float | None:
        """Median distance between keyframes that follow each other; None before there are some."""
        return float(np.median(self._steps)) if len(self._steps) >= _FEWEST_STEPS else None

    def note_step(self, signature: Signature) -> None:
        """Take note of how far the view has changed since the last keyframe."""
        if self._last is not None:
            self._steps.append(max(0.0, 1.0 - float(self._last @ signature)))
        self._last = signature

    def add(self, place: Place) -> None:
        """Remember a place, which is the newest, and forget another one if there are too many."""
        self._places.append(place)
        self.resize(self.capacity)

    def locate(self, stamp_ns: int, located: Located) -> None:
        """Say where the newest place is, if it is of this time and nothing is known of that."""
        if self._places and self._places[-1].frame.stamp_ns == stamp_ns:
            newest = self._places[-1]
            if newest.located is None:
                self._places[-1] = replace(newest, located=located)

    def resize(self, capacity: int) -> None:
        """Remember at most `capacity` places from now on."""
        self.capacity = capacity
        while len(self._places) > capacity:
            del self._places[self._least_missed()]

    def nearest(self, signature: Signature, before_ns: int) -> tuple[Place, float] | None:
        """Find the place that looks most alike among those not after a time, and its distance."""
        old = [place for place in self._places if place.frame.stamp_ns <= before_ns]
        if not old:
            return None
        distances = [place.distance(signature) for place in old]
        best = int(np.argmin(distances))
        return old[best], distances[best]

    def clear(self) -> None:
        """Forget all places."""
        self._places.clear()
        self._steps.clear()
        self._last = None

    def _least_missed(self) -> int:
        gaps = [
            before.distance(after.signature)
            for before, after in zip(self._places[:-2], self._places[2:], strict=True)
        ]
        return 1 + int(np.argmin(gaps))


def in_map(located: Located | None) -> Array | None:
    """Return the pose (4, 4) in the map, m; None where it is in another chain, or unknown."""
    return None if located is None or located.chain else located.chain_T_camera


def _thinned(depth: npt.NDArray[np.floating] | None) -> npt.NDArray[np.float16] | None:
    """Return the pixels in the middle of each square of the depth image; NaN where unknown."""
    if depth is None:
        return None
    start = [min(DEPTH_STEP // 2, size - 1) for size in depth.shape]
    kept = depth[start[0] :: DEPTH_STEP, start[1] :: DEPTH_STEP]
    known = np.isfinite(kept) & (kept > 0) & (kept <= np.finfo(np.float16).max)
    return np.where(known, kept, np.nan).astype(np.float16)


def _grey(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the grey values of an image, which are all that LoFTR sees, in an array of its own."""
    channels = image.shape[2] if image.ndim == 3 else 1
    if channels == 1:
        return image.reshape(image.shape[:2]).copy()
    values = image.astype(np.float32) if image.dtype.kind == 'f' else image
    code = cv2.COLOR_RGB2GRAY if channels == 3 else cv2.COLOR_RGBA2GRAY
    return np.asarray(cv2.cvtColor(values, code))
