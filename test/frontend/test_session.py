"""A session: what becomes of a frame, for robot and replay alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from loftr_ros.frontend import (
    BaseOdometry,
    Frame,
    FrameError,
    LoopOptions,
    Masks,
    Session,
    SessionOptions,
    Step,
    TrackerOptions,
)
from loftr_ros.frontend.loop_options import Verification
from loftr_ros.geometry import Camera
from test.frontend.conftest import STEP_NS, World

LOOPS = LoopOptions(
    min_age_s=1.0, interval_s=0.0, max_steps=3.0, verification=Verification(min_coverage=0.2)
)
THERE_AND_BACK = [*range(1, 29, 2), *range(28, 0, -2)]
CAMERA = Camera(160, 120, np.array([[125, 0, 79.5], [0, 125, 59.5], [0, 0, 1]]))
FREQUENCIES = np.linspace(0.01, 0.12, 40)


class SignedWorld(World):
    """A world whose signatures change with the place."""

    def signature(self, number: int) -> npt.NDArray[np.float32]:
        waves = [np.cos(FREQUENCIES * number), np.sin(FREQUENCIES * number)]
        return np.asarray(np.concatenate(waves) / np.sqrt(len(FREQUENCIES)), np.float32)


@pytest.fixture
def world() -> SignedWorld:
    return SignedWorld(camera=CAMERA, step=(0.08, 0.0, 0.01))


def frames_of(world: World, numbers: list[int]) -> list[Frame]:
    return [world.frame(number, (at + 1) * STEP_NS) for at, number in enumerate(numbers)]


def process(session: Session[int], frames: list[Frame]) -> list[Step]:
    return [session.process(frame) for frame in frames]


def test_the_first_frame_has_no_result_and_the_next_has_pose_and_odometry(
    world: SignedWorld,
) -> None:
    first, second = process(
        Session(world, odometry=BaseOdometry()), [world.frame(1), world.frame(2)]
    )
    assert (first.result, first.estimate, first.loops) == (None, None, None)
    assert second.result is not None
    assert second.result.pose.state.has_pose
    assert second.estimate is not None
    assert second.estimate.stamp_ns == 2 * STEP_NS


def test_without_odometry_there_are_no_estimates(world: SignedWorld) -> None:
    steps = process(Session(world), [world.frame(1), world.frame(2)])
    assert steps[1].result is not None
    assert steps[1].estimate is None


def test_a_calibration_that_comes_late_makes_a_keyframe(world: SignedWorld) -> None:
    session = Session(world, SessionOptions(TrackerOptions(reference='keyframe')))
    bare = [replace(world.frame(index), camera=None) for index in (1, 2)]
    steps = process(session, [*bare, world.frame(3), world.frame(4)])
    assert [step.result and step.result.new_keyframe for step in steps[1:3]] == [False, True]
    assert steps[3].result is not None
    assert steps[3].result.reference.stamp_ns == 3 * STEP_NS
    assert steps[3].result.pose.state.has_pose


def test_a_calibration_from_the_first_frame_on_makes_none(world: SignedWorld) -> None:
    session = Session(world, SessionOptions(TrackerOptions(reference='keyframe')))
    steps = process(session, [world.frame(index) for index in (1, 2, 3)])
    assert not any(step.result and step.result.new_keyframe for step in steps)


def test_a_frame_that_is_refused_leaves_the_session_as_it_was(world: SignedWorld) -> None:
    session = Session(world, odometry=BaseOdometry())
    process(session, [world.frame(1), world.frame(2)])
    with pytest.raises(FrameError, match='not after the last one'):
        session.process(world.frame(2))
    step = session.process(world.frame(3))
    assert step.result is not None
    assert step.result.reference.stamp_ns == STEP_NS
    assert step.estimate is not None
    assert not step.estimate.gap


def test_masks_are_put_on_every_frame(world: SignedWorld) -> None:
    mask = np.zeros((world.camera.height, world.camera.width), np.bool_)
    mask[:, :100] = True
    process(Session(world, masks=Masks(mask)), [world.frame(1), world.frame(2)])
    assert [each is mask for each in world.masks] == [True, True]


def test_loops_are_found_only_where_they_are_wanted(world: SignedWorld) -> None:
    frames = frames_of(world, THERE_AND_BACK)
    options = SessionOptions(TrackerOptions(reference='previous'), LOOPS)
    searched = process(Session(world, options), frames)
    assert any(step.loops and step.loops.closures for step in searched)
    unsearched = process(Session(world, replace(options, loops=None)), frames)
    assert not any(step.loops for step in unsearched)


def test_to_track_first_and_search_then_comes_to_the_same(world: SignedWorld) -> None:
    options = SessionOptions(TrackerOptions(reference='previous'), LOOPS)
    whole, parts = Session(world, options), Session(world, options)
    for frame in frames_of(world, THERE_AND_BACK):
        expected, step = whole.process(frame), parts.track(frame)
        assert step.loops is None
        found = parts.find_loops(step)
        assert (found is None) == (expected.loops is None)
        if found is not None and expected.loops is not None:
            assert len(found.closures) == len(expected.loops.closures)


def test_after_switching_off_the_places_are_forgotten(world: SignedWorld) -> None:
    options = SessionOptions(TrackerOptions(reference='previous'), LOOPS)
    session = Session(world, options)
    frames = frames_of(world, THERE_AND_BACK)
    process(session, frames[:14])
    session.replace_options(replace(options, loops=None))
    session.replace_options(options)
    assert not any(step.loops and step.loops.closures for step in process(session, frames[14:]))


def test_other_options_of_loops_leave_the_places(world: SignedWorld) -> None:
    options = SessionOptions(TrackerOptions(reference='previous'), LOOPS)
    session = Session(world, options)
    frames = frames_of(world, THERE_AND_BACK)
    process(session, frames[:14])
    session.replace_options(replace(options, loops=replace(LOOPS, max_steps=2.9)))
    assert any(step.loops and step.loops.closures for step in process(session, frames[14:]))


def test_after_a_reset_the_next_frame_is_the_first_and_the_base_at_the_origin(
    world: SignedWorld,
) -> None:
    session = Session(world, odometry=BaseOdometry())
    process(session, [world.frame(index) for index in (5, 7, 9)])
    session.reset()
    first, second = process(session, [world.frame(1), world.frame(5)])
    assert first.result is None
    assert second.estimate is not None
    assert not second.estimate.gap
    np.testing.assert_allclose(np.linalg.norm(second.estimate.odom_T_base[:3, 3]), 1.0, atol=1e-6)


def test_forgotten_frames_leave_the_odometry_with_a_gap(world: SignedWorld) -> None:
    session = Session(world, odometry=BaseOdometry())
    process(session, [world.frame(index) for index in (5, 7)])
    session.forget_frames()
    first, second = process(session, [world.frame(index) for index in (9, 11)])
    assert first.result is None
    assert second.estimate is not None
    assert second.estimate.gap


def test_a_pair_is_beside_the_sequence(world: SignedWorld) -> None:
    session = Session(world)
    session.process(world.frame(1))
    pair = session.match_pair(world.frame(7), world.frame(8))
    assert len(pair.matches) > 20
    step = session.process(world.frame(2))
    assert step.result is not None
    assert step.result.reference.stamp_ns == STEP_NS
