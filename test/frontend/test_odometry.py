"""Chained poses against trajectories that are known, and against the spread of many draws."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
from evo.core import lie_algebra
from hypothesis import given, settings
from hypothesis import strategies as st

from loftr_ros.frontend import (
    Frame,
    Odometry,
    OdometryEstimate,
    OdometryOptions,
    Tracker,
    TrackerOptions,
)
from loftr_ros.frontend.tracker import TrackingResult
from loftr_ros.geometry import PoseState, RelativePose
from loftr_ros.geometry.rotations import rotation_from_vector, rotation_vector
from loftr_ros.geometry.transforms import inverse_transform, make_transform
from loftr_ros.matching.matches import Matches

if TYPE_CHECKING:
    from test.frontend.conftest import World

Array = npt.NDArray[np.float64]
STEP_NS = 100_000_000
BASE_T_CAMERA = make_transform(
    np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.array([0.4, 0.1, 1.2])
)
COVARIANCE = np.diag([1e-4, 2e-4, 4e-4, 1e-6, 2e-6, 3e-6])
SIX = st.lists(st.floats(-1.0, 1.0), min_size=6, max_size=6).map(np.array)
IMAGE = np.zeros((4, 4), np.uint8)


def pose_of(six: Array) -> Array:
    return make_transform(rotation_from_vector(six[3:]), six[:3])


def frame(index: int) -> Frame:
    return Frame(index * STEP_NS, IMAGE)


def result(
    reference: int,
    query: int,
    pose: Array | None,
    covariance: Array = COVARIANCE,
    new_keyframe: bool = True,
) -> TrackingResult:
    none = np.zeros(0, np.bool_)
    if pose is None:
        relative = RelativePose.failed(PoseState.LOST, 'made to fail')
    else:
        relative = RelativePose.in_metres(
            pose, covariance, method='pnp', inliers=none, median_residual=0.1
        )
    ids = np.empty(0, np.int64)
    return TrackingResult(
        reference=frame(reference),
        query=frame(query),
        matches=Matches.empty(),
        track_ids=ids,
        pose=relative,
        new_keyframe=new_keyframe,
        seconds={},
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(SIX, min_size=1, max_size=6), SIX)
def test_poses_are_chained_as_evo_chains_them(steps: list[Array], mounting: Array) -> None:
    base_T_camera = pose_of(mounting)
    odometry = Odometry(base_T_camera)
    for index, step in enumerate(map(pose_of, steps)):
        estimate = odometry.update(result(index, index + 1, step))
    expected = base_T_camera
    for step in steps:
        motion = lie_algebra.se3(lie_algebra.so3_exp(step[3:]), step[:3])
        expected = expected @ motion
    expected = expected @ lie_algebra.se3_inverse(base_T_camera)
    assert estimate is not None
    np.testing.assert_allclose(estimate.odom_T_base, expected, atol=1e-9)
    assert estimate.metric
    assert not estimate.gap


def test_frames_of_one_keyframe_do_not_add_up() -> None:
    odometry = Odometry()
    first = pose_of(np.array([0.1, 0, 0.5, 0, 0.02, 0]))
    second = pose_of(np.array([0.2, 0, 1.0, 0, 0.04, 0]))
    odometry.update(result(0, 1, first, new_keyframe=False))
    estimate = odometry.update(result(0, 2, second, new_keyframe=False))
    assert estimate is not None
    np.testing.assert_allclose(estimate.odom_T_base, second)
    np.testing.assert_allclose(estimate.covariance, COVARIANCE, atol=1e-15)


def test_the_covariance_is_that_of_many_noisy_chains() -> None:
    rng = np.random.default_rng(0)
    steps = [pose_of(np.array([0.3, -0.1, 1.0, 0.05, 0.2, -0.1]))] * 4
    odometry = Odometry(BASE_T_CAMERA)
    for index, step in enumerate(steps):
        estimate = odometry.update(result(index, index + 1, step))
    assert estimate is not None
    errors = []
    for _ in range(4000):
        noisy = BASE_T_CAMERA
        for step in steps:
            error = np.sqrt(np.diag(COVARIANCE)) * rng.normal(size=6)
            rotated = rotation_from_vector(error[3:]) @ step[:3, :3]
            noisy = noisy @ make_transform(rotated, step[:3, 3] + error[:3])
        noisy = noisy @ inverse_transform(BASE_T_CAMERA)
        rotvec = rotation_vector(noisy[:3, :3] @ estimate.odom_T_base[:3, :3].T)
        errors.append(np.concatenate([noisy[:3, 3] - estimate.odom_T_base[:3, 3], rotvec]))
    spread = np.cov(np.array(errors).T)
    scale = np.sqrt(np.outer(np.diag(spread), np.diag(spread)))
    np.testing.assert_allclose(estimate.covariance / scale, spread / scale, atol=0.07)


def test_the_covariance_never_shrinks_along_the_way() -> None:
    odometry = Odometry()
    step = pose_of(np.array([0.0, 0, 1.0, 0, 0.1, 0]))
    estimates = [odometry.update(result(index, index + 1, step)) for index in range(6)]
    sizes = [np.trace(estimate.covariance) for estimate in estimates if estimate is not None]
    assert len(sizes) == 6
    assert (np.diff(sizes) > 0).all()


def test_the_twist_is_that_of_a_constant_motion_in_the_axes_of_the_base() -> None:
    # On a circle of 2 m to the left at 0.5 rad/s: forward 1 m/s at any time.
    odometry = Odometry(BASE_T_CAMERA)
    rotation = rotation_from_vector(np.array([0, 0, 0.05]))
    shift = 2 * np.array([np.sin(0.05), 1 - np.cos(0.05), 0.0])
    step = inverse_transform(BASE_T_CAMERA) @ make_transform(rotation, shift) @ BASE_T_CAMERA
    for keyframe in (True, False):
        odometry = Odometry(BASE_T_CAMERA)
        motion = np.eye(4)
        for index in range(5):
            motion = step if keyframe else motion @ step
            estimate = odometry.update(
                result(index if keyframe else 0, index + 1, motion, new_keyframe=keyframe)
            )
            assert estimate is not None
            np.testing.assert_allclose(estimate.twist, [1, 0, 0, 0, 0, 0.5], atol=1e-9)
            assert (np.diag(estimate.twist_covariance) > 0).all()


def test_a_frame_without_motion_gives_no_estimate_and_breaks_no_chain() -> None:
    odometry = Odometry()
    step = pose_of(np.array([0.0, 0, 1.0, 0, 0, 0]))
    odometry.update(result(0, 1, step))
    assert odometry.update(result(1, 2, None, new_keyframe=False)) is None
    estimate = odometry.update(result(1, 3, step))
    assert estimate is not None
    assert not estimate.gap
    np.testing.assert_allclose(estimate.odom_T_base[:3, 3], [0, 0, 2.0])


def test_over_a_gap_the_base_goes_on_and_the_covariance_grows() -> None:
    step = pose_of(np.array([0.0, 0, 1.0, 0, 0, 0]))
    options = OdometryOptions(gap_speed=2.0, gap_angular_rate=0.1)

    def after(gap: int) -> tuple[Array, Array]:
        odometry = Odometry(options=options)
        odometry.update(result(0, 1, step))
        assert odometry.update(result(1, 1 + gap, None)) is None
        estimate = odometry.update(result(1 + gap, 2 + gap, step))
        assert estimate is not None
        assert estimate.gap
        following = odometry.update(result(2 + gap, 3 + gap, step))
        assert following is not None
        assert not following.gap
        return estimate.odom_T_base, np.sqrt(np.diag(estimate.covariance))

    pose, short = after(5)
    _, long = after(10)
    np.testing.assert_allclose(pose[:3, 3], [0, 0, 7.0], atol=1e-9)
    # Over the gap it may have moved by 0 to twice what 10 m/s make, and by 2 m/s besides.
    assert short[2] == pytest.approx((10 + 2) * 0.5, rel=0.02)
    assert (long > 1.5 * short).all()


def test_back_at_the_keyframe_from_before_a_gap_nothing_is_missing() -> None:
    step = pose_of(np.array([1.0, 0, 0, 0, 0, 0.1]))
    odometry = Odometry()
    odometry.update(result(0, 1, step))
    for query in range(2, 5):
        assert odometry.update(result(1, query, None, new_keyframe=query == 4)) is None
    assert odometry.update(result(4, 5, None, new_keyframe=False)) is None
    found = odometry.update(result(1, 6, step))
    again = odometry.update(result(6, 7, step))
    assert found is not None
    assert again is not None
    assert not found.gap
    np.testing.assert_allclose(found.odom_T_base, step @ step, atol=1e-12)
    np.testing.assert_allclose(again.odom_T_base, step @ step @ step, atol=1e-12)
    speed = np.linalg.norm(found.twist[:3])
    assert speed == pytest.approx(1.0 / 0.5, rel=0.01)


def test_one_camera_has_its_unit_again_at_the_keyframe_from_before_a_gap(world: World) -> None:
    far = replace(world, step=(0.15, 0.0, 0.06))
    tracker, odometry = Tracker(far, TrackerOptions(reference='keyframe')), Odometry()
    elsewhere = [0, 90, 0, 91, 0, 92, 0, 93]
    places = {}
    for time, index in enumerate([1, 2, 3, *elsewhere, 4, 5, 6]):
        found = tracker.process(far.frame(index, time * STEP_NS))
        estimate = None if found is None else odometry.update(found)
        if estimate is not None:
            places[index] = estimate
    assert sorted(places) == [2, 3, 4, 5, 6]
    assert not any(estimate.gap for estimate in places.values())
    step = places[2].odom_T_base[:3, 3]
    for index, estimate in places.items():
        np.testing.assert_allclose(estimate.odom_T_base[:3, 3], (index - 1) * step, atol=0.01)


def test_a_gap_before_any_motion_starts_with_an_uncertain_pose() -> None:
    odometry = Odometry()
    assert odometry.update(result(0, 3, None)) is None
    estimate = odometry.update(result(3, 4, np.eye(4)))
    assert estimate is not None
    assert estimate.gap
    assert estimate.covariance[0, 0] > 0.05


@pytest.mark.parametrize('new_keyframe', [True, False])
def test_reset_puts_the_last_frame_at_the_given_pose(new_keyframe: bool) -> None:
    odometry = Odometry(BASE_T_CAMERA)
    given = pose_of(np.array([10.0, -5.0, 0.5, 0.1, 0.2, 1.0]))
    uncertain = np.diag([0.04, 0.04, 0.01, 1e-4, 1e-4, 1e-2])
    step = pose_of(np.array([0.0, 0, 1.0, 0, 0.1, 0]))
    odometry.update(result(0, 1, step, new_keyframe=new_keyframe))
    odometry.reset(given, uncertain)
    again = step @ step
    after = result(1, 2, step) if new_keyframe else result(0, 2, again)
    estimate = odometry.update(after)
    assert estimate is not None
    moved = BASE_T_CAMERA @ step @ inverse_transform(BASE_T_CAMERA)
    np.testing.assert_allclose(estimate.odom_T_base, given @ moved, atol=1e-12)
    assert np.trace(estimate.covariance) > np.trace(uncertain)
    assert not estimate.gap


def test_reset_before_the_first_frame_moves_the_start() -> None:
    odometry = Odometry()
    given = pose_of(np.array([10.0, -5.0, 0.5, 0.1, 0.2, 1.0]))
    odometry.reset(given)
    estimate = odometry.update(result(0, 1, np.eye(4)))
    assert estimate is not None
    np.testing.assert_allclose(estimate.odom_T_base, given)


@pytest.mark.parametrize(
    ('pose', 'covariance', 'message'),
    [
        (np.eye(3), None, 'odom_T_base must be'),
        (2 * np.eye(4), None, 'odom_T_base must be'),
        (np.full((4, 4), np.nan), None, 'odom_T_base must be'),
        (np.eye(4), np.eye(3), 'covariance must be'),
        (np.eye(4), np.full((6, 6), np.inf), 'covariance must be'),
    ],
)
def test_a_reset_to_no_pose_is_refused(pose: Array, covariance: Array | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Odometry().reset(pose, covariance)


def test_a_mounting_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match='base_T_camera must be'):
        Odometry(np.zeros((4, 4)))


@pytest.mark.parametrize(
    'field', ['gap_speed', 'gap_angular_rate', 'distance_sigma', 'distance_gap_s']
)
@pytest.mark.parametrize('value', [0.0, -1.0, np.nan, np.inf])
def test_options_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f'{field} must be positive'):
        OdometryOptions(**{field: value})


def mono(
    world: World, count: int, odometry: Odometry, start: int = 1
) -> list[tuple[int, OdometryEstimate]]:
    options = TrackerOptions(min_survival=0.0, min_overlap=0.0, max_parallax=0.08)
    tracker = Tracker(world, options)
    found = []
    for number in range(start, start + count):
        tracked = tracker.process(world.frame(number))
        estimate = None if tracked is None else odometry.update(tracked)
        if estimate is not None:
            found.append((number, estimate))
    return found


def test_one_camera_alone_has_one_unit_all_along_and_says_that_it_is_none(world: World) -> None:
    world.step = (0.3, 0.0, 0.1)
    found = mono(world, 12, Odometry())
    assert len(found) == 11
    assert not any(estimate.metric for _, estimate in found)
    units = [
        np.linalg.norm(estimate.odom_T_base[:3, 3])
        / np.linalg.norm(world.position(number) - world.position(1))
        for number, estimate in found
    ]
    np.testing.assert_allclose(units, units[0], rtol=0.02)


@pytest.mark.parametrize('source', ['speed', 'distance'])
def test_an_external_distance_gives_one_camera_metres(world: World, source: str) -> None:
    world.step = (0.3, 0.0, 0.1)
    odometry = Odometry()
    speed = float(np.linalg.norm(world.step)) / 0.1
    for number in range(60):
        stamp = number * STEP_NS // 4
        if source == 'speed':
            odometry.set_speed(stamp, speed)
        else:
            odometry.set_distance(stamp, 100.0 + speed * stamp / 1e9)
    found = mono(world, 12, odometry)
    assert len(found) == 11
    for number, estimate in found:
        assert estimate.metric
        true = world.position(number) - world.position(1)
        np.testing.assert_allclose(estimate.odom_T_base[:3, 3], true, atol=0.05)
        assert np.sqrt(estimate.covariance[0, 0]) > 0.005 * true[0]


def test_metres_start_over_at_the_start(world: World) -> None:
    world.step = (0.3, 0.0, 0.1)
    odometry = Odometry()
    before = mono(world, 5, odometry)
    assert not any(estimate.metric for _, estimate in before)
    speed = float(np.linalg.norm(world.step)) / 0.1
    for number in range(10, 60):
        odometry.set_speed(number * STEP_NS // 4, speed)
    after = mono(world, 6, odometry, start=6)
    _, first = after[0]
    assert first.metric
    assert first.gap
    np.testing.assert_allclose(first.odom_T_base[:3, 3], world.step, atol=0.03)


def test_a_distance_that_stops_coming_is_carried_on_by_the_points(world: World) -> None:
    world.step = (0.3, 0.0, 0.1)
    odometry = Odometry()
    speed = float(np.linalg.norm(world.step)) / 0.1
    for number in range(17):
        odometry.set_speed(number * STEP_NS // 4, speed)
    found = mono(world, 14, odometry)
    assert all(estimate.metric for _, estimate in found)
    number, last = found[-1]
    assert number == 14
    true = world.position(number) - world.position(1)
    np.testing.assert_allclose(last.odom_T_base[:3, 3], true, rtol=0.03, atol=0.05)


def test_metric_and_unscaled_motions_are_never_mixed(world: World) -> None:
    odometry = Odometry()
    assert odometry.update(result(0, 1, np.eye(4))) is not None
    tracked = Tracker(world, TrackerOptions()).match_pair(world.frame(1), world.frame(8))
    assert tracked.pose.state is PoseState.OK
    assert not tracked.pose.metric
    assert odometry.update(replace(tracked, reference=frame(1), query=frame(2))) is None


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_a_speed_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match='speed must be finite'):
        Odometry().set_speed(0, value)
    with pytest.raises(ValueError, match='distance must be finite'):
        Odometry().set_distance(0, value)
