from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loftr_ros.frontend.neighbours import mutual_neighbours

COORDINATE = st.floats(-50, 700, width=32)
POINTS = st.lists(st.tuples(COORDINATE, COORDINATE), max_size=30)


def expected(first: np.ndarray, second: np.ndarray, radius: float) -> set[tuple[int, int]]:
    if not len(first) or not len(second):
        return set()
    distances = np.hypot(*np.moveaxis(first[:, None] - second[None], 2, 0))
    return {
        (i, j)
        for i, j in np.argwhere(distances <= radius).tolist()
        if distances[i, j] == distances[i].min() == distances[:, j].min()
    }


@settings(max_examples=100, deadline=None)
@given(POINTS, POINTS, st.floats(0.0, 60.0))
def test_pairs_are_nearest_to_each_other(
    first: list[tuple[float, float]], second: list[tuple[float, float]], radius: float
) -> None:
    one, other = (np.array(points, np.float32).reshape(-1, 2) for points in (first, second))
    pairs = set(zip(*map(np.ndarray.tolist, mutual_neighbours(one, other, radius)), strict=True))
    everything = expected(one, other, radius)
    assert pairs <= everything
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    # Points at the same distance compete; a pair without competition is always found.
    distances = np.linalg.norm(one[:, None] - other[None], axis=2)
    for i, j in everything - pairs:
        rivals = np.sum(distances[i] == distances[i, j]), np.sum(distances[:, j] == distances[i, j])
        assert max(rivals) > 1


def test_thousands_of_points_find_their_moved_selves() -> None:
    rng = np.random.default_rng(0)
    first = np.stack(np.meshgrid(np.arange(60), np.arange(50)), -1).reshape(-1, 2) * 8.0
    shuffled = rng.permutation(len(first))
    second = (first + rng.uniform(-1, 1, first.shape))[shuffled]
    one, other = mutual_neighbours(first.astype(np.float32), second.astype(np.float32), 2.0)
    assert len(one) == len(first)
    np.testing.assert_array_equal(shuffled[other], one)
