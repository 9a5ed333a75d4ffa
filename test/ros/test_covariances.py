"""Every covariance that is published is symmetric and positive semi-definite, in every mode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loftr_ros.codecs.conversions import covariance_to_msg
from loftr_ros.frontend import (
    BaseOdometry,
    Frame,
    OdometryEstimate,
    RightView,
    Step,
    TrackerOptions,
)
from loftr_ros.frontend.session import Session, SessionOptions
from loftr_ros.geometry.quaternions import rotation_from_quaternion
from loftr_ros.geometry.transforms import make_transform
from loftr_ros.msg import RelativePose as RelativePoseMsg
from loftr_ros.ros.odometry import displacement_covariance, odometry_to_msg
from loftr_ros.ros.outputs import result_to_msgs
from test.frontend.conftest import World

Array = npt.NDArray[np.float64]
RIGHT = 100
BASELINE = (0.3, 0.0, 0.0)
ROUNDING = 1e-12
"""Of the largest variance: that of the check itself."""


class MovingWorld(World):
    """A world with a right camera, whose images hold their number plus 100."""

    def position(self, index: int) -> Array:
        if index >= RIGHT:
            return super().position(index - RIGHT) + BASELINE
        return super().position(index)

    def signature(self, features: int, /) -> npt.NDArray[np.float32]:
        return np.full(1, features > 0, np.float32)

    def of_mode(self, mode: str, index: int) -> Frame:
        frame = self.frame(index)
        if mode == 'stereo':
            image = self.frame(index + RIGHT).image
            transform = make_transform(np.eye(3), np.array(BASELINE))
            return replace(frame, right=RightView(image, self.camera, transform))
        if mode == 'rgbd':
            _, points = self.points_of_cells(index)
            rows, columns = self.camera.height // 8, self.camera.width // 8
            depth = (points[:, 2] - self.position(index)[2]).reshape(rows, columns)
            return replace(frame, depth=np.kron(depth, np.ones((8, 8))).astype(np.float32))
        return frame


def check(values: Any, *, may_be_unknown: bool) -> None:  # noqa: ANN401 - array of a message
    covariance = np.array(values, np.float64).reshape(6, 6)
    if may_be_unknown and np.isnan(covariance).all():
        return
    np.testing.assert_array_equal(covariance, covariance.T)
    known = np.isfinite(np.diag(covariance))
    assert known[3:].all()
    assert (np.diag(covariance)[~known] == np.inf).all()
    assert not covariance[np.ix_(known, ~known)].any()
    block = covariance[np.ix_(known, known)]
    assert np.isfinite(block).all()
    assert np.linalg.eigvalsh(block)[0] >= -ROUNDING * np.abs(block).max()


def steps(mode: str, world: MovingWorld, reference: str, base_T_camera: Array) -> Iterator[Step]:
    options = TrackerOptions(reference=reference)
    odometry = BaseOdometry(lambda _: base_T_camera)
    session: Session[int] = Session(world, SessionOptions(options), odometry=odometry)
    for index in (1, 2, 3, 0, 5, 6):  # number 0 matches nothing: a gap
        frame = world.of_mode(mode, index) if index else world.frame(0, 4 * 10**8)
        if mode == 'pair':
            yield Step(session.match_pair(frame, world.frame(index + 1)))
            continue
        odometry.set_speed(frame.stamp_ns, 0.5)
        yield session.process(frame)


@pytest.mark.parametrize('mode', ['mono', 'stereo', 'rgbd', 'pair'])
@settings(max_examples=15, deadline=None)
@given(
    step=st.tuples(*[st.sampled_from([0.0, 1e-4, 0.05, -0.1])] * 3),
    noise=st.sampled_from([0.0, 0.1, 2.0]),
    reference=st.sampled_from(['previous', 'keyframe']),
    quaternion=st.tuples(*[st.floats(-1, 1)] * 3),
)
def test_covariances_of_every_message(
    mode: str,
    step: tuple[float, float, float],
    noise: float,
    reference: str,
    quaternion: tuple[float, float, float],
) -> None:
    world = MovingWorld(noise=noise, step=step)
    base_T_camera = np.eye(4)
    orientation = np.array([*quaternion, 1.5])
    base_T_camera[:3, :3] = rotation_from_quaternion(orientation / np.linalg.norm(orientation))
    base_T_camera[:3, 3] = 0.3, -0.1, 1.2
    last: OdometryEstimate | None = None
    for one in steps(mode, world, reference, base_T_camera):
        if one.result is not None:
            _, msg = result_to_msgs(one.result, RelativePoseMsg.KIND_KEYFRAME, '', '')
            check(msg.pose.covariance, may_be_unknown=True)
            assert np.isnan(msg.pose.covariance).all() == (not one.result.pose.state.has_pose)
        estimate = one.estimate
        if estimate is None:
            continue
        for covariance in (None, displacement_covariance(estimate, last)):
            odometry = odometry_to_msg(estimate, 'odom', 'base', covariance)
            check(odometry.pose.covariance, may_be_unknown=False)
            check(odometry.twist.covariance, may_be_unknown=False)
        last = estimate


@given(
    factor=st.lists(st.floats(-1e3, 1e3), min_size=36, max_size=36),
    rank=st.integers(0, 6),
    error=st.floats(0, 1e-9),
    unknown=st.booleans(),
)
def test_rounding_errors_are_taken_out_and_nothing_else(
    factor: list[float], rank: int, error: float, unknown: bool
) -> None:
    root = np.reshape(factor, (6, 6))[:, :rank]
    exact = root @ root.T
    rounded = exact + error * np.abs(exact).max() * np.tri(6)
    if unknown:
        rounded[:3], rounded[:, :3] = 0.0, 0.0
        rounded[range(3), range(3)] = np.inf
    written = covariance_to_msg(rounded)
    check(written, may_be_unknown=False)
    finite = np.isfinite(rounded)
    off = np.abs(written.reshape(6, 6)[finite] - rounded[finite])
    assert off.max(initial=0.0) <= (10 * error + 1e-14) * np.abs(exact).max()
