"""Rotations of an image by 90 degrees: which one matches, and pixels in the original image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loftr_ros.matching.matches import Matches

Features = TypeVar('Features')

ROTATIONS = (0, 90, 180, 270)

ENOUGH = 0.15
"""Least sum of confidences, as a share of the cells that may match, for no other to be tried.

In a wrong rotation `lite` has 0.06 at most on pairs of KITTI, EuRoC, 7-Scenes and TUM, and up to
0.1 on images of few cells; in the right one less than 0.15 on the widest baselines only
(`benchmarks/rotations.py`).
"""


def rotated(image: NDArray[Any], rotation: int) -> NDArray[Any]:
    """Image (H, W, ...) rotated counter-clockwise by 0, 90, 180 or 270 degrees."""
    return np.ascontiguousarray(np.rot90(image, rotation // 90))


def rotated_back(
    points: NDArray[np.float32], rotation: int, image_size: tuple[int, int]
) -> NDArray[np.float32]:
    """Pixels (N, 2) of the rotated image to pixels of the image before it; exact.

    Args:
        points: x and y, pixel centres at integers.
        rotation: Degrees by which the image was rotated counter-clockwise.
        image_size: Height and width of the image before.
    """
    x, y = points[:, 0], points[:, 1]
    right, bottom = np.float32(image_size[1] - 1), np.float32(image_size[0] - 1)
    columns = {0: (x, y), 90: (right - y, x), 180: (right - x, bottom - y), 270: (y, bottom - x)}
    return np.stack(columns[rotation], axis=1)


@dataclass
class Views(Generic[Features]):
    """One image in the rotations in which it was encoded so far.

    What is found depends on nothing else, so that a sequence ends in the same results whatever
    went before it.

    Attributes:
        encode: Features of the image in a rotation.
        encoded: Features by rotation.
        rotation: In which it matched; as a reference it stays in that.
        following: The rotation of the last query of this reference: the next is tried in it first.
    """

    encode: Callable[[int], Features]
    encoded: dict[int, Features] = field(default_factory=dict)
    rotation: int = 0
    following: int = 0

    def at(self, rotation: int) -> Features:
        """Features in a rotation."""
        if rotation not in self.encoded:
            self.encoded[rotation] = self.encode(rotation)
        return self.encoded[rotation]

    @property
    def features(self) -> Features:
        """Features in the rotation in which the image matched."""
        return self.at(self.rotation)


@dataclass(frozen=True)
class Support:
    """Matches, and what speaks for the rotation in which they were found.

    Attributes:
        matches: The matches.
        confidence: Sum of the confidences of all, also of those that were not kept.
        cells: Coarse cells that may match, of the image that has fewer.
    """

    matches: Matches
    confidence: float
    cells: int

    @property
    def is_enough(self) -> bool:
        """Whether no other rotation has to be tried."""
        return self.confidence >= ENOUGH * self.cells


def best_rotation(
    reference: Views[Features],
    query: Views[Features],
    match: Callable[[Features, Features], Support],
) -> Matches:
    """Match in the rotation of the query before; where that finds little, in the best of all.

    Args:
        reference: Noted in it: the rotation of the query.
        query: Noted in it: its rotation.
        match: Matches features of the reference and the query.
    """
    tried = {reference.following: match(reference.features, query.at(reference.following))}
    if not tried[reference.following].is_enough:
        others = (rotation for rotation in ROTATIONS if rotation != reference.following)
        tried |= {rotation: match(reference.features, query.at(rotation)) for rotation in others}
    best = max(tried, key=lambda rotation: tried[rotation].confidence)
    query.rotation = query.following = reference.following = best
    # The other rotations would hold memory for as long as the image is a reference.
    query.encoded = {best: query.at(best)}
    return tried[best].matches
