"""Loops of the real node on DDS: a camera that comes by again, and a past that is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from harness import Camera, Client, NodeProcess, running_node, wait_until
from scenes import STEP_NS, picture
from std_srvs.srv import Trigger

from loftr_ros.codecs.conversions import relative_pose_from_msg
from loftr_ros.codecs.stamps import stamp_from_msg
from loftr_ros.frontend import Frame, LoopClosure
from loftr_ros.geometry import RelativePose as Pose
from loftr_ros.matching.matches import Matches
from loftr_ros.msg import RelativePose
from loftr_ros.ros.outputs import loop_to_msg

# The scene starts over after so many pictures.
LAP = 60
# So many images at a time fit into the receive buffer of a busy node.
BURST = 5
START_NS = 100 * 10**9


def loops(client: Client) -> list[RelativePose]:
    return [pose for pose in list(client.poses) if pose.kind == RelativePose.KIND_LOOP]


def lap_and_place(stamp_ns: int) -> tuple[int, int]:
    """Return the lap of a stamp and the number of its picture within the lap."""
    return divmod((stamp_ns - START_NS) // STEP_NS, LAP)


def drive(client: Client, camera: Camera, images: int) -> None:
    """Send images, and wait for the pose of each."""
    for sent in range(1, images + 1):
        camera.send()
        if sent % BURST == 0 or sent == images:
            wait_until(lambda: answered(client, camera.stamp_ns), 'the pose of an image')


@pytest.fixture(scope='module')
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    parameters = {
        'reference': 'previous',
        'input.process_every_frame': True,
        'input.queue_size': 100,
    }
    parameters |= {'loop.enabled': True, 'loop.min_age': 1.5, 'loop.interval': 0.0}
    parameters |= {'loop.memory': 40}
    with running_node(tmp_path_factory.mktemp('loops'), parameters) as process:
        yield process


@pytest.fixture(scope='module')
def client(node: NodeProcess) -> Iterator[Client]:
    with closing(Client()) as client:
        wait_until(lambda: client.state() == 'active', 'the node to be active')
        yield client


@pytest.fixture(scope='module')
def camera(client: Client) -> Camera:
    camera = Camera(client, start_ns=START_NS)
    camera.wait_for_subscriber()
    wait_until(lambda: client.poses, 'the first pose', camera.send)
    return camera


def test_a_camera_that_comes_by_again_closes_loops(client: Client, camera: Camera) -> None:
    drive(client, camera, LAP)
    wait_until(lambda: len(loops(client)) >= 2, 'two loops', camera.send)
    of_frames = [pose for pose in list(client.poses) if pose.kind != RelativePose.KIND_LOOP]
    keyframes = {stamp_from_msg(pose.header.stamp) for pose in of_frames}
    # The first frame is only ever a reference.
    keyframes |= {stamp_from_msg(pose.reference_stamp) for pose in of_frames}
    for msg in loops(client):
        query, reference = stamp_from_msg(msg.header.stamp), stamp_from_msg(msg.reference_stamp)
        assert query - reference >= 1.5e9
        assert {query, reference} <= keyframes
        (lap, place), (earlier_lap, same_place) = lap_and_place(query), lap_and_place(reference)
        assert lap > earlier_lap
        assert abs(place - same_place) <= 3
        assert msg.inliers >= 20
        assert relative_pose_from_msg(msg).state.has_pose
        assert msg.query_frame_id == msg.header.frame_id


def test_after_a_reset_there_is_nothing_to_come_back_to(client: Client, camera: Camera) -> None:
    assert client.call(Trigger, '/loftr/reset', Trigger.Request()).success
    camera.index, reset_ns = 5, camera.stamp_ns
    drive(client, camera, LAP // 2)
    assert not [pose for pose in loops(client) if stamp_from_msg(pose.header.stamp) > reset_ns]


def test_loops_can_be_switched_off_while_the_node_runs(client: Client, camera: Camera) -> None:
    assert client.set_parameter('loop.enabled', False).successful
    switched_ns = camera.stamp_ns
    drive(client, camera, LAP)
    assert not [pose for pose in loops(client) if stamp_from_msg(pose.header.stamp) > switched_ns]
    refused = client.set_parameter('loop.memory', 2)
    assert not refused.successful
    assert 'loop.memory' in refused.reason


def answered(client: Client, stamp_ns: int) -> bool:
    return any(stamp_from_msg(pose.header.stamp) == stamp_ns for pose in list(client.poses))


def test_the_message_of_a_loop_has_the_stamps_of_both_keyframes() -> None:
    before, now = Frame(7, picture(1), 'eye'), Frame(9, picture(2), 'eye')
    inliers = np.ones(3, np.bool_)
    transform = np.eye(4)
    transform[:3, 3] = 1.0, 2.0, 3.0
    pose = Pose.in_metres(transform, np.eye(6), method='pnp', inliers=inliers, median_residual=0.5)
    msg = loop_to_msg(LoopClosure(before, now, Matches.empty(), pose, 1.0))
    assert msg.kind == RelativePose.KIND_LOOP
    assert (stamp_from_msg(msg.reference_stamp), stamp_from_msg(msg.header.stamp)) == (7, 9)
    assert (msg.query_frame_id, msg.header.frame_id) == ('eye', 'eye')
    assert msg.metric
    assert (msg.pose.pose.position.x, msg.pose.pose.position.z) == (1.0, 3.0)
