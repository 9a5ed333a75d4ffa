"""The example front-end for VINS on DDS, beside the real node."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from harness import Camera, Client, NodeProcess, running_node, wait_until
from scenes import MATRIX, STEP_NS
from sensor_msgs.msg import PointCloud
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from loftr_ros.codecs.stamps import stamp_from_msg

PROGRAM = Path(__file__).parents[2] / 'examples' / 'feature_tracks_node.py'
TOPICS = {
    'correspondences': '/loftr/correspondences',
    'feature': '/feature_tracker/feature',
    'restart': '/feature_tracker/restart',
}
REMAPPINGS = [word for pair in TOPICS.items() for word in ('-r', ':='.join(pair))]
COMMAND = [sys.executable, str(PROGRAM), '--ros-args', *REMAPPINGS]
# A busy machine may lose an image.
ATTEMPTS, PATIENCE_S = 10, 2.0


@pytest.fixture(scope='module')
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp('tracks')
    with (
        running_node(folder),
        running_node(folder, {'min_distance': 5.0, 'max_gap': 0.5}, COMMAND) as process,
    ):
        yield process


class Session:
    """A camera before the node, and what the front-end makes of it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.features: list[PointCloud] = []
        self.restarts: list[Bool] = []
        client.listen(PointCloud, TOPICS['feature'], self.features.append)
        client.listen(Bool, TOPICS['restart'], self.restarts.append)
        wait_until(lambda: client.state() == 'active', 'the node to be active')
        self.camera = Camera(client)
        self.camera.wait_for_subscriber()
        wait_until(lambda: self.features, 'the first features', self.camera.send)
        assert client.call(Trigger, '/loftr/reset', Trigger.Request()).success
        # The pictures start over after a while: from here on there are enough.
        self.camera.index = 0
        self.camera.send()
        self.next()

    def next(self) -> PointCloud:
        """Send images until one, as a rule the first, has features; return them."""
        for _ in range(ATTEMPTS):
            stamp = self.camera.send()
            deadline = time.monotonic() + PATIENCE_S
            while time.monotonic() < deadline:
                if self.features and stamp_from_msg(self.features[-1].header.stamp) == stamp:
                    return self.features[-1]
                time.sleep(0.02)
        raise AssertionError(f'{ATTEMPTS} images have no features')


@pytest.fixture(scope='module')
def session(tracker: NodeProcess) -> Iterator[Session]:
    with closing(Client()) as client:
        yield Session(client)


def channels(msg: PointCloud) -> dict[str, np.ndarray]:
    found = {channel.name: np.array(channel.values) for channel in msg.channels}
    found['ray'] = np.array([(point.x, point.y) for point in msg.points])
    return found


def test_features_are_the_matches_of_the_node(session: Session) -> None:
    msg = session.next()
    stamp = stamp_from_msg(msg.header.stamp)
    (source,) = session.client.find(lambda found: stamp_from_msg(found.header.stamp) == stamp)
    matches = np.array(source.query_points).reshape(-1, 2)[np.array(source.inlier) == 1]
    found = channels(msg)
    assert len(found['id']) > 20
    for point in np.column_stack([found['u'], found['v']]):
        assert np.abs(matches - point).max(axis=1).min() < 1e-3
    expected = (np.column_stack([found['u'], found['v']]) - MATRIX[:2, 2]) / np.diag(MATRIX)[:2]
    assert np.allclose(found['ray'], expected, atol=1e-5)
    assert msg.header.frame_id == 'world'


def test_numbers_stay_with_their_tracks_and_velocities_are_those_of_their_motion(
    session: Session,
) -> None:
    pair = [session.next() for _ in range(2)]
    first, second = map(channels, pair)
    stamps = [stamp_from_msg(msg.header.stamp) for msg in pair]
    common, before, after = np.intersect1d(first['id'], second['id'], return_indices=True)
    assert len(common) > 20
    moved = (second['ray'][after] - first['ray'][before]) / ((stamps[1] - stamps[0]) / 1e9)
    velocity = np.column_stack([second['velocity_x'], second['velocity_y']])
    assert np.allclose(velocity[after], moved, atol=1e-3)
    # The walls of the scene pass by at 1.2 and 3 px a picture of 50 ms.
    speeds = -velocity[after, 0] * MATRIX[0, 0] * STEP_NS / 1e9
    assert np.median(np.minimum(np.abs(speeds - 1.2), np.abs(speeds - 3.0))) < 0.3
    by_id = [dict(zip(part['id'], part['u'], strict=True)) for part in (first, second)]
    assert all(abs(by_id[0][number] - by_id[1][number]) < 6 for number in common)


def test_after_a_gap_the_estimator_is_asked_to_restart(session: Session) -> None:
    before, restarts = channels(session.features[-1]), len(session.restarts)
    session.camera.stamp_ns += 20 * STEP_NS
    after = channels(session.next())
    wait_until(lambda: len(session.restarts) > restarts, 'the restart')
    assert session.restarts[-1].data
    assert not set(before['id']) & set(after['id'])


def test_a_wrong_parameter_ends_the_node_with_the_reason(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / 'node.log', COMMAND, {'layout': 'stereo'})
    assert node.process.wait(20) == 2
    assert "layout must be mono or fusion, not 'stereo'" in node.text()
