"""Two matchers agree when their matches are the same up to rounding and ties."""

from __future__ import annotations

import numpy as np
import pytest

from loftr_ros.matching.export_check import agreement
from loftr_ros.matching.matches import Matches


def matches(count: int = 1000, shift: float = 0.0, confidence: float = 0.5) -> Matches:
    points = np.stack([np.arange(count), np.zeros(count)], axis=1).astype(np.float32) * 16
    return Matches(
        reference_points=points,
        query_points=points + np.float32(shift),
        confidence=np.full(count, confidence, np.float32),
        sigma=np.ones(count, np.float32),
        reference_cells=np.arange(count),
        reference_grid=(count, 1),
    )


def test_the_same_matches_agree() -> None:
    found = agreement(matches(), matches(shift=2**-8, confidence=0.5 + 2**-12), 8.0)

    assert found.holds
    assert (found.shared, found.shift, found.confidence) == (1000, 2**-8, 2**-12)


def test_points_that_moved_do_not_agree() -> None:
    assert not agreement(matches(), matches(shift=0.02), 8.0).holds


@pytest.mark.parametrize(('others', 'holds'), [(997, True), (990, False)])
def test_few_matches_may_be_missing(others: int, holds: bool) -> None:
    assert agreement(matches(), matches(others), 8.0).holds is holds
    assert agreement(matches(others), matches(), 8.0).holds is holds


def test_a_cell_matched_elsewhere_is_another_match() -> None:
    moved = matches()
    moved.query_points[:3] += 160
    found = agreement(matches(), moved, 8.0)

    assert found.shared == 997
    assert found.shift == 0
    assert found.holds


def test_no_matches_agree_with_no_matches_alone() -> None:
    assert agreement(matches(0), matches(0), 8.0).holds
    assert not agreement(matches(0), matches(5), 8.0).holds
