"""Loops in a world of which every match is known: the camera goes along a wall and back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from loftr_ros.frontend import (
    Frame,
    LoopCloser,
    LoopClosure,
    LoopOptions,
    LoopSearch,
    Tracker,
    TrackerOptions,
)
from loftr_ros.frontend.loop_options import Agreement, PlaceOptions, Verification
from loftr_ros.geometry import Camera, PoseState
from loftr_ros.matching.matches import Matches
from test.frontend.conftest import STEP_NS, World

TRACKER = TrackerOptions(reference='previous')
LOOPS = LoopOptions(
    min_age_s=1.0, interval_s=0.0, max_steps=3.0, verification=Verification(min_coverage=0.2)
)
THERE, BACK = [*range(1, 29, 2)], [*range(28, 0, -2)]
ROUTE = THERE + BACK
STEP = (0.08, 0.0, 0.01)
CAMERA = Camera(160, 120, np.array([[125, 0, 79.5], [0, 125, 59.5], [0, 0, 1]]))
FREQUENCIES = np.linspace(0.01, 0.12, 40)


@pytest.fixture
def world() -> World:
    return World(camera=CAMERA, step=STEP)


def signature(number: int) -> npt.NDArray[np.float32]:
    """Return a signature that changes with the place: frames 1 and 2 look nearly the same."""
    waves = [np.cos(FREQUENCIES * number), np.sin(FREQUENCIES * number)]
    return np.asarray(np.concatenate(waves) / np.sqrt(len(FREQUENCIES)), np.float32)


@dataclass
class Liar(World):
    """A world whose matches on the path back with places of the path there mislead."""

    lies: list[int] = field(default_factory=list)
    lied: bool = False
    refuses: bool = False

    def match(self, reference: int, query: int) -> Matches:
        if reference % 2 or not query % 2:
            return super().match(reference, query)
        if self.refuses:
            raise ValueError('these features are of different networks')
        lie = self.lies.pop(0)
        self.lied = not self.lies
        return super().match(reference, query + lie)


@dataclass
class Drive:
    """A camera on its path, and what the search for loops came to."""

    world: World
    options: LoopOptions = LOOPS
    rgbd: bool = False
    blind: bool = False
    searches: list[LoopSearch] = field(default_factory=list)
    stamp_ns: int = 0
    numbers: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tracker: Tracker[int] = Tracker(self.world, TRACKER)
        self.closer: LoopCloser[int] = LoopCloser(self.tracker, signature, self.options)

    def go(self, numbers: list[int]) -> list[LoopClosure]:
        """Return the loops of these frames."""
        start = len(self.searches)
        for number in numbers:
            self.stamp_ns += STEP_NS
            self.numbers[self.stamp_ns] = number
            search = self.closer.update(self.tracker.process(self.frame(number)))
            if search is not None:
                self.searches.append(search)
        return [loop for search in self.searches[start:] for loop in search.closures]

    def frame(self, number: int) -> Frame:
        frame = self.world.frame(number, self.stamp_ns)
        return replace(frame, depth=self.depth(number)) if self.rgbd else frame

    def depth(self, number: int) -> npt.NDArray[np.float32]:
        """Return the depth of the two walls, m."""
        if self.blind:
            return np.full((CAMERA.height, CAMERA.width), np.nan, np.float32)
        camera, position = self.world.camera, self.world.position(number)
        x = (np.arange(camera.width) - camera.matrix[0, 2]) / camera.matrix[0, 0]
        walls = [
            (5.0 - position[2] - 0.4 * sign * position[0]) / (1.0 + 0.4 * sign * x)
            for sign in (1.0, -1.0)
        ]
        return np.tile(np.min(walls, axis=0).astype(np.float32), (camera.height, 1))

    def motion(self, loop: LoopClosure) -> npt.NDArray[np.float64]:
        """Return the true position of the query in the reference camera."""
        ends = [self.numbers[frame.stamp_ns] for frame in (loop.query, loop.reference)]
        return self.world.position(ends[0]) - self.world.position(ends[1])

    @property
    def loops(self) -> list[LoopClosure]:
        return [loop for search in self.searches for loop in search.closures]

    @property
    def rejections(self) -> str:
        return '; '.join(search.rejection for search in self.searches)


@pytest.fixture(scope='module')
def past() -> Drive:
    """Return a drive along the wall and back that has happened."""
    drive = Drive(World(camera=CAMERA, step=STEP))
    drive.go(ROUTE)
    return drive


def test_the_way_back_closes_loops_with_the_way_there(past: Drive) -> None:
    assert len(past.loops) >= 4
    for loop in past.loops:
        assert past.numbers[loop.reference.stamp_ns] in THERE
        assert past.numbers[loop.query.stamp_ns] in BACK
        assert loop.query.stamp_ns - loop.reference.stamp_ns >= LOOPS.min_age_s * 1e9
        assert len(loop.pose.inliers) == len(loop.matches)
        assert loop.pose.reference_T_query is not None
        if loop.pose.state is PoseState.OK:
            moved = past.motion(loop)
            direction = moved / np.linalg.norm(moved)
            np.testing.assert_allclose(loop.pose.reference_T_query[:3, 3], direction, atol=0.05)
        # On so few pixels a step along the wall and a rotation by 3 deg look the same.
        np.testing.assert_allclose(loop.pose.reference_T_query[:3, :3], np.eye(3), atol=0.06)


def test_with_depth_loops_are_in_metres(world: World) -> None:
    drive = Drive(world, rgbd=True)
    loops = drive.go(ROUTE)
    assert len(loops) >= 4
    for loop in loops:
        assert loop.pose.metric
        assert loop.reference.depth is None
        assert loop.pose.reference_T_query is not None
        moved = drive.motion(loop)
        np.testing.assert_allclose(loop.pose.reference_T_query[:3, 3], moved, atol=0.02)


def test_the_matches_of_a_loop_lead_from_the_older_image_to_the_later_one(past: Drive) -> None:
    loop = past.loops[-1]
    older, later = (past.numbers[frame.stamp_ns] for frame in (loop.reference, loop.query))
    expected = past.world.match(later, older)
    np.testing.assert_array_equal(loop.matches.reference_points, expected.query_points)
    np.testing.assert_array_equal(loop.matches.query_points, expected.reference_points)


def test_a_loop_is_certain_only_at_the_second_sighting_of_a_place(past: Drive) -> None:
    number = next(n for n, search in enumerate(past.searches) if search.candidate)
    first, second = past.searches[number : number + 2]
    assert first.candidate is not None
    assert second.candidate is not None
    assert first.rejection == ''
    assert first.closures == ()
    assert second.closures == (first.candidate, second.candidate)
    assert first.candidate.reference is second.candidate.reference


def test_after_a_loop_any_place_may_be_next(past: Drive) -> None:
    pairs = {(loop.reference.stamp_ns, loop.query.stamp_ns) for loop in past.loops}
    assert len(pairs) == len(past.loops)
    assert len({reference for reference, _ in pairs}) > 1


def test_one_place_is_verified_at_a_keyframe(past: Drive) -> None:
    candidates = sum(search.candidate is not None for search in past.searches)
    assert len(past.world.encoded) == len(ROUTE) + candidates


def test_a_place_that_is_known_is_not_remembered_again(past: Drive) -> None:
    known = {s.query.stamp_ns for s in past.searches if s.candidate and not s.rejection}
    assert known
    assert not known & set(past.closer.memory.stamps)
    assert len(past.closer.memory) == len(past.searches) - len(known)


def test_seconds_show_what_a_search_cost(past: Drive) -> None:
    assert set(past.searches[0].seconds) == {'signature', 'search', 'total'}
    matched = next(search for search in past.searches if search.candidate)
    assert {'signature', 'search', 'encode', 'match', 'pose', 'total'} <= set(matched.seconds)
    assert matched.seconds['total'] >= matched.seconds['match']


def test_recent_keyframes_are_no_candidates(world: World) -> None:
    drive = Drive(world, replace(LOOPS, min_age_s=60.0))
    assert not drive.go(ROUTE)
    assert not any(search.candidate for search in drive.searches)


def test_a_view_unlike_all_places_is_not_even_matched(world: World) -> None:
    drive = Drive(world, replace(LOOPS, max_steps=0.01))
    drive.go(ROUTE)
    assert len(world.encoded) == len(ROUTE)
    assert not any(search.candidate for search in drive.searches)


def test_the_memory_is_bounded_and_still_finds_loops(world: World) -> None:
    drive = Drive(world, replace(LOOPS, capacity=4, max_steps=20.0))
    for number in ROUTE:
        drive.go([number])
        assert len(drive.closer.memory) <= 4
    assert drive.loops
    drive.closer.replace_options(replace(LOOPS, capacity=3))
    assert len(drive.closer.memory) == 3


def test_a_reset_forgets_all_places(world: World) -> None:
    drive = Drive(world)
    drive.go(THERE)
    drive.tracker.reset()
    drive.closer.reset()
    assert len(drive.closer.memory) == 0
    assert not drive.go(BACK[:6])
    assert not any(search.candidate for search in drive.searches)


def test_keyframes_that_follow_too_soon_are_passed_over(world: World) -> None:
    drive = Drive(world, replace(LOOPS, interval_s=0.2))
    loops = drive.go(ROUTE)
    stamps = [search.query.stamp_ns for search in drive.searches]
    assert np.diff(stamps).min() == 2 * STEP_NS
    assert loops, 'the motion over the keyframes in between is known'


def test_a_sighting_that_contradicts_the_motion_is_no_loop() -> None:
    world = Liar(camera=CAMERA, step=STEP, lies=[0, 8])
    drive = Drive(world, rgbd=True)
    drive.go(THERE)
    while not world.lied:
        drive.go([ROUTE[len(drive.numbers)]])
    assert not drive.loops
    assert 'two sightings of the place differ by' in drive.searches[-1].rejection
    assert drive.searches[-1].query.stamp_ns in drive.closer.memory.stamps


def test_directions_without_scale_that_contradict_each_other_are_no_loop() -> None:
    world = Liar(camera=CAMERA, step=(0.16, 0.0, 0.0), lies=[7, -7])
    drive = Drive(world)
    drive.go(THERE)
    while not world.lied:
        drive.go([ROUTE[len(drive.numbers)]])
    assert not drive.loops
    assert 'the directions of two sightings contradict by' in drive.searches[-1].rejection


def test_two_sightings_of_the_same_lie_are_taken_for_a_loop() -> None:
    """What looks the same in every respect is the same: only odometry could distinguish them."""
    world = Liar(camera=CAMERA, step=STEP, lies=[8, 8])
    drive = Drive(world, rgbd=True)
    drive.go(THERE)
    while not world.lied:
        drive.go([ROUTE[len(drive.numbers)]])
    assert len(drive.loops) == 2


def test_sightings_on_both_sides_of_a_gap_do_not_confirm_each_other(world: World) -> None:
    drive = Drive(world)
    drive.go(THERE)
    while not drive.searches[-1].candidate:
        drive.go([ROUTE[len(drive.numbers)]])
    assert not drive.searches[-1].rejection
    here = ROUTE[len(drive.numbers)]
    # Until tracking starts anew, with a keyframe that has no link to the one before.
    world.kept_rows = {here: slice(0, 0)}
    assert drive.tracker.keyframe is not None
    world.forgotten = {drive.numbers[drive.tracker.keyframe[0].stamp_ns]}
    drive.searches.clear()
    drive.go([here] * 3)
    world.kept_rows = {}
    drive.go([here - 2])
    assert not drive.loops


@pytest.mark.parametrize(
    ('limits', 'reason'),
    [
        ({'min_inliers': 100_000}, 'the pose explains only'),
        ({'min_coverage': 1.0}, 'the matches cover only'),
        ({'max_rotation_sigma': 1e-9}, 'the rotation is only known to'),
    ],
)
def test_a_doubtful_match_is_no_loop_and_the_reason_is_reported(
    world: World, limits: dict[str, Any], reason: str
) -> None:
    world.kept_rows = {number: slice(0, 12) for number in ROUTE}
    drive = Drive(world, replace(LOOPS, verification=Verification(**limits)))
    assert not drive.go(ROUTE[:24])
    assert reason in drive.rejections


def test_what_the_estimator_refuses_is_no_loop(world: World) -> None:
    drive = Drive(world)
    drive.go(THERE)
    world.kept_rows = {number: slice(0, 0) for number in THERE}
    assert not drive.go(BACK[:8])
    refused = [s for s in drive.searches if s.candidate]
    assert refused
    for search in refused:
        assert search.candidate is not None
        assert search.rejection == search.candidate.pose.reason


def test_a_place_that_cannot_be_matched_is_no_candidate() -> None:
    drive = Drive(Liar(camera=CAMERA, step=STEP, refuses=True))
    assert not drive.go(ROUTE[:24])
    assert not any(search.candidate for search in drive.searches)
    assert 'these features are of different networks' in drive.rejections


def test_without_scale_where_depth_should_give_one_there_is_no_loop(world: World) -> None:
    drive = Drive(world, rgbd=True)
    drive.go(THERE)
    drive.blind = True
    assert not drive.go(BACK[:8])
    assert 'matches have a depth' in drive.rejections


def test_the_present_keyframe_is_matched_beside_the_sequence(world: World) -> None:
    tracker = Tracker(world, TRACKER)
    with pytest.raises(ValueError, match='no reference before the first frame'):
        tracker.match_keyframe(world.frame(2))
    tracker.process(world.frame(3))
    result = tracker.match_keyframe(world.frame(9))
    assert result.reference.stamp_ns == world.frame(3).stamp_ns
    assert result.pose.state is PoseState.OK
    assert world.encoded == [3, 9]
    after = tracker.process(world.frame(4))
    assert after is not None
    assert after.reference.stamp_ns == world.frame(3).stamp_ns


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'capacity': 2}, 'capacity must be at least 3, not 2'),
        ({'min_age_s': -1.0}, 'min_age_s must be 0 or more, and finite'),
        ({'interval_s': float('inf')}, 'interval_s must be 0 or more, and finite'),
        ({'max_steps': 0.0}, 'max_steps must be positive and finite'),
    ],
)
def test_options_out_of_range_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LoopOptions(**values)


@pytest.mark.parametrize(
    ('kind', 'values', 'message'),
    [
        (Verification, {'min_inliers': 7}, 'min_inliers must be at least 8'),
        (Verification, {'min_inlier_ratio': 1.5}, 'min_inlier_ratio must be between 0 and 1'),
        (Verification, {'min_coverage': -0.1}, 'min_coverage must be between 0 and 1'),
        (Agreement, {'max_rotation': float('nan')}, 'max_rotation must be positive and finite'),
        (PlaceOptions, {'candidates': 0}, 'candidates must be at least 1'),
    ],
)
def test_limits_out_of_range_are_refused(
    kind: type[Any], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**values)
