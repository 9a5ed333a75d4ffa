from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loftr_ros.frontend.tracks import Tracks
from loftr_ros.matching.matches import Matches

GRID = (8, 10)
PITCH = 10
EVERY = np.arange(GRID[0] * GRID[1])
TOLERANCE = 12.0


def matches_of(cells: np.ndarray | list[int], move: object = None) -> Matches:
    """Match cells of 10 px; `move` maps reference points to query points, by default onto them."""
    numbers = np.array(cells, dtype=np.int64)
    rows, columns = np.divmod(numbers, GRID[1])
    reference = np.column_stack([columns, rows]).astype(np.float32).reshape(-1, 2) * PITCH + 5
    query = move(reference).astype(np.float32) if callable(move) else reference
    ones = np.ones(len(numbers), np.float32)
    return Matches(reference, query, ones, ones, numbers, GRID)


def shifted(x: float, y: float) -> object:
    return lambda points: points + np.array([x, y])


def shaken(step: float, noise: float) -> object:
    rng = np.random.default_rng(0)
    return lambda points: points + step + noise * rng.normal(size=points.shape)


def test_an_id_belongs_to_its_cell_while_the_reference_lasts() -> None:
    tracks = Tracks(TOLERANCE)
    first = tracks.follow(matches_of([3, 7, 11])).ids
    second = tracks.follow(matches_of([11, 12, 3])).ids
    assert len(set(first)) == 3
    assert second[0] == first[2]
    assert second[2] == first[0]
    assert second[1] not in first


@pytest.mark.parametrize('move', [(0, 0), (10, 0), (3, -2), (4.9, 4.9), (27, 13)])
def test_ids_go_on_wherever_between_the_cells_they_land(move: tuple[float, float]) -> None:
    tracks = Tracks(TOLERANCE)
    before = tracks.follow(matches_of(EVERY, shifted(*move)))
    tracks.hand_over()
    after = tracks.follow(matches_of(EVERY, shifted(2, 1)))
    seen = dict(zip(before.ids, before.matches.query_points, strict=True))
    common = [i for i, n in enumerate(after.ids) if n in seen]
    inside = (before.matches.query_points > 0).all(axis=1)
    inside &= (before.matches.query_points < [PITCH * GRID[1], PITCH * GRID[0]]).all(axis=1)
    assert len(common) >= 0.95 * inside.sum()
    for i in common:
        # The point that is observed is that of the id, not the centre of the cell.
        np.testing.assert_allclose(after.matches.reference_points[i], seen[after.ids[i]], atol=1e-3)
        expected = seen[after.ids[i]] + [2, 1]
        np.testing.assert_allclose(after.matches.query_points[i], expected, atol=0.05)


def test_points_beside_the_centre_move_along_the_affine_motion_around_them() -> None:
    tracks = Tracks(TOLERANCE)
    tracks.follow(matches_of(EVERY, shifted(4, -3)))
    tracks.hand_over()
    matrix = np.array([[1.08, 0.05], [-0.04, 0.95]])
    after = tracks.follow(matches_of(EVERY, lambda points: points @ matrix.T))
    expected = after.matches.reference_points @ matrix.T
    assert np.abs(after.matches.reference_points % PITCH - 5).max() > 2
    np.testing.assert_allclose(after.matches.query_points, expected, atol=0.1)


def test_a_point_does_not_drift_over_many_handovers() -> None:
    tracks = Tracks(TOLERANCE)
    first = tracks.follow(matches_of(EVERY, shifted(3.3, 1.7)))
    start = dict(zip(first.ids, first.matches.reference_points, strict=True))
    for step in range(2, 8):
        tracks.hand_over()
        last = tracks.follow(matches_of(EVERY, shifted(3.3, 1.7)))
        common = [i for i, n in enumerate(last.ids) if n in start]
        assert len(common) > 10
        for i in common:
            moved = last.matches.query_points[i] - start[last.ids[i]]
            np.testing.assert_allclose(moved, [3.3 * step, 1.7 * step], atol=0.05)


def test_a_match_that_its_neighbours_contradict_is_not_seen_as_its_id() -> None:
    tracks = Tracks(TOLERANCE)
    before = tracks.follow(matches_of(EVERY)).ids

    def jump(points: np.ndarray) -> np.ndarray:
        moved = points.copy()
        moved[44] += 6.0
        return moved

    after = tracks.follow(matches_of(EVERY, jump)).ids
    assert after[44] not in before
    assert (np.delete(after, 44) == np.delete(before, 44)).all()
    assert tracks.follow(matches_of(EVERY)).ids[44] == before[44]


@pytest.mark.parametrize(
    ('jump', 'explained', 'believed'),
    [(3.0, True, True), (3.0, False, False), (6.0, True, False), (0.0, False, True)],
)
def test_the_pose_supports_what_stays_near_its_neighbours(
    jump: float, explained: bool, believed: bool
) -> None:
    tracks = Tracks(TOLERANCE)
    before = tracks.follow(matches_of(EVERY)).ids
    moved = matches_of(EVERY, shifted(0, 0))
    moved.query_points[44, 0] += jump
    after = tracks.follow(moved, np.full(len(EVERY), explained)).ids
    assert (after[44] == before[44]) == believed


def test_ids_go_on_from_the_points_that_the_matcher_starts_at() -> None:
    tracks = Tracks(TOLERANCE)
    before = tracks.follow(matches_of(EVERY, shaken(4.3, 0.5)))
    landed = tracks.landed
    assert len(landed) > 70
    has_start = np.arange(len(landed)) % 4 > 0
    starts = np.where(has_start[:, None], np.rint(landed), np.nan).astype(np.float32)
    tracks.hand_over(starts)
    cells = np.random.default_rng(0).permutation(EVERY)[: len(landed)]
    at = np.rint(landed).astype(np.float32)
    after = tracks.follow(replace(matches_of(cells), reference_points=at, query_points=at + 2))
    assert np.isin(after.ids[has_start], before.ids).mean() > 0.9
    assert not np.isin(after.ids[~has_start], before.ids).any()
    # What is observed is the point of the id, not the pixel beside it.
    went_on = np.isin(after.ids, before.ids)
    np.testing.assert_allclose(after.matches.query_points[went_on], landed[went_on] + 2, atol=0.05)


def followed(frames: list[Matches], tolerance: float = TOLERANCE) -> list[np.ndarray]:
    """Return the ids of each frame, the reference of which is the frame two before it."""
    tracks = Tracks(tolerance)
    ids = []
    for number, frame in enumerate(frames):
        ids.append(tracks.follow(frame).ids)
        if number % 2:
            tracks.hand_over()
    return ids


def shared(first: np.ndarray, second: np.ndarray) -> float:
    return len(set(first) & set(second)) / len(first)


@pytest.mark.parametrize('noise', [0.3, 1.0])
def test_noise_as_large_as_sigma_ends_few_ids(noise: float) -> None:
    rng = np.random.default_rng(1)
    frames = [
        matches_of(EVERY, lambda points: points + 2 + noise * rng.normal(size=points.shape))
        for _ in range(4)
    ]
    ids = followed(frames, 20.0)
    assert shared(ids[0], ids[1]) > 0.8
    assert shared(ids[1], ids[2]) > 0.5


def test_larger_images_of_the_same_view_have_the_same_ids() -> None:
    frames = [matches_of(EVERY, shaken(step, 0.8)) for step in (3, -1, 2, 4)]
    large = [
        replace(
            frame,
            reference_points=4 * frame.reference_points,
            query_points=4 * frame.query_points,
            sigma=4 * frame.sigma,
        )
        for frame in frames
    ]
    small_ids, large_ids = followed(frames), followed(large)
    assert shared(small_ids[0], small_ids[3]) > 0.1
    for one, other in zip(small_ids, large_ids, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_match_that_is_less_sure_has_to_agree_better() -> None:
    tracks = Tracks(TOLERANCE)
    before = tracks.follow(matches_of(EVERY)).ids
    moved = matches_of(EVERY, shifted(0, 0))
    moved.query_points[[24, 55]] += 0.7
    moved.sigma[24] = 4.0
    after = tracks.follow(moved).ids
    assert after[24] not in before
    assert after[55] == before[55]


def test_ids_end_when_they_have_gathered_more_error_than_the_tolerance() -> None:
    frames = [matches_of(EVERY, shaken(3, 0.8)) for _ in range(6)]
    none, some, large = (followed(frames, tolerance) for tolerance in (0.0, 14.0, 60.0))
    assert shared(none[1], none[2]) == 0.0
    assert shared(some[1], some[2]) > 0.5
    assert shared(some[1], some[4]) < 0.15
    assert shared(large[1], large[4]) > 0.3


def test_ids_end_where_neighbours_move_apart() -> None:
    tracks = Tracks(TOLERANCE)

    def torn(points: np.ndarray) -> np.ndarray:
        return points + np.random.default_rng(0).uniform(-20, 20, points.shape)

    before = tracks.follow(matches_of(EVERY, torn)).ids
    tracks.hand_over()
    assert not set(tracks.follow(matches_of(EVERY)).ids) & set(before)


def test_an_id_waits_until_its_cell_is_matched() -> None:
    tracks = Tracks(TOLERANCE)
    ids = tracks.follow(matches_of(EVERY)).ids
    tracks.hand_over()
    tracks.follow(matches_of(EVERY[:30]))
    assert (tracks.follow(matches_of(EVERY)).ids == ids).all()


def test_ids_are_not_given_again_after_forgetting() -> None:
    tracks = Tracks(TOLERANCE)
    before = tracks.follow(matches_of(EVERY)).ids
    tracks.forget()
    assert not set(tracks.follow(matches_of(EVERY)).ids) & set(before)


def test_matches_of_no_grid_get_an_id_each() -> None:
    tracks = Tracks(TOLERANCE)
    loose = matches_of([-1, -1, 4])
    ids = [*tracks.follow(loose).ids, *tracks.follow(matches_of([-1, 5, 6, 7, 8, 9])).ids]
    assert len(set(ids)) == len(ids)


def test_no_matches_have_no_ids() -> None:
    tracks = Tracks(TOLERANCE)
    assert tracks.follow(Matches.empty()).ids.shape == (0,)
    tracks.hand_over()
    assert len(tracks.follow(matches_of([0])).ids) == 1


FRAMES = st.lists(
    st.tuples(
        st.lists(st.integers(0, 79), min_size=0, max_size=80, unique=True),
        st.booleans(),
        st.floats(-12, 12),
        st.sampled_from([0.0, 0.5, 3.0]),
    ),
    max_size=10,
)


@settings(max_examples=60, deadline=None)
@given(FRAMES)
def test_no_id_is_ever_given_to_two_points(
    frames: list[tuple[list[int], bool, float, float]],
) -> None:
    tracks = Tracks(60.0)
    owner: dict[int, tuple[int, int]] = {}
    cell_ids: dict[int, dict[int, int]] = {}
    reference = 0
    for cells, becomes_reference, step, noise in frames:
        moved = matches_of(cells, shaken(step, noise))
        tracked = tracks.follow(moved)
        assert len(set(tracked.ids)) == len(tracked.ids)
        assert np.isfinite(tracked.matches.query_points).all()
        np.testing.assert_array_equal(tracked.matches.reference_cells, cells)
        for cell, number in zip(cells, tracked.ids.tolist(), strict=True):
            known = cell_ids.setdefault(reference, {})
            assert owner.setdefault(number, (reference, cell))[0] <= reference
            assert known.setdefault(number, cell) == cell
        if becomes_reference:
            tracks.hand_over()
            reference += 1
