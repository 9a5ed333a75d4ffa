"""Quarter turns of an image: which one matches, and pixels back to the image as it came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .matches import Matches

Features = TypeVar('Features')

TURNS = (0, 90, 180, 270)

ENOUGH = 0.15
"""Sum of confidences, as a share of the cells that may match, below which other turns are tried.

In a wrong turn `lite` has 0.06 at most on pairs of KITTI, EuRoC, 7-Scenes and TUM, and up to 0.1 on
images of few cells; in the right one less than 0.15 on the widest baselines only
(`benchmarks/rotations.py`).
"""


def turned(image: NDArray[Any], turn: int) -> NDArray[Any]:
    """Image (H, W, ...) rotated counter-clockwise by 0, 90, 180 or 270 degrees."""
    return np.ascontiguousarray(np.rot90(image, turn // 90))


def turned_back(
    points: NDArray[np.float32], turn: int, image_size: tuple[int, int]
) -> NDArray[np.float32]:
    """Pixels (N, 2) of the turned image to pixels of the image before it; exact.

    Args:
        points: x and y, pixel centres at integers.
        turn: Degrees by which the image was rotated counter-clockwise.
        image_size: Height and width of the image before.
    """
    x, y = points[:, 0], points[:, 1]
    right, bottom = np.float32(image_size[1] - 1), np.float32(image_size[0] - 1)
    columns = {0: (x, y), 90: (right - y, x), 180: (right - x, bottom - y), 270: (y, bottom - x)}
    return np.stack(columns[turn], axis=1)


@dataclass
class Views(Generic[Features]):
    """One image in the turns in which it was encoded so far.

    What is found depends on nothing else, so that a sequence ends in the same results whatever
    went before it.

    Attributes:
        encode: Features of the image in a turn.
        encoded: Features by turn.
        turn: In which it matched; as a reference it stays in that.
        following: The turn of the last query of this reference: the next is tried in it first.
    """

    encode: Callable[[int], Features]
    encoded: dict[int, Features] = field(default_factory=dict)
    turn: int = 0
    following: int = 0

    def at(self, turn: int) -> Features:
        """Features in a turn."""
        if turn not in self.encoded:
            self.encoded[turn] = self.encode(turn)
        return self.encoded[turn]

    @property
    def features(self) -> Features:
        """Features in the turn in which the image matched."""
        return self.at(self.turn)


@dataclass(frozen=True)
class Support:
    """Matches, and what speaks for the turn in which they were found.

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
        """Whether no other turn has to be tried."""
        return self.confidence >= ENOUGH * self.cells


def best_turn(
    reference: Views[Features],
    query: Views[Features],
    match: Callable[[Features, Features], Support],
) -> Matches:
    """Match in the turn of the query before; where that finds little, in the best of all.

    Args:
        reference: Noted in it: the turn of the query.
        query: Noted in it: its turn.
        match: Matches features of the reference and the query.
    """
    tried = {reference.following: match(reference.features, query.at(reference.following))}
    if not tried[reference.following].is_enough:
        others = (turn for turn in TURNS if turn != reference.following)
        tried |= {turn: match(reference.features, query.at(turn)) for turn in others}
    best = max(tried, key=lambda turn: tried[turn].confidence)
    query.turn = query.following = reference.following = best
    # The other turns would hold memory for as long as the image is a reference.
    query.encoded = {best: query.at(best)}
    return tried[best].matches
