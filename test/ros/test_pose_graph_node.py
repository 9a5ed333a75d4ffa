"""The example back-end on DDS: a square with noise, and a loop closure that corrects it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from geometry_msgs.msg import PoseStamped, PoseWithCovariance
from harness import Client, NodeProcess, running_node, wait_until
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path as PathMsg
from scenes import header
from std_srvs.srv import Trigger

from loftr_ros.codecs.conversions import pose_from_msg, pose_to_msg, stamp_to_msg
from loftr_ros.geometry.rotations import rotation_from_vector
from loftr_ros.geometry.transforms import inverse_transform, make_transform
from loftr_ros.msg import RelativePose

pytest.importorskip('gtsam', reason='gtsam is not installed (requirements/gtsam.txt)')

Array = npt.NDArray[np.float64]

PROGRAM = Path(__file__).parents[2] / 'examples' / 'pose_graph_node.py'
REMAPPINGS = ['-r', 'relative_pose:=/loftr/relative_pose', '-r', 'odometry:=/loftr/odometry']
COMMAND = [sys.executable, str(PROGRAM), '--ros-args', *REMAPPINGS]
SECOND = 10**9
SIDE = 4
SPREAD = np.diag([0.02, 0.02, 0.02, 0.03, 0.03, 0.03]) ** 2
# The camera looks along x of the base.
BASE_T_CAMERA = make_transform(np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]), np.zeros(3))


def square() -> Array:
    """Poses of a camera that drives along a square of 4 m and comes back to the start."""
    ahead = make_transform(np.eye(3), np.array([0, 0, 1.0]))
    right_angle = make_transform(rotation_from_vector(np.array([0, np.pi / 2, 0])), np.zeros(3))
    poses = [np.eye(4)]
    for step in range(4 * SIDE):
        corner = right_angle if step % SIDE == SIDE - 1 else np.eye(4)
        poses.append(poses[-1] @ ahead @ corner)
    return np.array(poses)


POSES = square()
LAST = len(POSES) - 1


def pose_msg(reference: int, query: int, **fields: Any) -> RelativePose:  # noqa: ANN401
    """Describe the motion between two corners of the path, rotated a little too far."""
    msg = RelativePose(
        header=header(query * SECOND), reference_stamp=stamp_to_msg(reference * SECOND)
    )
    true = inverse_transform(POSES[reference]) @ POSES[query]
    drift = make_transform(rotation_from_vector(np.array([0, 0.02, 0])), np.array([0, 0, 0.01]))
    loop = fields.get('kind') == RelativePose.KIND_LOOP
    msg.pose = pose_to_msg(true if loop else true @ drift, SPREAD)
    msg.kind, msg.state, msg.metric = RelativePose.KIND_KEYFRAME, RelativePose.STATE_OK, True
    for name, value in fields.items():
        setattr(msg, name, value)
    return msg


def odometry_msg(index: int, odom_T_base: Array) -> Odometry:
    msg = Odometry(header=header(index * SECOND), child_frame_id='base_link')
    msg.header.frame_id = 'odom'
    msg.pose = pose_to_msg(odom_T_base, SPREAD)
    return msg


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the truth: the positions of POSES, in a frame of its own."""
    folder = tmp_path_factory.mktemp('graph')
    rows = [f'{i} {" ".join(map(str, pose[:3, 3]))} 0 0 0 1\n' for i, pose in enumerate(POSES)]
    (folder / 'truth.tum').write_text(''.join(rows))
    return folder


@pytest.fixture(scope='module')
def node(folder: Path) -> Iterator[NodeProcess]:
    parameters = {'output': str(folder / 'out'), 'ground_truth': str(folder / 'truth.tum')}
    with running_node(folder, parameters, COMMAND) as process:
        yield process


class Session:
    """A client that speaks for loftr_ros, and what the back-end published."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.paths: list[PathMsg] = []
        self.poses: list[PoseStamped] = []
        client.listen(PathMsg, '/pose_graph/path', self.paths.append)
        client.listen(PoseStamped, '/pose_graph/pose', self.poses.append)
        self.relative_poses = client.publisher(RelativePose, '/loftr/relative_pose', 100)
        self.odometry = client.publisher(Odometry, '/loftr/odometry', 100)
        for publisher in (self.relative_poses, self.odometry):
            wait_until(publisher.get_subscription_count, 'the back-end to listen')
        wait_until(
            lambda: self.client.node.count_publishers('/pose_graph/path'), 'the back-end to speak'
        )

    def path(self) -> Array:
        """Return the newest positions of the base in the map."""
        points = [pose.pose.position for pose in self.paths[-1].poses]
        return np.array([[point.x, point.y, point.z] for point in points])

    def save(self) -> Trigger.Response:
        return self.client.call(Trigger, '/pose_graph/save', Trigger.Request())


@pytest.fixture(scope='module')
def session(node: NodeProcess) -> Iterator[Session]:
    with closing(Client()) as client:
        yield Session(client)


def test_without_a_keyframe_there_is_nothing_to_save(session: Session) -> None:
    response = session.save()
    assert not response.success
    assert response.message == 'there is no keyframe yet'


def test_keyframes_become_a_path_of_the_base(session: Session) -> None:
    for index in range(1, LAST + 1):
        session.relative_poses.publish(pose_msg(index - 1, index))
    wait_until(lambda: session.paths and len(session.paths[-1].poses) == LAST, 'the whole path')
    path = session.path()
    assert np.allclose(path[0], 0, atol=1e-9)
    assert np.allclose(path[1], [1.01, 0, 0], atol=1e-6)  # ahead is x of the base
    assert session.paths[-1].header.frame_id == 'map'
    assert np.linalg.norm(path[-1] - (BASE_T_CAMERA @ POSES[LAST - 1])[:3, 3]) > 0.3


def test_what_is_no_metric_pose_is_left_out(session: Session, node: NodeProcess) -> None:
    count, later = len(session.path()), header((LAST + 1) * SECOND)
    nonsense = pose_msg(LAST, 0, header=later)
    nonsense.pose.covariance = np.zeros(36)
    for msg in (
        pose_msg(LAST, 0, header=later, state=RelativePose.STATE_LOST),
        pose_msg(LAST, 0, header=later, metric=False),
        pose_msg(LAST, 0, header=later, kind=RelativePose.KIND_PAIR),
        nonsense,
    ):
        session.relative_poses.publish(msg)
    wait_until(lambda: 'not positive definite' in node.text(), 'the refusal to be reported')
    assert len(session.path()) == count


def test_a_loop_closure_corrects_the_path_and_the_frame_of_the_odometry(
    session: Session, node: NodeProcess
) -> None:
    drifted = make_transform(rotation_from_vector(np.array([0, 0, 0.3])), np.array([0.5, 0, 0]))
    session.odometry.publish(odometry_msg(LAST, drifted))
    wait_until(lambda: session.poses, 'the pose before')
    session.relative_poses.publish(pose_msg(0, LAST, kind=RelativePose.KIND_LOOP))
    wait_until(lambda: 'loop closure' in node.text(), 'the loop to be reported')
    wait_until(lambda: len(session.paths[-1].poses) == LAST + 1, 'the path with the last keyframe')
    path = session.path()
    truth = (BASE_T_CAMERA @ POSES)[:, :3, 3]
    assert np.linalg.norm(path[-1]) < 0.05
    assert np.linalg.norm(path - truth, axis=1).max() < 0.3
    session.odometry.publish(odometry_msg(LAST + 1, drifted))
    wait_until(lambda: len(session.poses) > 1, 'the pose after')
    corrected, _ = pose_from_msg(PoseWithCovariance(pose=session.poses[-1].pose))
    # The base stands where it started, whatever the odometry says.
    assert np.allclose(corrected, BASE_T_CAMERA @ POSES[LAST] @ BASE_T_CAMERA.T, atol=0.05)


def test_the_report_says_what_the_loop_was_worth(session: Session, folder: Path) -> None:
    response = session.save()
    assert response.success, response.message
    summary = json.loads((folder / 'out' / 'summary.json').read_text())
    assert summary['keyframes'] == LAST + 1
    assert summary['loops'] == summary['believed'] == 1
    assert summary['gaps'] == 0
    assert summary['ate_before_m'] > 0.2
    assert summary['ate_after_m'] < 0.5 * summary['ate_before_m']
    assert len((folder / 'out' / 'after.tum').read_text().splitlines()) == LAST + 1
    picture = cv2.imread(str(folder / 'out' / 'trajectory.png'))
    assert picture is not None
    colours = {tuple(colour) for colour in picture.reshape(-1, 3)}
    assert (0x0E, 0x7F, 0xFF) in colours  # orange, the path before
    assert (0xB4, 0x77, 0x1F) in colours  # blue, the path after


def test_who_comes_late_gets_the_path_as_well(session: Session) -> None:
    paths: list[PathMsg] = []
    session.client.listen(PathMsg, '/pose_graph/path', paths.append)
    wait_until(lambda: paths, 'the path')
    assert len(paths[-1].poses) == LAST + 1


def test_a_clock_that_goes_back_starts_the_graph_over(session: Session, node: NodeProcess) -> None:
    session.relative_poses.publish(pose_msg(0, 1))
    wait_until(lambda: len(session.paths[-1].poses) == 1, 'a new path')
    assert 'time went back' in node.text()


def test_a_wrong_parameter_ends_the_node_with_the_reason(tmp_path: Path) -> None:
    log = tmp_path / 'node.log'
    node = NodeProcess(log, COMMAND, {'sigma_factor': 0.0})
    assert node.process.wait(20) == 2
    assert 'sigma_factor must be positive' in node.text()
    assert 'Traceback' not in node.text()
