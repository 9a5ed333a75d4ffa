"""Odometry through frames that show nothing: a rendered room, and a gyroscope that is simulated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest

from loftr_ros.frontend import (
    BaseOdometry,
    Between,
    Frame,
    Gyroscope,
    GyroscopeOptions,
    Session,
    SessionOptions,
    Step,
    TrackerOptions,
    TrackingState,
)
from loftr_ros.geometry import Camera
from loftr_ros.geometry.rotations import rotation_from_vector, rotation_vector
from loftr_ros.geometry.transforms import inverse_transform, make_transform
from loftr_ros.rendering.gyroscope import SimulatedGyroscope
from loftr_ros.rendering.room import RenderedView, camera_pose, render_room_sequence
from test.helpers.flow_matcher import FlowFeatures, FlowMatcher

Array = npt.NDArray[np.float64]
RATE_HZ = 20.0
DARK = slice(20, 30)
"""Half a second without light."""
MOUNTED = rotation_from_vector(np.array([1.2, -0.4, 0.3]))
BIAS = np.array([0.02, -0.03, 0.015])
SIMULATED = SimulatedGyroscope(MOUNTED, BIAS, noise_density=1e-3, offset_s=0.003)
KNOWN = GyroscopeOptions(noise_density=1e-3)
OPTIONS = SessionOptions(TrackerOptions(max_failures=30))


def shaken(seconds: float) -> Array:
    """Return the pose of a camera that looks to and fro, twice a second, by 60 degrees a second."""
    time = seconds * 10.0 / RATE_HZ
    phase = 4.0 * np.pi * time
    rotation = rotation_from_vector(0.08 * np.array([np.cos(phase), np.sin(phase), 0.0]))
    return camera_pose(time) @ make_transform(rotation, np.zeros(3))


@pytest.fixture(scope='module')
def views() -> list[RenderedView]:
    return list(render_room_sequence(45, width=320, height=240, rate_hz=RATE_HZ, path=shaken))


def frame_of(view: RenderedView, *, dark: bool = False) -> Frame:
    height, width = view.image.shape
    image = view.image
    if dark:
        image = np.random.default_rng(view.stamp_ns).integers(0, 4, (height, width), np.uint8)
    camera = Camera(width, height, view.matrix)
    depth = np.full_like(view.depth, np.nan) if dark else view.depth
    return Frame(view.stamp_ns, image, 'camera', camera, depth)


def samples_of(views: list[RenderedView]) -> tuple[npt.NDArray[np.int64], Array]:
    stamps = np.array([view.stamp_ns for view in views], np.int64)
    return SIMULATED.samples(stamps, np.stack([view.world_T_camera[:3, :3] for view in views]))


def filled(views: list[RenderedView]) -> Gyroscope:
    gyroscope = Gyroscope(MOUNTED, KNOWN)
    for stamp, rate in zip(*samples_of(views), strict=True):
        gyroscope.add(int(stamp), rate)
    return gyroscope


@dataclass
class Run:
    """What a session made of the views, some of them dark."""

    steps: list[Step]
    gyroscope: Gyroscope | None

    def errors(self, views: list[RenderedView]) -> dict[int, Array]:
        """Return translation, m, and rotation, rad, of the errors (6,) by the number of a view."""
        start = inverse_transform(views[0].world_T_camera)
        found = {}
        for number, step in enumerate(self.steps):
            if step.estimate is not None:
                truth = start @ views[number].world_T_camera
                pose = step.estimate.odom_T_base
                rotated = rotation_vector(truth[:3, :3] @ pose[:3, :3].T)
                found[number] = np.concatenate([truth[:3, 3] - pose[:3, 3], rotated])
        return found


def run(
    views: list[RenderedView],
    dark: slice = DARK,
    *,
    with_gyroscope: bool = True,
    options: SessionOptions = OPTIONS,
) -> Run:
    gyroscope = Gyroscope(MOUNTED, KNOWN) if with_gyroscope else None
    odometry = BaseOdometry(gyroscope=gyroscope)
    session: Session[FlowFeatures] = Session(
        FlowMatcher(), options, odometry=odometry, gyroscope=gyroscope
    )
    stamps, rates = samples_of(views)
    steps, given = [], 0
    for number, view in enumerate(views):
        while given < len(stamps) and stamps[given] <= view.stamp_ns:
            session.add_imu(int(stamps[given]), rates[given])
            given += 1
        hidden = number in range(*dark.indices(len(views)))
        steps.append(session.process(frame_of(view, dark=hidden)))
    return Run(steps, gyroscope)


@pytest.fixture(scope='module')
def bridged(views: list[RenderedView]) -> Run:
    return run(views)


def test_in_the_dark_the_rotation_goes_on(views: list[RenderedView], bridged: Run) -> None:
    errors = bridged.errors(views)
    before = views[DARK.start - 1].world_T_camera[:3, :3]
    rotated = [rotation_vector(before.T @ view.world_T_camera[:3, :3]) for view in views[DARK]]
    assert np.rad2deg(np.linalg.norm(rotated, axis=1).max()) > 5.0
    for number in range(DARK.start, DARK.stop):
        step = bridged.steps[number]
        assert step.estimate is not None
        assert step.estimate.bridged
        grown = errors[number][3:] - errors[DARK.start - 1][3:]
        assert np.rad2deg(np.linalg.norm(grown)) < 0.4


def test_without_a_gyroscope_there_is_nothing_in_the_dark(views: list[RenderedView]) -> None:
    steps = run(views[: DARK.stop], with_gyroscope=False).steps
    assert not any(step.estimate for step in steps[DARK])


def test_the_state_says_so_and_the_pose_stays_that_of_the_images(bridged: Run) -> None:
    for step in bridged.steps[DARK]:
        assert step.result is not None
        assert step.result.state is TrackingState.BRIDGED
        assert not step.result.pose.state.has_pose
    after = bridged.steps[DARK.stop].result
    assert after is not None
    assert after.state is TrackingState.RECOVERED


def test_the_covariance_grows_in_the_dark_and_holds_the_error(
    views: list[RenderedView], bridged: Run
) -> None:
    errors, sizes = bridged.errors(views), []
    for number in range(DARK.start, DARK.stop):
        estimate = bridged.steps[number].estimate
        assert estimate is not None
        sizes.append(np.trace(estimate.covariance[3:, 3:]))
        # Beyond 22.5 lies one of a thousand with six degrees of freedom.
        assert errors[number] @ np.linalg.solve(estimate.covariance, errors[number]) < 22.5
    before = bridged.steps[DARK.start - 1].estimate
    assert before is not None
    assert min(sizes) > np.trace(before.covariance[3:, 3:])
    assert sizes[-1] > sizes[0]


def test_the_first_match_afterwards_corrects(views: list[RenderedView], bridged: Run) -> None:
    errors = bridged.errors(views)
    after = bridged.steps[DARK.stop].estimate
    assert after is not None
    assert not after.bridged
    assert not after.gap
    lengths = {number: np.linalg.norm(error[:3]) for number, error in errors.items()}
    assert lengths[DARK.stop] < 0.05
    assert lengths[DARK.stop] < lengths[DARK.stop - 1]
    assert np.rad2deg(np.linalg.norm(errors[DARK.stop][3:])) < 1.0


def test_where_tracking_starts_anew_the_gyroscope_is_the_link(views: list[RenderedView]) -> None:
    impatient = SessionOptions(TrackerOptions(reference='previous', max_failures=3))
    dark = slice(20, 23)
    with_it = run(views, dark, options=impatient)
    without = run(views, dark, with_gyroscope=False, options=impatient)
    last = max(with_it.errors(views))
    rotated = [np.linalg.norm(one.errors(views)[last][3:]) for one in (with_it, without)]
    assert np.rad2deg(rotated[0]) < 1.5
    assert rotated[0] < 1.5 * rotated[1]


def test_the_bias_is_learned_on_the_way(bridged: Run) -> None:
    assert bridged.gyroscope is not None
    error = MOUNTED @ (bridged.gyroscope.bias - BIAS)
    assert np.linalg.norm(error) < 0.3 * np.linalg.norm(BIAS)
    assert bridged.gyroscope.problem == ''


def test_a_repeated_image_is_not_bridged(views: list[RenderedView]) -> None:
    frozen = [*views[:10], replace(views[9], stamp_ns=views[9].stamp_ns + 10_000_000)]
    last = run(frozen, slice(0)).steps[-1]
    assert last.result is not None
    assert last.result.state is TrackingState.FROZEN
    assert last.estimate is None


def test_a_rotation_that_the_motion_so_far_does_not_tell_is_followed() -> None:
    def jerk(seconds: float) -> Array:
        time = seconds / 3.0
        angle = 8.0 * max(0.0, time - 0.2)
        return camera_pose(time) @ make_transform(
            rotation_from_vector(np.array([0.0, angle, 0.0])), np.zeros(3)
        )

    rendered = list(render_room_sequence(12, width=640, height=480, rate_hz=30.0, path=jerk))
    session: Session[FlowFeatures] = Session(FlowMatcher(), SessionOptions(follow=True))
    steps = [session.track(frame_of(view)) for view in rendered[:5:4]]
    start = steps[-1].start
    assert start is not None
    options, jumped = SessionOptions(follow=True), frame_of(rendered[7])
    for gyroscope, expected in ((None, False), (filled(rendered), True)):
        between = Between(options, gyroscope=gyroscope)
        for view in rendered[5:7]:
            assert between.process(frame_of(view), start) is not None
        assert (between.process(jumped, start) is not None) is expected
