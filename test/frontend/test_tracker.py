from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from loftr_ros.frontend import Frame, FrameError, Tracker, TrackerOptions, TrackingResult
from loftr_ros.geometry import PoseState, TwoViewOptions

if TYPE_CHECKING:
    from test.frontend.conftest import World

PREVIOUS = TrackerOptions(reference='previous')
STEADY = TrackerOptions(min_survival=0.0, min_overlap=0.0, max_parallax=10.0)


def run(tracker: Tracker[int], world: World, numbers: range | list[int]) -> list[TrackingResult]:
    results = [tracker.process(world.frame(number)) for number in numbers]
    return [result for result in results if result is not None]


def test_the_first_frame_becomes_the_reference(world: World) -> None:
    tracker = Tracker(world, PREVIOUS)
    assert tracker.process(world.frame(1)) is None
    result = tracker.process(world.frame(2))
    assert result is not None
    assert result.reference.stamp_ns < result.query.stamp_ns


def test_the_motion_between_frames_is_estimated(world: World) -> None:
    world.noise = 0.1
    result = run(Tracker(world, STEADY), world, [1, 6])[0]
    assert result.pose.state is PoseState.OK
    assert result.pose.reference_T_query is not None
    moved = world.position(6) - world.position(1)
    np.testing.assert_allclose(
        result.pose.reference_T_query[:3, 3], moved / np.linalg.norm(moved), atol=0.05
    )
    np.testing.assert_allclose(result.pose.reference_T_query[:3, :3], np.eye(3), atol=0.01)
    assert result.pose.inliers.shape == (len(result.matches),) == result.track_ids.shape


def test_with_previous_each_frame_is_the_next_reference(world: World) -> None:
    results = run(Tracker(world, PREVIOUS), world, range(1, 6))
    assert [result.new_keyframe for result in results] == [True] * 4
    for before, after in itertools.pairwise(results):
        assert after.reference is before.query


def test_with_keyframe_the_reference_stays_until_the_rule_ends_it(world: World) -> None:
    options = TrackerOptions(min_survival=0.0, min_overlap=0.0, max_parallax=0.04)
    results = run(Tracker(world, options), world, range(1, 20))
    assert 1 < sum(result.new_keyframe for result in results) < 10
    for before, after in itertools.pairwise(results):
        assert after.reference is (before.query if before.new_keyframe else before.reference)


@pytest.mark.parametrize('options', [PREVIOUS, STEADY, TrackerOptions()])
def test_each_image_is_encoded_once(world: World, options: TrackerOptions) -> None:
    run(Tracker(world, options), world, range(1, 12))
    assert world.encoded == list(range(1, 12))


def test_ids_stay_with_the_points_of_a_keyframe(world: World) -> None:
    results = run(Tracker(world, STEADY), world, range(1, 8))
    cell_of: dict[int, int] = {}
    for result in results:
        for number, cell in zip(result.track_ids, result.matches.reference_cells, strict=True):
            assert cell_of.setdefault(int(number), int(cell)) == cell


@pytest.mark.parametrize('noise', [0.0, 0.2])
def test_an_id_follows_one_point_of_the_scene_over_keyframes(world: World, noise: float) -> None:
    world.noise = noise
    options = TrackerOptions(min_survival=0.0, min_overlap=0.0, max_parallax=0.05)
    results = run(Tracker(world, options), world, range(1, 25))
    assert sum(result.new_keyframe for result in results) >= 3
    first_seen: dict[int, np.ndarray] = {}
    handed_over, errors = set(), []
    for result in results:
        reference = int(result.reference.image[0, 0])
        _, points = world.points_of_cells(reference)
        truth = points[result.matches.reference_cells]
        query = int(result.query.image[0, 0])
        for number, point, seen in zip(
            result.track_ids, truth, result.matches.query_points, strict=True
        ):
            point0 = first_seen.setdefault(int(number), point)
            if not np.allclose(point, point0):
                handed_over.add(int(number))
            expected = world.camera.project((point0 - world.position(query))[None])[0]
            errors.append(np.linalg.norm(seen - expected))
    assert len(handed_over) > 20
    assert np.mean(np.array(errors) < 2.0 + 3 * noise) > 0.95


def test_ids_within_a_frame_are_unique(world: World) -> None:
    for result in run(Tracker(world, PREVIOUS), world, range(1, 10)):
        assert len(np.unique(result.track_ids)) == len(result.track_ids)


def test_a_black_frame_does_not_end_the_keyframe(world: World) -> None:
    tracker = Tracker(world, STEADY)
    black = replace(world.frame(0), stamp_ns=world.frame(3).stamp_ns)
    tracker.process(world.frame(1))
    before = tracker.process(world.frame(2))
    lost = tracker.process(black)
    after = tracker.process(world.frame(4))
    assert before is not None
    assert lost is not None
    assert after is not None
    assert lost.pose.state is PoseState.TOO_FEW_MATCHES
    assert not lost.new_keyframe
    assert after.reference is before.reference
    assert set(before.track_ids) & set(after.track_ids)


def test_a_request_makes_the_next_frame_the_keyframe(world: World) -> None:
    tracker = Tracker(world, STEADY)
    run(tracker, world, [1, 2])
    tracker.set_keyframe()
    first, second = run(tracker, world, [3, 4])
    assert first.new_keyframe
    assert not second.new_keyframe
    assert second.reference is first.query


def test_reset_starts_over_with_new_ids_and_any_time(world: World) -> None:
    tracker = Tracker(world, STEADY)
    before = run(tracker, world, [5, 6])[0]
    tracker.reset()
    assert tracker.process(world.frame(1)) is None
    after = tracker.process(world.frame(2))
    assert after is not None
    assert not set(before.track_ids) & set(after.track_ids)


def test_options_can_change_while_tracking(world: World) -> None:
    tracker = Tracker(world, STEADY)
    before = run(tracker, world, [1, 2])[0]
    two_view = TwoViewOptions(min_matches=10_000)
    tracker.replace_options(replace(PREVIOUS, two_view=two_view, max_failures=1))
    after = run(tracker, world, [3])[0]
    assert after.reference is before.reference
    assert after.new_keyframe
    assert after.pose.state is PoseState.TOO_FEW_MATCHES
    assert tracker.options.reference == 'previous'


@pytest.mark.parametrize('delay', [0, -1, -500_000_000])
def test_a_stamp_that_is_not_later_is_refused(world: World, delay: int) -> None:
    tracker = Tracker(world, STEADY)
    run(tracker, world, [1, 2])
    late = replace(world.frame(3), stamp_ns=world.frame(2).stamp_ns + delay)
    with pytest.raises(FrameError, match='its stamp is not after the last one'):
        tracker.process(late)
    assert run(tracker, world, [3])[0].reference.stamp_ns == world.frame(1).stamp_ns


def unusable(world: World) -> list[tuple[Frame, str]]:
    frame = world.frame(3)
    nothing_seen = np.full((240, 320), np.nan, np.float32)
    return [
        (replace(frame, image=nothing_seen), 'images must be uint8, not float32'),
        (replace(frame, image=np.zeros((240, 0), np.uint8)), 'the image is empty'),
        (replace(frame, image=np.zeros((120, 160), np.uint8)), r'160x120 px, .* for 320x240 px'),
    ]


@pytest.mark.parametrize('case', range(3))
def test_an_unusable_frame_is_refused_and_leaves_no_trace(world: World, case: int) -> None:
    expected = run(Tracker(world, PREVIOUS), world, [1, 2, 4])
    tracker = Tracker(world, PREVIOUS)
    results = run(tracker, world, [1, 2])
    frame, message = unusable(world)[case]
    with pytest.raises(FrameError, match=message):
        tracker.process(frame)
    results += run(tracker, world, [4])
    for result, same in zip(results, expected, strict=True):
        assert result.reference.stamp_ns == same.reference.stamp_ns
        np.testing.assert_array_equal(result.track_ids, same.track_ids)


@pytest.mark.parametrize('case', range(3))
def test_an_unusable_first_frame_does_not_become_the_reference(world: World, case: int) -> None:
    tracker = Tracker(world, STEADY)
    with pytest.raises(FrameError):
        tracker.process(unusable(world)[case][0])
    assert tracker.process(world.frame(1)) is None


def test_a_pair_that_cannot_be_matched_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker(world, STEADY)
    tracker.process(world.frame(1))

    def refuse(reference: int, query: int) -> None:
        raise ValueError('features of different networks')

    with monkeypatch.context() as patch:
        patch.setattr(world, 'match', refuse)
        with pytest.raises(FrameError, match=r'cannot be matched to .* different networks'):
            tracker.process(world.frame(2))
    assert len(run(tracker, world, [2])) == 1


def test_a_pair_is_matched_beside_the_sequence(world: World) -> None:
    tracker = Tracker(world, STEADY)
    first = run(tracker, world, [3, 4])[0]
    pair = tracker.match_pair(world.frame(9), world.frame(1))
    assert pair.pose.state is PoseState.OK
    assert not pair.new_keyframe
    assert len(np.unique(pair.track_ids)) == len(pair.matches)
    after = run(tracker, world, [5])[0]
    assert after.reference is first.reference
    with pytest.raises(FrameError, match='the image is empty'):
        tracker.match_pair(world.frame(1), unusable(world)[1][0])


@pytest.mark.parametrize('which', ['reference', 'query'])
def test_without_a_calibration_there_are_matches_but_no_pose(world: World, which: str) -> None:
    frames = {'reference': world.frame(1), 'query': world.frame(2)}
    frames[which] = replace(frames[which], camera=None)
    result = Tracker(world, STEADY).match_pair(frames['reference'], frames['query'])
    assert len(result.matches) > 100
    assert result.pose.state is PoseState.LOST
    assert result.pose.method == 'none'
    assert result.pose.reason == f'no camera calibration of the {which} image'
    assert len(result.pose.inliers) == len(result.matches)


def test_a_still_camera_keeps_its_keyframe_and_only_rotates_by_nothing(world: World) -> None:
    world.step = (0.0, 0.0, 0.0)
    results = run(Tracker(world), world, range(1, 20))
    assert not any(result.new_keyframe for result in results)
    assert {result.pose.state for result in results} == {PoseState.ROTATION_ONLY}


def test_seconds_come_from_the_timer(world: World) -> None:
    ticks = itertools.count()
    tracker = Tracker(world, STEADY, timer=lambda: float(next(ticks)))
    result = run(tracker, world, [1, 2])[0]
    assert result.seconds == {'encode': 1.0, 'match': 1.0, 'pose': 1.0, 'total': 7.0}
