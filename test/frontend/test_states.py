from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from loftr_ros.frontend import Tracker, TrackerOptions, TrackingResult, TrackingState
from loftr_ros.frontend.states import checksum, next_state
from loftr_ros.geometry import PoseState

if TYPE_CHECKING:
    from test.frontend.conftest import World

T, S, RC, RS, F = (
    TrackingState.TRACKING,
    TrackingState.SEARCHING,
    TrackingState.RECOVERED,
    TrackingState.RESTARTED,
    TrackingState.FROZEN,
)
OPTIONS = TrackerOptions(
    min_survival=0.0, min_overlap=0.0, max_parallax=10.0, max_failures=3, min_matches=20
)
PREVIOUS = TrackerOptions(reference='previous', max_failures=3)


def run(
    world: World, numbers: list[int], options: TrackerOptions = OPTIONS
) -> list[TrackingResult]:
    """Track frames; the negative ones are black, each with other noise."""
    tracker, results = Tracker(world, options), []
    for index, number in enumerate(numbers, 1):
        frame = world.frame(max(number, 0), stamp_ns=100_000_000 * index)
        if number < 0:
            frame.image[-1, -1] = -number
        results.append(tracker.process(frame))
    return [result for result in results if result is not None]


def states(results: list[TrackingResult]) -> list[TrackingState]:
    return [result.state for result in results]


@pytest.mark.parametrize('options', [OPTIONS, PREVIOUS])
@pytest.mark.parametrize(
    ('numbers', 'expected'),
    [
        ([1, 2, 3], [T, T]),
        ([1, 2, -1], [T, S]),
        ([1, 2, -1, -2, 3], [T, S, S, RC]),
        ([1, 2, -1, 3, 4], [T, S, RC, T]),
        ([1, 2, -1, 3, -1, 4], [T, S, RC, S, RC]),
        ([1, 2, -1, -2, -3], [T, S, S, RS]),
        ([1, 2, -1, -2, -3, -4], [T, S, S, RS, S]),
        ([1, 2, -1, -2, -3, 3, 4], [T, S, S, RS, RC, T]),
        ([1, 2, -1, -2, -3, -4, -5, -6, -7, 3, 4], [T, S, S, RS, S, S, RS, S, RC, T]),
        ([1, 2, 2, 3], [T, F, T]),
        ([1, 1, 2], [F, T]),
        ([1, 2, -1, -1, 3], [T, S, F, RC]),
    ],
)
def test_each_transition(
    world: World,
    numbers: list[int],
    expected: list[TrackingState],
    options: TrackerOptions,
) -> None:
    assert states(run(world, numbers, options)) == expected


@pytest.mark.parametrize('options', [OPTIONS, PREVIOUS])
@pytest.mark.parametrize('gap', [1, 2, 3, 5, 8])
def test_after_a_gap_the_pose_links_to_the_keyframe_before_it(
    world: World, gap: int, options: TrackerOptions
) -> None:
    results = run(world, [1, 2, *range(-1, -gap - 1, -1), 4], options)
    last, before = results[-1], results[0]
    assert last.state is TrackingState.RECOVERED
    expected = before.query if before.new_keyframe else before.reference
    assert last.reference is expected
    assert last.pose.state is PoseState.OK


def test_ids_last_over_a_short_gap_and_are_new_after_a_long_one(world: World) -> None:
    short = run(world, [1, 2, -1, 3])
    assert set(short[0].track_ids) & set(short[-1].track_ids)
    long = run(world, [1, 2, -1, -2, -3, -4, 3])
    assert not set(long[0].track_ids) & set(long[-1].track_ids)


def test_the_keyframe_before_the_gap_is_forgotten_once_tracking_goes_on_elsewhere(
    world: World,
) -> None:
    world.kept_rows = {3: slice(0, 0), 4: slice(0, 0), 5: slice(0, 0)}
    results = run(world, [1, 3, 4, 5, 6, 7])
    assert states(results) == [S, S, RS, T, T]
    assert results[-1].reference.stamp_ns == 400_000_000


def test_a_frozen_image_has_no_pose_and_says_why(world: World) -> None:
    results = run(world, [1, 5, 5, 5, 6])
    assert states(results) == [T, F, F, T]
    for frozen in results[1:3]:
        assert frozen.pose.state is PoseState.LOST
        assert 'frozen' in frozen.pose.reason
        assert frozen.pose.covariance is None
        assert not len(frozen.matches)
        assert not frozen.new_keyframe
    assert results[-1].reference is results[0].reference


def test_a_frozen_image_is_not_encoded(world: World) -> None:
    run(world, [1, 5, 5, 5, 6])
    assert world.encoded == [1, 5, 6]


def test_a_reset_forgets_the_image(world: World) -> None:
    tracker = Tracker(world, OPTIONS)
    tracker.process(world.frame(1))
    tracker.process(world.frame(2))
    tracker.reset()
    assert tracker.process(world.frame(2)) is None
    result = tracker.process(replace(world.frame(2), stamp_ns=10**12))
    assert result is not None
    assert result.state is TrackingState.FROZEN


def test_next_state_is_complete() -> None:
    table = {
        (0, False, False): T,
        (0, False, True): T,
        (2, False, False): RC,
        (2, False, True): RC,
        (0, True, False): S,
        (2, True, False): S,
        (2, True, True): RS,
        (0, True, True): RS,
    }
    for arguments, expected in table.items():
        assert next_state(*arguments) is expected


def test_the_checksum_sees_one_grey_value_and_takes_any_layout() -> None:
    image = np.arange(60, dtype=np.uint8).reshape(6, 10)
    other = image.copy()
    other[5, 9] += 1
    assert checksum(image) == checksum(image.copy())
    assert checksum(image) != checksum(other)
    for strange in (image[:, ::2], image.T, image.astype(np.float32), np.dstack([image] * 3)):
        assert checksum(strange) == checksum(strange.copy())
