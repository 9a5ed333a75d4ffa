"""Whether exported graphs give the matches of the weights that they were made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loftr_ros.matching.matcher import Matcher
    from loftr_ros.matching.matches import Matches

LARGEST_SHIFT = 1e-2
"""Px by which points may differ; float32 summed in another order moves them by 1e-4 px."""

LEAST_SHARED = 0.995
"""Share of matches that must be the same; ties and the threshold decide about the others."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How alike the matches of two matchers are.

    Attributes:
        matches: Number of matches of each.
        shared: Number of cells of the reference that both match to the same place.
        shift: Largest distance between points of shared matches along an axis, px.
        confidence: Largest difference in confidence of shared matches.
    """

    matches: tuple[int, int]
    shared: int
    shift: float
    confidence: float

    @property
    def holds(self) -> bool:
        """Whether the matches are the same up to rounding and ties."""
        return self.shift <= LARGEST_SHIFT and self.shared >= LEAST_SHARED * max(self.matches)

    def __str__(self) -> str:
        """Describe it in a line."""
        first, second = self.matches
        return (
            f'{first} matches by torch, {second} by the export, {self.shared} shared; points '
            f'within {self.shift:.1g} px, confidence within {self.confidence:.1g}'
        )


def agreement(matches0: Matches, matches1: Matches, same_place: float) -> Agreement:
    """Compare the matches of two matchers on one pair of images.

    Args:
        matches0: Of one matcher.
        matches1: Of the other.
        same_place: Px of the query image within which two matches of a cell are the same match.
    """
    _, index0, index1 = np.intersect1d(
        matches0.reference_cells, matches1.reference_cells, return_indices=True
    )
    shifts = np.abs(matches0.query_points[index0] - matches1.query_points[index1])
    shift = shifts.max(axis=1, initial=0.0)
    same = shift <= same_place
    confidence = np.abs(matches0.confidence[index0] - matches1.confidence[index1])
    return Agreement(
        matches=(len(matches0), len(matches1)),
        shared=int(same.sum()),
        shift=float(shift[same].max(initial=0.0)),
        confidence=float(confidence[same].max(initial=0.0)),
    )


def check_export(
    original: Matcher, exported: Matcher, reference: NDArray[Any], query: NDArray[Any]
) -> Agreement:
    """Match a pair of images by both.

    Raises:
        ImageError: An image cannot be used, or the export is for another size.
    """
    features = original.encode(reference)
    matches0 = original.match(features, original.encode(query))
    matches1 = exported.match_images(reference, query)
    # Another cell of the query is farther away than half of one.
    cell = original.network.config.stride / min(features.scale)
    return agreement(matches0, matches1, cell / 2)
