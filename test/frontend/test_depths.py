"""Modes of the tracker: metres from depth images and from right views, never out of nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from loftr_ros.frontend import Frame, FrameError, Odometry, RightView, Tracker, TrackerOptions
from loftr_ros.frontend.depths import common_points
from loftr_ros.frontend.session import Session, SessionOptions
from loftr_ros.geometry import PoseState
from loftr_ros.geometry.transforms import make_transform
from loftr_ros.matching.matches import Matches
from test.frontend.conftest import World

Array = npt.NDArray[np.float64]
BASELINE = np.array([0.3, 0.0, 0.0])
LEFT_T_RIGHT = make_transform(np.eye(3), BASELINE)
RIGHT = 100
STEADY = TrackerOptions(min_survival=0.0, min_overlap=0.0, max_parallax=10.0)
PREVIOUS = TrackerOptions(reference='previous')


@dataclass
class MetricWorld(World):
    """The world with a right camera, whose images hold their number plus 100, and with depth."""

    step: tuple[float, float, float] = (0.05, 0.0, 0.02)
    offset: float = 0.0
    back: float = 0.0
    unusable: set[int] = field(default_factory=set)
    wrong: dict[int, float] = field(default_factory=dict)

    def signature(self, features: int, /) -> npt.NDArray[np.float32]:
        return np.full(1, features > 0, np.float32)

    def position(self, index: int) -> Array:
        if index >= RIGHT:
            return self.position(index - RIGHT) + BASELINE + [0.0, self.offset, 0.0]
        return super().position(index) - [0.0, 0.0, self.back]

    def encode(self, image: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None = None) -> int:
        if int(image[0, 0]) in self.unusable:
            raise ValueError('the image is all one colour')
        return super().encode(image, mask)

    def match(self, reference: int, query: int) -> Matches:
        found = super().match(reference, query)
        rng = np.random.default_rng(query)
        wrong = rng.random(len(found)) < self.wrong.get(query, 0.0)
        points = found.query_points.copy()
        points[wrong] = rng.uniform([0, 0], [320, 240], (int(wrong.sum()), 2))
        return replace(found, query_points=points)

    def stereo(self, index: int) -> Frame:
        frame = self.frame(index)
        right = RightView(self.frame(index + RIGHT).image, self.camera, LEFT_T_RIGHT)
        return replace(frame, right=right)

    def rgbd(self, index: int) -> Frame:
        x, y = np.meshgrid(np.arange(self.camera.width), np.arange(self.camera.height))
        pixels = np.column_stack([x.ravel(), y.ravel()]).astype(np.float64)
        rays = np.column_stack([self.camera.normalize(pixels), np.ones(len(pixels))])
        position = self.position(index)
        depth = np.min(
            [
                (5.0 - position[2] - 0.4 * sign * position[0]) / (1.0 + 0.4 * sign * rays[:, 0])
                for sign in (1.0, -1.0)
            ],
            axis=0,
        )
        return replace(self.frame(index), depth=depth.reshape(x.shape).astype(np.float32))


@pytest.fixture
def metric() -> MetricWorld:
    return MetricWorld(noise=0.1)


def test_what_a_frame_carries_is_its_mode(metric: MetricWorld) -> None:
    assert metric.frame(1).mode == 'mono'
    assert metric.stereo(1).mode == 'stereo'
    assert metric.rgbd(1).mode == 'rgbd'
    assert replace(metric.stereo(1), depth=metric.rgbd(1).depth).mode == 'rgbd'


@pytest.mark.parametrize('mode', ['stereo', 'rgbd'])
@pytest.mark.parametrize('options', [STEADY, PREVIOUS])
def test_the_pose_is_in_metres(metric: MetricWorld, mode: str, options: TrackerOptions) -> None:
    tracker, odometry = Tracker(metric, options), Odometry()
    for index in range(1, 7):
        result = tracker.process(getattr(metric, mode)(index))
        if result is None:
            continue
        assert result.pose.state is PoseState.OK
        assert result.pose.metric
        assert result.pose.method == 'pnp'
        assert result.scale_problem == ''
        assert {'encode', 'match', 'depth', 'pose', 'total'} == set(result.seconds)
        estimate = odometry.update(result)
    assert estimate is not None
    moved = metric.position(6) - metric.position(1)
    np.testing.assert_allclose(estimate.odom_T_base[:3, 3], moved, atol=0.02)
    assert estimate.metric


def test_a_still_stereo_camera_has_a_full_pose(metric: MetricWorld) -> None:
    metric.step = (0.0, 0.0, 0.0)
    tracker = Tracker(metric, STEADY)
    tracker.process(metric.stereo(1))
    result = tracker.process(metric.stereo(2))
    assert result is not None
    assert result.pose.metric
    assert result.pose.reference_T_query is not None
    np.testing.assert_allclose(result.pose.reference_T_query[:3, 3], 0.0, atol=0.01)


def test_right_images_of_references_only_are_encoded_and_once(metric: MetricWorld) -> None:
    tracker = Tracker(metric, STEADY)
    for index in range(1, 6):
        tracker.process(metric.stereo(index))
    assert sorted(metric.encoded) == [1, 2, 3, 4, 5, RIGHT + 1]


def test_a_pair_in_metres(metric: MetricWorld) -> None:
    result = Tracker(metric, STEADY).match_pair(metric.rgbd(2), metric.frame(5))
    assert result.pose.metric
    assert result.pose.reference_T_query is not None
    moved = metric.position(5) - metric.position(2)
    np.testing.assert_allclose(result.pose.reference_T_query[:3, 3], moved, atol=0.02)


def without_depth(metric: MetricWorld) -> list[tuple[Frame, str]]:
    rgbd, stereo = metric.rgbd(1), metric.stereo(1)
    swapped = replace(
        stereo, right=RightView(stereo.image, metric.camera, make_transform(np.eye(3), -BASELINE))
    )
    assert rgbd.depth is not None
    assert stereo.right is not None
    black = replace(stereo.right, image=np.zeros_like(stereo.image))
    return [
        (replace(rgbd, depth=np.full_like(rgbd.depth, np.nan)), '0 matches have a depth'),
        (replace(rgbd, depth=np.zeros_like(rgbd.depth)), '0 matches have a depth'),
        (replace(rgbd, depth=-rgbd.depth), '0 matches have a depth'),
        (replace(stereo, right=black), '0 matches have a depth'),
        (
            swapped,
            'matches have a depth|do not determine|agree on a motion|two motions|contradicts',
        ),
    ]


@pytest.mark.parametrize('case', range(5))
def test_without_depth_the_pose_has_no_scale_and_says_why(metric: MetricWorld, case: int) -> None:
    frame, reason = without_depth(metric)[case]
    tracker, odometry = Tracker(metric, STEADY), Odometry()
    tracker.process(frame)
    result = tracker.process(metric.frame(8))
    assert result is not None
    assert result.pose.state is PoseState.OK
    assert not result.pose.metric
    assert pytest.approx(1.0) == np.linalg.norm(result.pose.reference_T_query[:3, 3])  # type: ignore[index]
    assert any(part in result.scale_problem for part in reason.split('|'))
    estimate = odometry.update(result)
    assert estimate is not None
    assert not estimate.metric


def swapped_stereo(metric: MetricWorld, index: int) -> Frame:
    """Return a frame whose left image is that of the right camera, and the reverse."""
    frame = metric.frame(index + RIGHT)
    right = RightView(metric.frame(index).image, metric.camera, LEFT_T_RIGHT)
    return replace(frame, stamp_ns=metric.frame(index).stamp_ns, right=right)


def test_swapped_views_are_named_in_each_result_and_noticed_once(metric: MetricWorld) -> None:
    session: Session[int] = Session(metric, SessionOptions(STEADY))
    steps = [session.process(swapped_stereo(metric, index)) for index in range(1, 6)]
    results = [step.result for step in steps if step.result is not None]
    assert len(results) == 4
    for result in results:
        assert result.swapped
        assert not result.pose.metric
        assert result.scale_problem.startswith('left and right look swapped: ')
        assert result.scale_problem.endswith('exchanged, 0 as they are')
    notices = [step.notice for step in steps if step.notice]
    assert notices == [f'{results[0].scale_problem}: exchange the topics of both cameras']
    session.reset()
    again = [session.process(swapped_stereo(metric, index)).notice for index in range(6, 9)]
    assert [bool(notice) for notice in again] == [False, True, False]


@pytest.mark.parametrize('far', [False, True])
def test_views_in_order_do_not_look_swapped(metric: MetricWorld, far: bool) -> None:
    if far:  # all disparities are noise
        metric.back = 5000.0
    session: Session[int] = Session(metric, SessionOptions(STEADY))
    steps = [session.process(metric.stereo(index)) for index in range(1, 5)]
    assert not any(step.notice for step in steps)
    assert not any(step.result.swapped for step in steps if step.result is not None)


def test_a_right_view_off_its_epipolar_lines_gives_no_depth(metric: MetricWorld) -> None:
    metric.offset = 0.1
    tracker = Tracker(metric, STEADY)
    tracker.process(metric.stereo(1))
    result = tracker.process(metric.stereo(8))
    assert result is not None
    assert not result.pose.metric
    assert 'matches have a depth' in result.scale_problem


def test_a_right_image_that_cannot_be_encoded_is_named(metric: MetricWorld) -> None:
    metric.unusable = {RIGHT + 1}
    tracker = Tracker(metric, STEADY)
    tracker.process(metric.stereo(1))
    result = tracker.process(metric.stereo(8))
    assert result is not None
    assert not result.pose.metric
    assert result.scale_problem == 'the right image cannot be used: the image is all one colour'


def test_a_frame_without_scale_does_not_become_the_keyframe_of_metric_ones(
    metric: MetricWorld,
) -> None:
    options = replace(STEADY, max_parallax=0.001)
    tracker = Tracker(metric, options)
    tracker.process(without_depth(metric)[0][0])
    first, second = tracker.process(metric.rgbd(3)), tracker.process(metric.rgbd(4))
    assert first is not None
    assert second is not None
    assert not first.new_keyframe
    third = tracker.process(metric.rgbd(5))
    assert third is not None
    assert third.new_keyframe  # the third failure in a row ends the keyframe
    fourth = tracker.process(metric.rgbd(6))
    assert fourth is not None
    assert fourth.pose.metric


def test_a_keyframe_ends_when_too_few_points_agree_with_the_pose(metric: MetricWorld) -> None:
    metric.wrong = {3: 0.1, 4: 0.3}
    tracker = Tracker(metric, replace(STEADY, min_survival=0.6))
    tracker.process(metric.stereo(1))
    results = [tracker.process(metric.stereo(index)) for index in (2, 3, 4)]
    assert all(result is not None and result.pose.metric for result in results)
    assert [result.new_keyframe for result in results if result] == [False, False, True]


def malformed(metric: MetricWorld) -> list[tuple[Frame, str]]:
    rgbd, stereo = metric.rgbd(2), metric.stereo(2)
    assert stereo.right is not None
    right = stereo.right
    return [
        (replace(rgbd, depth=np.zeros((4, 4), np.float32)), 'must be registered to the image'),
        (replace(rgbd, depth=np.zeros((240, 320), np.uint16)), 'array of floats in metres'),
        (replace(stereo, right=replace(right, image=right.image[:-1])), 'the right image has'),
        (replace(stereo, right=replace(right, image=right.image[:0])), 'the right image is empty'),
        (replace(stereo, right=replace(right, left_T_right=np.eye(4))), 'no baseline'),
        (
            replace(stereo, right=replace(right, left_T_right=2 * np.eye(4))),
            'left_T_right is no rotation',
        ),
    ]


@pytest.mark.parametrize('case', range(6))
def test_malformed_depth_and_right_views_are_refused(metric: MetricWorld, case: int) -> None:
    frame, message = malformed(metric)[case]
    tracker = Tracker(metric, STEADY)
    tracker.process(metric.stereo(1))
    with pytest.raises(FrameError, match=message):
        tracker.process(frame)
    assert tracker.process(metric.stereo(3)) is not None


def matches(cells: list[int], points: list[tuple[float, float]]) -> Matches:
    count = len(cells)
    array = np.array(points, np.float32).reshape(-1, 2)
    ones = np.ones(count, np.float32)
    return Matches(array, array, ones, ones, np.array(cells, np.int64), (10, 10))


def test_common_points_are_those_of_the_same_cell() -> None:
    first = matches([3, 7, 9], [(0, 0), (1, 1), (2, 2)])
    second = matches([9, 4, 3], [(2.1, 2), (1, 1), (0, 0.1)])
    one, other = common_points(first, second)
    assert one.tolist() == [2, 0]
    assert other.tolist() == [0, 2]


def test_common_points_without_a_grid_are_the_same_points() -> None:
    first = matches([-1, -1, -1], [(0, 0), (1.5, 1), (2, 2)])
    second = matches([-1, -1], [(2, 2), (1.5, 1.25)])
    one, other = common_points(first, second)
    assert one.tolist() == [2]
    assert other.tolist() == [0]


def test_masks_of_both_cameras_reach_the_matcher(metric: MetricWorld) -> None:
    size = metric.camera.size
    left, right = np.ones(size, np.bool_), np.zeros(size, np.bool_)
    tracker = Tracker(metric, STEADY)
    for index in (1, 2):
        frame = metric.stereo(index)
        assert frame.right is not None
        tracker.process(replace(frame, mask=left, right=replace(frame.right, mask=right)))
    masks = dict(zip(metric.encoded, metric.masks, strict=True))
    assert masks[1] is left
    assert masks[2] is left
    assert masks[RIGHT + 1] is right


@pytest.mark.parametrize('name', ['mask', 'right mask'])
@pytest.mark.parametrize('mask', [np.ones((3, 5), np.bool_), np.ones((480, 640), np.uint8)])
def test_a_mask_that_does_not_fit_its_image_is_refused(
    metric: MetricWorld, name: str, mask: npt.NDArray[np.bool_]
) -> None:
    frame = metric.stereo(1)
    right = frame.right
    assert right is not None
    changed = {'mask': mask} if name == 'mask' else {'right': replace(right, mask=mask)}
    with pytest.raises(FrameError, match=f'the {name} is {mask.dtype} of .* must be bool'):
        Tracker(metric, STEADY).process(replace(frame, **changed))
