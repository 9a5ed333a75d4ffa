"""Loop closures for RTAB-Map on DDS: its messages are built, a stand-in takes the links."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cmake_builds import (
    HAS_AMENT,
    PREFIXES,
    WITHOUT_FOREIGN_DIRECTORIES,
    cmake_build,
    cmake_install,
    libraries,
)
from harness import Client, NodeProcess, running_node, wait_until
from nav_msgs.msg import Odometry
from scenes import header

from loftr_ros.codecs.conversions import pose_to_msg, stamp_to_msg
from loftr_ros.geometry.transforms import make_transform
from loftr_ros.msg import RelativePose

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / 'examples' / 'rtabmap_loops_node.py'
STAND_IN = ROOT / 'test' / 'helpers' / 'graph_node.py'
COMMAND = [sys.executable, str(PROGRAM), '--ros-args', '-r', 'relative_pose:=/loftr/relative_pose']
SECOND = 10**9
SPREAD = np.diag([0.01, 0.01, 0.02, 0.001, 0.001, 0.002]) ** 2

# Names and types of the fields are those of rtabmap_msgs; scripts/check_consumers.py compares them.
DEFINITIONS = {
    'msg/Link.msg': """
int32 from_id
int32 to_id
int32 type
geometry_msgs/Transform transform
float64[36] information
""",
    'msg/Info.msg': 'std_msgs/Header header\nint32 ref_id\n',
    'msg/MapGraph.msg': """
std_msgs/Header header
geometry_msgs/Transform map_to_odom
int32[] poses_id
geometry_msgs/Pose[] poses
Link[] links
""",
    'srv/AddLink.srv': 'Link link\n---\n',
}
CMAKE = f"""
cmake_minimum_required(VERSION 3.16)
project(rtabmap_msgs LANGUAGES C CXX)
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
find_package(geometry_msgs REQUIRED)
find_package(std_msgs REQUIRED)
rosidl_generate_interfaces(${{PROJECT_NAME}} {' '.join(DEFINITIONS)}
  DEPENDENCIES geometry_msgs std_msgs)
{WITHOUT_FOREIGN_DIRECTORIES}
ament_package()
"""
MANIFEST = """<package format="3">
  <name>rtabmap_msgs</name> <version>0.0.0</version> <description>stand-in</description>
  <maintainer email="nobody@example.com">nobody</maintainer> <license>none</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <depend>geometry_msgs</depend> <depend>std_msgs</depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
</package>
"""


@pytest.fixture(scope='module')
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where the messages of RTAB-Map are, for processes that need them."""
    if not HAS_AMENT:
        pytest.skip('ament_cmake is not installed')
    folder = tmp_path_factory.mktemp('rtabmap_msgs')
    files = {'CMakeLists.txt': CMAKE, 'package.xml': MANIFEST, **DEFINITIONS}
    for name, text in files.items():
        path = folder / 'source' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    installed, build = folder / 'install', folder / 'build'
    prefix = f'-DCMAKE_INSTALL_PREFIX={installed}'
    cmake_build(folder / 'source', build, PREFIXES, '-DBUILD_TESTING=OFF', prefix)
    cmake_install(build)
    [packages] = installed.glob('lib/python*/*-packages')
    return {
        'PYTHONPATH': f'{packages}:{ROOT}',
        'LD_LIBRARY_PATH': libraries(installed),
    }


@pytest.fixture(scope='module')
def processes(
    variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    folder = tmp_path_factory.mktemp('logs')
    stand_in = [sys.executable, str(STAND_IN), '--ros-args', '-r', 'odom:=/odometry']
    with ExitStack() as running:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            rtabmap = running.enter_context(running_node(folder, {}, stand_in))
            ours = running.enter_context(running_node(folder, {}, COMMAND))
        yield rtabmap, ours


class Session:
    """A client that speaks for loftr_ros: it drives 1 m in each second, and the odometry 1.01 m."""

    def __init__(self, client: Client, rtabmap: NodeProcess, node: NodeProcess) -> None:
        self.rtabmap, self.node = rtabmap, node
        self.odometry = client.publisher(Odometry, '/odometry', 100)
        self.poses = client.publisher(RelativePose, '/loftr/relative_pose', 100)
        self.second = 0
        wait_until(lambda: self.odometry.get_subscription_count() == 2, 'both to hear the odometry')
        wait_until(self.poses.get_subscription_count, 'the node to hear poses')
        graph = client.node
        wait_until(lambda: graph.count_subscribers('/mapGraph'), 'the node to hear graphs')

    def drive(self) -> None:
        """Move on by a second."""
        pose = make_transform(np.eye(3), np.array([self.second * 1.01, 0, 0]))
        msg = Odometry(header=header(self.second * SECOND), child_frame_id='base_link')
        msg.pose = pose_to_msg(pose, np.eye(6) * 1e-6 * self.second)
        self.odometry.publish(msg)
        self.second += 1

    def close_loop(self, reference: int, query: int, length: float, **fields: Any) -> None:  # noqa: ANN401
        """Say that the camera was `length` metres ahead of an earlier image."""
        msg = RelativePose(header=header(query * SECOND))
        msg.reference_stamp = stamp_to_msg(reference * SECOND)
        msg.pose = pose_to_msg(make_transform(np.eye(3), np.array([0, 0, length])), SPREAD)
        msg.kind, msg.state, msg.metric = RelativePose.KIND_LOOP, RelativePose.STATE_OK, True
        for name, value in fields.items():
            setattr(msg, name, value)
        self.poses.publish(msg)

    def links(self) -> list[dict[str, Any]]:
        """Return what the stand-in was asked for."""
        lines = self.rtabmap.text().splitlines()
        return [json.loads(line) for line in lines if line.startswith('{')]

    def reports(self, verdict: str) -> list[tuple[int, ...]]:
        """Return the links that the node reported, as query and reference in seconds, from, to."""
        pattern = rf'closure (\d+)\.000 s -> (\d+)\.000 s as a link (\d+) -> (\d+): {verdict}'
        return [tuple(map(int, found)) for found in re.findall(pattern, self.node.text())]

    def drive_and_close(self, length: float, **fields: Any) -> None:  # noqa: ANN401
        """Drive; now and then a loop closure says how far an image of 13 s ago is behind."""
        self.drive()
        if self.second % 10 == 0:
            self.close_loop(self.second - 16, self.second - 3, length, **fields)


@pytest.fixture(scope='module')
def session(processes: tuple[NodeProcess, NodeProcess]) -> Iterator[Session]:
    with closing(Client()) as client:
        yield Session(client, *processes)


def test_loop_closures_become_links_that_are_reported_as_taken(session: Session) -> None:
    wait_until(
        lambda: len(session.reports('taken')) > 2, 'links', lambda: session.drive_and_close(13.0)
    )
    links = {(link['from'], link['to']): link for link in session.links()}
    for query, reference, *ends in session.reports('taken'):
        link = links[ends[0], ends[1]]
        assert link['type'] == 4
        # Node n is at second n - 1 and at metre n - 1 of the road. Between images and nodes only
        # the odometry is known: a hundredth too long, and less certain by 1e-6 each second.
        apart = abs(link['from'] - 1 - query) + abs(link['to'] - 1 - reference)
        true = link['to'] - link['from']
        assert link['translation'][0] == pytest.approx(true, abs=0.0101 * apart)
        assert np.allclose(link['translation'][1:], 0, atol=1e-9)
        variances = 1 / np.diag(np.reshape(link['information'], (6, 6)))
        assert np.allclose(variances[3:], 0.002**2 + 1e-6 * apart, rtol=1e-6)
        assert (variances[:3] > 0.02**2).all()


def test_a_link_that_does_not_show_in_the_graph_is_reported_as_not_taken(session: Session) -> None:
    wait_until(
        lambda: session.reports('not taken'), 'a refusal', lambda: session.drive_and_close(500.0)
    )
    assert 'RTAB-Map says why in its log' in session.node.text()


@pytest.mark.parametrize(
    'fields',
    [
        {'metric': False},
        {'state': RelativePose.STATE_LOST},
        {'kind': RelativePose.KIND_KEYFRAME},
    ],
)
def test_what_is_no_metric_loop_closure_is_left_out(
    session: Session, fields: dict[str, Any]
) -> None:
    first = session.second + 10
    for _ in range(20):
        session.drive_and_close(13.0, **fields)
    last, taken = session.second, session.reports('taken')
    wait_until(
        lambda: len(session.reports('taken')) > len(taken),
        'a later link',
        lambda: session.drive_and_close(13.0),
    )
    assert not [query for query, *_ in session.reports('taken') if first - 3 <= query < last - 3]


def test_time_that_goes_back_begins_a_new_graph(session: Session) -> None:
    session.second = 0
    wait_until(lambda: 'time went back' in session.node.text(), 'a word on it', session.drive)


def test_without_the_messages_of_rtabmap_the_package_is_named() -> None:
    if importlib.util.find_spec('rtabmap_msgs'):
        pytest.skip('rtabmap_msgs is installed')
    result = subprocess.run(COMMAND, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    assert 'rtabmap-msgs' in result.stderr
