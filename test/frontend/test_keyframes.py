from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loftr_ros.frontend import TrackerOptions
from loftr_ros.frontend.keyframes import (
    TILES,
    KeyframeHistory,
    covered_tiles,
    median_displacement,
    needs_keyframe,
)

if TYPE_CHECKING:
    from test.frontend.conftest import World

LAX = {'min_survival': 0.0, 'min_overlap': 0.0, 'max_parallax': 10.0}


def asks(world: World, numbers: list[int], **limits: float) -> list[bool]:
    """Return whether each of the frames should follow frame 1 as the keyframe."""
    options = TrackerOptions(**{**LAX, **limits})  # type: ignore[arg-type]
    history, keyframe = KeyframeHistory(), world.frame(1)
    return [needs_keyframe(history, keyframe, world.match(1, n), options) for n in numbers]


def test_a_keyframe_lasts_while_nothing_changes(world: World) -> None:
    world.step = (0.0, 0.0, 0.0)
    options = TrackerOptions()
    history, keyframe = KeyframeHistory(), world.frame(1)
    for number in range(2, 50):
        matches = world.match(1, number)
        assert not needs_keyframe(history, keyframe, matches, options)


def test_it_ends_one_frame_before_too_few_matches_would_survive(world: World) -> None:
    # Of 30 rows 24 and then 18 are left, so that 12 are expected.
    world.kept_rows = {3: slice(0, 24), 4: slice(0, 18)}
    assert asks(world, [2, 3, 4], min_survival=0.5) == [False, False, True]


def test_it_ends_one_frame_before_the_overlap_would_be_too_small(world: World) -> None:
    world.kept_rows = {3: slice(0, 24), 4: slice(0, 18)}
    assert asks(world, [2, 3, 4], min_overlap=0.5) == [False, False, True]


def test_matches_that_come_back_are_not_expected_to_become_more(world: World) -> None:
    world.kept_rows = {3: slice(0, 12), 4: slice(0, 15)}
    assert asks(world, [3, 2, 3, 4], min_survival=0.55) == [False, False, True, True]


def test_a_limit_of_zero_never_ends_it(world: World) -> None:
    world.kept_rows = {3: slice(0, 9), 4: slice(0, 2)}
    assert asks(world, [2, 3, 4]) == [False, False, False]


def test_parallax_ends_it(world: World) -> None:
    numbers = list(range(2, 16))
    asked = asks(world, numbers, max_parallax=0.08)
    first = numbers[asked.index(True)]
    assert median_displacement(world.match(1, first)) > 0.08 * 320
    assert median_displacement(world.match(1, first - 1)) <= 0.08 * 320


def test_a_frame_without_matches_does_not_end_it_but_several_in_a_row_do(world: World) -> None:
    assert asks(world, [0, 0, 2, 0, 0, 0], max_failures=3) == [False] * 5 + [True]


def test_a_pose_that_is_not_believed_makes_no_keyframe_but_several_in_a_row_do(
    world: World,
) -> None:
    options = TrackerOptions(max_parallax=0.001)
    history, keyframe = KeyframeHistory(), world.frame(1)
    asked = [needs_keyframe(history, keyframe, world.match(1, n), options, True) for n in (2, 3, 4)]
    assert asked == [False, False, True]


def test_tiles_count_where_matches_lie(world: World) -> None:
    matches = world.match(1, 1)
    assert covered_tiles(matches.reference_points, (240, 320)) == TILES**2
    world.kept_rows = {1: slice(0, 15)}
    assert covered_tiles(world.match(1, 1).reference_points, (240, 320)) == TILES**2 // 2


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('reference', 'first'),
        ('min_survival', 1.1),
        ('min_overlap', -0.1),
        ('min_overlap', float('nan')),
        ('max_parallax', 0.0),
        ('min_matches', 0),
        ('max_failures', 0),
        ('track_tolerance', -1.0),
        ('track_tolerance', float('inf')),
    ],
)
def test_options_out_of_range_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f'{name} must be'):
        TrackerOptions(**{name: value})  # type: ignore[arg-type]
