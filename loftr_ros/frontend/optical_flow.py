"""Points followed from one image to another by alignment: Lucas-Kanade on a pyramid.

J.-Y. Bouguet, "Pyramidal implementation of the Lucas Kanade feature tracker", Intel, 2001, in
OpenCV's implementation: on recorded sequences it is as accurate as `loftr_ros.matching.alignment`,
at an eighth of its time (benchmarks/following.py). A point counts if following it back leads to
where it came from (Z. Kalal et al., "Forward-backward error", ICPR 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]

WINDOW = 11
"""Side of the patches, px."""
LEVELS = 3
"""Halvings of the image: a prediction may miss by some 40 px."""
STEPS, SMALLEST_STEP = 20, 0.01
FARTHEST_BACK = 0.5
"""Distance from where it came at which a point that was followed back has another place, px."""
OWN_SIGMA = 0.3
"""Standard deviation per axis of a point that comes back exactly, px."""
BACK_SHARE = 0.5
"""Growth of the standard deviation with the distance at which it comes back."""
LEAST_CONTRAST = 1e-6

_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, STEPS, SMALLEST_STEP)
_MIDDLE, _SPREAD = 128.0, 50.0


@dataclass(frozen=True, eq=False)
class EvenImage:
    """A grey image of a standard brightness and contrast.

    Attributes:
        grey: uint8 (H, W).
    """

    grey: npt.NDArray[np.uint8]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.grey.shape[0], self.grey.shape[1]

    @classmethod
    def of(cls, image: npt.NDArray[Any]) -> EvenImage:
        """Take an image (H, W) or (H, W, 1 | 3 | 4) of any numbers, colour in RGB order."""
        grey = image if image.ndim == 2 else image[:, :, 0]
        if image.ndim == 3 and image.shape[2] >= 3:
            grey = cv2.cvtColor(np.ascontiguousarray(image[:, :, :3]), cv2.COLOR_RGB2GRAY)
        mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(grey))
        # Exposure and gain of the camera change; the alignment compares plain differences.
        gain = _SPREAD / max(deviation, LEAST_CONTRAST)
        if grey.dtype == np.uint8:
            table = np.arange(256, dtype=np.float64)
            table = np.clip(np.rint((table - mean) * gain + _MIDDLE), 0, 255)
            return cls(np.asarray(cv2.LUT(np.ascontiguousarray(grey), table.astype(np.uint8))))
        scaled = (grey.astype(np.float32) - mean) * gain + _MIDDLE
        return cls(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))

    def equals(self, other: EvenImage) -> bool:
        """Return whether both images are the same in every pixel."""
        return np.array_equal(self.grey, other.grey)


@dataclass(frozen=True, eq=False)
class Followed:
    """N points in another image.

    Attributes:
        points: float32 (N, 2), px.
        sigma: float32 (N,), standard deviation per axis of the distance they moved, px.
        found: bool (N,), whether each is to be believed.
    """

    points: Points
    sigma: npt.NDArray[np.float32]
    found: npt.NDArray[np.bool_]


def follow(image: EvenImage, other: EvenImage, points: Points, start: Points) -> Followed:
    """Follow points (N, 2) px of one image to another of the same size, and back again.

    Args:
        image: Where the points are.
        other: Where they are looked for.
        points: float32 (N, 2), px.
        start: float32 (N, 2), where they are expected, px.
    """
    if not len(points):
        return Followed(points, np.empty(0, np.float32), np.empty(0, np.bool_))
    there, seen = _align(image, other, points, start)
    back, returned = _align(other, image, there, points, levels=1)
    distance = np.linalg.norm(back - points, axis=1)
    height, width = other.size
    inside = ((there >= 0) & (there <= [width - 1, height - 1])).all(axis=1)
    found = seen & returned & inside & (distance < FARTHEST_BACK)
    sigma = np.hypot(OWN_SIGMA, BACK_SHARE * distance).astype(np.float32)
    return Followed(there, sigma, found)


def _align(
    image: EvenImage, other: EvenImage, points: Points, start: Points, levels: int = LEVELS
) -> tuple[Points, npt.NDArray[np.bool_]]:
    there, status, _ = cv2.calcOpticalFlowPyrLK(
        image.grey,
        other.grey,
        np.ascontiguousarray(points, np.float32),
        np.array(start, np.float32),
        winSize=(WINDOW, WINDOW),
        maxLevel=levels,
        criteria=_CRITERIA,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    return np.asarray(there, np.float32), np.asarray(status[:, 0] > 0)
