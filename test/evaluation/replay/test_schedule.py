"""Which frames a computer of a speed matches, aligns and drops: the same each time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from loftr_ros.evaluation.replay.schedule import DROPPED, Outcome, Pace, Schedule
from loftr_ros.frontend import Between, Frame, Session, SessionOptions
from loftr_ros.geometry import Camera
from loftr_ros.rendering.room import render_room_sequence
from test.helpers.flow_matcher import FlowMatcher


@pytest.fixture(scope='module')
def frames() -> list[Frame]:
    views = render_room_sequence(24, 320, 240, rate_hz=30.0)
    return [
        Frame(view.stamp_ns, view.image, 'camera', Camera(320, 240, view.matrix)) for view in views
    ]


def outcomes(frames: list[Frame], pace: Pace) -> list[Outcome]:
    options = SessionOptions(follow=pace.align)
    schedule = Schedule(Session(FlowMatcher(), options), Between(options), pace)
    found = [one for index, frame in enumerate(frames) for one in schedule.process(index, frame)]
    return [*found, *schedule.finish()]


def letters(found: list[Outcome]) -> str:
    """Write r for the first frame, m for matched, a for aligned, and d for dropped ones."""
    kinds = []
    for one in found:
        result = None if one.step is None else one.step.result
        kinds.append(('d' if one.dropped else 'r') if result is None else result.source.value[0])
    return ''.join(kinds)


def test_frames_that_come_during_a_match_are_aligned_with_the_one_before(
    frames: list[Frame],
) -> None:
    found = outcomes(frames, Pace(30.0, match_seconds=0.12))
    assert [one.key for one in found] == list(range(len(frames)))
    # There is nothing to align with before the first match is done.
    assert letters(found) == 'rddmdddmaaamaaamaaamaaam'


def test_without_alignment_the_newest_waits_and_the_others_are_dropped(
    frames: list[Frame],
) -> None:
    found = outcomes(frames, Pace(30.0, match_seconds=0.12, align=False))
    assert set(letters(found)) == {'r', 'd', 'm'}
    dropped = [one for one in found if one.dropped]
    assert {one.problem for one in dropped} == {DROPPED}


def test_a_computer_that_is_fast_enough_matches_all(frames: list[Frame]) -> None:
    assert letters(outcomes(frames, Pace(30.0, match_seconds=0.03))) == 'r' + 23 * 'm'


def test_the_stamps_say_when_frames_come_if_no_rate_is_given(frames: list[Frame]) -> None:
    given, stamped = (outcomes(frames, Pace(rate, match_seconds=0.12)) for rate in (30.0, None))
    assert letters(given) == letters(stamped)


def test_on_one_core_alignment_delays_matching(frames: list[Frame]) -> None:
    one, two = (letters(outcomes(frames, Pace(30.0, cores, 0.12))) for cores in (1, 2))
    assert one.count('m') < two.count('m')


def test_a_frame_that_cannot_be_aligned_waits_for_the_matcher(frames: list[Frame]) -> None:
    black = replace(frames[14], image=np.zeros((240, 320), np.uint8))
    found = outcomes([*frames[:14], black, *frames[15:]], Pace(30.0, match_seconds=0.12))
    assert [one.key for one in found] == list(range(len(frames)))
    step = found[14].step
    assert step is not None
    assert step.result is not None
    assert step.result.source.value == 'matched'
    assert not step.result.pose.state.has_pose


def test_a_frame_that_is_refused_says_why_and_the_next_goes_on(frames: list[Frame]) -> None:
    wrong = replace(frames[13], image=frames[13].image[:100])
    found = outcomes([*frames[:13], wrong, *frames[14:]], Pace(30.0, match_seconds=0.12))
    assert found[13].step is None
    assert 'calibration' in found[13].problem
    assert not found[13].dropped
    assert found[14].step is not None


def test_the_same_frames_give_the_same_results(frames: list[Frame]) -> None:
    def poses() -> list[npt.NDArray[np.float64] | None]:
        steps = [one.step for one in outcomes(frames, Pace(30.0, match_seconds=0.12))]
        results = [step.result for step in steps if step is not None]
        return [result.pose.reference_T_query for result in results if result is not None]

    first, second = poses(), poses()
    assert len(first) > 15
    for one, other in zip(first, second, strict=True):
        assert one is not None
        assert other is not None
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ('values', 'reason'),
    [
        ({'rate': 0.0}, 'rate'),
        ({'rate': float('nan')}, 'rate'),
        ({'cores': 0}, 'core'),
        ({'match_seconds': 0.0}, 'match'),
    ],
)
def test_a_pace_that_makes_no_sense_is_refused(values: dict[str, float], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Pace(**values)  # type: ignore[arg-type]
