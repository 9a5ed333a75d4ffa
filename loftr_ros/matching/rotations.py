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

ENOUGH = 0.1
"""Sum of confidences, as a share of the cells that may match, below which other turns are tried.

On pairs of KITTI, EuRoC, 7-Scenes and TUM `lite` has 0.06 at most in a wrong turn, and 0.1 or more
in the right one but for a few of the widest (`benchmarks/rotations.py`).
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

    Attributes:
        encode: Features of the image in a turn.
        turn: The turn that is used: at first that of the image before.
        encoded: Features by turn.
    """

    encode: Callable[[int], Features]
    turn: int
    encoded: dict[int, Features] = field(default_factory=dict)

    def use(self, turn: int) -> Features:
        """Features in a turn, which is the one that is used from now on."""
        self.turn = turn
        if turn not in self.encoded:
            self.encoded[turn] = self.encode(turn)
        return self.encoded[turn]


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


def best_turn(query: Views[Features], match: Callable[[Features], Support]) -> Matches:
    """Match a query in its turn; where that finds little, in the others until one is enough.

    Args:
        query: Used from now on in the turn that was best.
        match: Matches the features of the query to the reference.
    """
    tried: dict[int, Support] = {}
    for turn in sorted(TURNS, key=lambda turn: (turn - query.turn) % 360):
        tried[turn] = match(query.use(turn))
        if tried[turn].is_enough:
            return tried[turn].matches
    best = max(tried, key=lambda turn: tried[turn].confidence)
    query.use(best)
    return tried[best].matches
