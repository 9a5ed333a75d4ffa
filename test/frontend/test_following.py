"""Frames between matched ones: the same points, the same reference, and a pose as honest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from loftr_ros.frontend import (
    Anchor,
    BaseOdometry,
    Between,
    Frame,
    FrameError,
    Masks,
    Session,
    SessionOptions,
    Source,
    Start,
    TrackerOptions,
    TrackingResult,
)
from loftr_ros.frontend.following import Follower, best_points
from loftr_ros.geometry import Camera
from loftr_ros.geometry.transforms import inverse_transform
from loftr_ros.rendering.room import RenderedView, render_room_sequence
from test.helpers.flow_matcher import FlowFeatures, FlowMatcher

OPTIONS = SessionOptions(follow=True)


@pytest.fixture(scope='module')
def views() -> list[RenderedView]:
    return list(render_room_sequence(16, width=320, height=240, rate_hz=30.0))


def frame_of(view: RenderedView, *, metric: bool = False) -> Frame:
    height, width = view.image.shape
    depth = view.depth if metric else None
    camera = Camera(width, height, view.matrix)
    return Frame(view.stamp_ns, view.image, 'camera', camera, depth=depth)


def matched(
    views: list[RenderedView], numbers: list[int], *, metric: bool = False
) -> tuple[Session[FlowFeatures], Start]:
    """Return a session that has matched some views, and where others go on from."""
    session = Session(FlowMatcher(), OPTIONS, odometry=BaseOdometry())
    steps = [session.track(frame_of(views[number], metric=metric)) for number in numbers]
    start = steps[-1].start
    assert start is not None
    return session, start


def anchor_of(views: list[RenderedView]) -> Anchor:
    return matched(views, [0, 4])[1].anchor


def errors(
    result: TrackingResult, views: list[RenderedView]
) -> tuple[float, npt.NDArray[np.float64]]:
    """Return the error of the rotation, degrees, and of the translation (3,)."""
    poses = {view.stamp_ns: view.world_T_camera for view in views}
    truth = inverse_transform(poses[result.reference.stamp_ns]) @ poses[result.query.stamp_ns]
    pose = result.pose.reference_T_query
    assert pose is not None
    cosine = (np.trace(truth[:3, :3].T @ pose[:3, :3]) - 1.0) / 2.0
    shift = truth[:3, 3] if result.pose.metric else truth[:3, 3] / np.linalg.norm(truth[:3, 3])
    return float(np.rad2deg(np.arccos(min(1.0, cosine)))), pose[:3, 3] - shift


def test_an_aligned_frame_has_the_points_and_the_reference_of_the_anchor(
    views: list[RenderedView],
) -> None:
    anchor = anchor_of(views)
    result = Follower().follow(frame_of(views[5]), anchor)
    assert result is not None
    assert result.source is Source.ALIGNED
    assert result.reference is anchor.reference
    assert not result.new_keyframe
    known = dict(zip(anchor.track_ids.tolist(), anchor.tracked.reference_points, strict=True))
    assert len(result.track_ids) == len(set(result.track_ids.tolist())) > 50
    for track, point in zip(
        result.track_ids.tolist(), result.matches.reference_points, strict=True
    ):
        assert np.array_equal(known[track], point)


def test_the_deviation_of_a_match_contains_that_of_the_anchor(views: list[RenderedView]) -> None:
    anchor = anchor_of(views)
    result = Follower().follow(frame_of(views[5]), anchor)
    assert result is not None
    assert (result.matches.sigma > anchor.matches.sigma.min()).all()


@pytest.mark.parametrize('metric', [False, True])
def test_poses_stay_right_as_long_as_the_points_are_in_view(
    views: list[RenderedView], metric: bool
) -> None:
    _, start = matched(views, [0, 4], metric=metric)
    follower = Follower()
    for view in views[5:13]:
        result = follower.follow(frame_of(view), start.anchor)
        assert result is not None
        assert result.pose.metric is metric
        rotation, shift = errors(result, views)
        assert rotation < 0.3
        assert np.linalg.norm(shift) < (0.01 if metric else 0.1)


def test_a_later_anchor_goes_on_from_where_its_points_are_by_then(
    views: list[RenderedView],
) -> None:
    session, start = matched(views, [0, 2])
    between = Between(OPTIONS)
    for view in views[3:7]:
        assert between.process(frame_of(view), start) is not None
    # Matched while those frames came: it is older than the last of them.
    later = session.track(frame_of(views[4])).start
    assert later is not None
    step = between.process(frame_of(views[7]), later)
    assert step is not None
    assert step.result is not None
    assert set(step.result.track_ids.tolist()) <= set(later.anchor.track_ids.tolist())
    assert errors(step.result, views)[0] < 0.3


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((240, 320), np.uint8),
        np.random.default_rng(0).integers(0, 255, (240, 320), np.uint8),
    ],
    ids=['black', 'noise'],
)
def test_a_frame_that_shows_nothing_of_it_is_left_to_the_matcher(
    views: list[RenderedView], image: npt.NDArray[np.uint8]
) -> None:
    follower, anchor = Follower(), anchor_of(views)
    assert follower.follow(replace(frame_of(views[5]), image=image), anchor) is None
    assert follower.follow(frame_of(views[6]), anchor) is not None


def test_the_same_image_again_is_left_to_the_tracker_that_knows_frozen_cameras(
    views: list[RenderedView],
) -> None:
    follower, anchor = Follower(), anchor_of(views)
    assert follower.follow(frame_of(views[5]), anchor) is not None
    again = replace(frame_of(views[5]), stamp_ns=views[6].stamp_ns)
    assert follower.follow(again, anchor) is None


def test_a_frame_of_another_size_or_an_earlier_time_is_left_to_the_matcher(
    views: list[RenderedView],
) -> None:
    anchor, frame = anchor_of(views), frame_of(views[5])
    small = replace(frame, image=frame.image[:120, :160], camera=None)
    assert Follower().follow(small, anchor) is None
    assert Follower().follow(frame_of(views[3]), anchor) is None


def test_a_frame_that_contradicts_its_calibration_is_refused(views: list[RenderedView]) -> None:
    wrong = replace(frame_of(views[5]), image=views[5].image[:100])
    with pytest.raises(FrameError, match='calibration'):
        Follower().follow(wrong, anchor_of(views))


def test_points_under_a_mask_are_not_followed(views: list[RenderedView]) -> None:
    mask = np.ones((240, 320), np.bool_)
    mask[:, 160:] = False
    _, start = matched(views, [0, 4])
    step = Between(OPTIONS, Masks(mask)).process(frame_of(views[5]), start)
    assert step is not None
    assert step.result is not None
    assert (step.result.matches.query_points[:, 0] < 160).all()


def test_without_calibration_points_are_followed_without_a_pose(
    views: list[RenderedView],
) -> None:
    session = Session(FlowMatcher(), OPTIONS)
    bare = [replace(frame_of(view), camera=None) for view in views[:3]]
    start = [session.track(frame) for frame in bare[:2]][-1].start
    assert start is not None
    step = Between(OPTIONS).process(bare[2], start)
    assert step is not None
    assert step.result is not None
    assert len(step.result.matches) > 50
    assert not step.result.pose.state.has_pose


def test_the_best_points_lie_all_over_the_image(views: list[RenderedView]) -> None:
    anchor = anchor_of(views)
    chosen = best_points(anchor, 80)
    assert len(chosen) == 80 < len(anchor.matches)
    points = anchor.matches.query_points
    assert np.ptp(points[chosen], axis=0) == pytest.approx(np.ptp(points, axis=0), rel=0.25)


def test_odometry_goes_on_through_the_frames_between(views: list[RenderedView]) -> None:
    session, start = matched(views, [0, 4], metric=True)
    between, estimates = Between(OPTIONS), []
    for view in views[5:9]:
        step = between.process(frame_of(view), start)
        assert step is not None
        estimates.append(step.estimate)
    later = session.track(frame_of(views[9], metric=True)).estimate
    assert later is not None
    for estimate, view in zip(estimates, views[5:9], strict=True):
        assert estimate is not None
        assert estimate.stamp_ns == view.stamp_ns
        assert estimate.metric
        assert not estimate.gap
    last = estimates[-1]
    assert last is not None
    step_m = np.linalg.norm(later.odom_T_base[:3, 3] - last.odom_T_base[:3, 3])
    assert 0 < step_m < 0.1


def test_frames_after_a_new_keyframe_are_placed_by_the_one_before(
    views: list[RenderedView],
) -> None:
    options = replace(OPTIONS, tracker=TrackerOptions(reference='previous'))
    session = Session(FlowMatcher(), options, odometry=BaseOdometry())
    steps = [session.track(frame_of(views[number], metric=True)) for number in (0, 3, 6)]
    start = steps[-1].start
    assert start is not None
    step = Between(options).process(frame_of(views[7], metric=True), start)
    assert step is not None
    assert step.result is not None
    assert step.result.reference.stamp_ns == views[3].stamp_ns
    assert step.estimate is not None
    assert not step.estimate.gap


def test_a_failed_frame_is_nothing_to_start_from(views: list[RenderedView]) -> None:
    session, _ = matched(views, [0, 4])
    black = replace(frame_of(views[5]), image=np.zeros((240, 320), np.uint8))
    assert session.track(black).start is None
    assert session.track(frame_of(views[6])).start is not None
