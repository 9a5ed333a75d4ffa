from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loftr_ros.frontend.tracks import TrackIds
from loftr_ros.matching.matches import Matches

GRID = (4, 5)


def matches_of(
    cells: list[int], query: list[tuple[float, float]] | None = None, grid: tuple[int, int] = GRID
) -> Matches:
    """Match cells of 10 px; by default nothing moves."""
    numbers = np.array(cells, dtype=np.int64)
    rows, columns = np.divmod(numbers, grid[1])
    reference = np.column_stack([columns, rows]).astype(np.float32) * 10 + 5
    moved = reference if query is None else np.array(query, np.float32).reshape(-1, 2)
    ones = np.ones(len(cells), np.float32)
    return Matches(reference.reshape(-1, 2), moved, ones, ones, numbers, grid)


def test_an_id_belongs_to_its_cell_while_the_reference_lasts() -> None:
    tracks = TrackIds(2.0)
    first = tracks.assign(matches_of([3, 7, 11]))
    second = tracks.assign(matches_of([11, 12, 3]))
    assert len(set(first)) == 3
    assert second[0] == first[2]
    assert second[2] == first[0]
    assert second[1] not in first


def test_the_next_reference_goes_on_with_the_ids_that_land_on_its_cells() -> None:
    tracks = TrackIds(2.0)
    # Cell 0 moves onto the centre of cell 1, cell 6 lands 1 px beside cell 7, cell 12 between two.
    last = matches_of([0, 6, 12], [(15, 5), (26, 15), (30, 25)])
    ids = tracks.assign(last)
    tracks.hand_over(last, ids)
    after = tracks.assign(matches_of([1, 7, 12, 13]))
    assert list(after[:2]) == list(ids[:2])
    assert not set(after[2:]) & set(ids)


def test_the_nearest_of_several_points_keeps_its_id() -> None:
    tracks = TrackIds(4.0)
    last = matches_of([0, 1, 2], [(8, 5), (6, 5), (1.5, 5)])
    ids = tracks.assign(last)
    tracks.hand_over(last, ids)
    assert tracks.assign(matches_of([0]))[0] == ids[1]


def test_an_id_waits_until_its_cell_is_matched() -> None:
    tracks = TrackIds(2.0)
    last = matches_of([0, 6])
    ids = tracks.assign(last)
    tracks.hand_over(last, ids)
    tracks.assign(matches_of([3]))
    assert tracks.assign(matches_of([6]))[0] == ids[1]


def test_without_a_radius_only_exact_hits_are_handed_over() -> None:
    tracks = TrackIds(0.0)
    last = matches_of([0, 1], [(5.5, 5), (15, 5)])
    ids = tracks.assign(last)
    tracks.hand_over(last, ids)
    after = tracks.assign(matches_of([0, 1]))
    assert after[0] != ids[0]
    assert after[1] == ids[1]


def test_ids_are_not_given_again_after_forgetting() -> None:
    tracks = TrackIds(5.0)
    before = tracks.assign(matches_of([0, 1, 2]))
    tracks.forget()
    assert not set(tracks.assign(matches_of([0, 1, 2]))) & set(before)


def test_matches_of_no_grid_get_an_id_each() -> None:
    tracks = TrackIds(2.0)
    loose = matches_of([-1, -1, 4])
    ids = [*tracks.assign(loose), *tracks.assign(matches_of([-1, 5, 6, 7, 8, 9]))]
    assert len(set(ids)) == len(ids)


def test_no_matches_have_no_ids() -> None:
    tracks = TrackIds(2.0)
    assert tracks.assign(Matches.empty()).shape == (0,)
    tracks.hand_over(Matches.empty(), np.empty(0, np.int64))
    assert len(tracks.assign(matches_of([0]))) == 1


FRAMES = st.lists(
    st.tuples(
        st.lists(st.integers(0, 19), min_size=0, max_size=20, unique=True),
        st.booleans(),
        st.integers(-12, 12),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(FRAMES)
def test_no_id_is_ever_given_to_two_points(frames: list[tuple[list[int], bool, int]]) -> None:
    tracks = TrackIds(3.0)
    owner: dict[tuple[int, int], int] = {}
    reference = 0
    for cells, becomes_reference, shift in frames:
        matches = matches_of(cells)
        moved = matches_of(cells, [(x + shift, y) for x, y in matches.reference_points])
        ids = tracks.assign(moved)
        assert len(set(ids)) == len(ids)
        for cell, number in zip(cells, ids, strict=True):
            assert owner.setdefault((reference, cell), int(number)) == number
        if becomes_reference:
            tracks.hand_over(moved, ids)
            reference += 1
