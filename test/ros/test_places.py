"""Places of the real node on DDS: saved by one, found again by another that has seen nothing."""

from __future__ import annotations

import array
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseWithCovarianceStamped
from harness import Camera, Client, running_node, wait_until
from scenes import FOCAL, HEIGHT, WIDTH, header
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import Trigger

from loftr_ros.codecs.stamps import stamp_from_msg
from loftr_ros.msg import RelativePose
from loftr_ros.srv import PlacesFile

# The walls of the scene move by 3 and 1.2 px a picture: so far is the camera then from them.
STEP = 0.05
NEAR, FAR = FOCAL * STEP / 3, FOCAL * STEP / 1.2
PARAMETERS: dict[str, Any] = {
    'mode': 'rgbd',
    'reference': 'previous',
    'input.process_every_frame': True,
    'input.queue_size': 100,
    'odometry.extrinsics': 'parameter',
    'odometry.base_T_camera': '[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]',
    'loop.enabled': True,
    'loop.interval': 0.0,
    'loop.min_age': 1000.0,
}
FIRST, LAST = 5, 25


class Rig(Camera):  # type: ignore[misc,unused-ignore]
    """A camera with depth."""

    def __init__(self, client: Client, start_ns: int) -> None:
        super().__init__(client, start_ns=start_ns)
        self.depths = client.publisher(Image, '/depth')
        self.wait_for_subscriber()
        wait_until(self.depths.get_subscription_count, 'a subscriber of the depth')

    def send(self, image: Image | None = None, info: CameraInfo | None = None) -> int:
        stamp_ns = super().send(image, info)
        metres = np.full((HEIGHT, WIDTH), FAR, np.float32)
        metres[HEIGHT // 2 :] = NEAR
        msg = Image(header=header(stamp_ns), height=HEIGHT, width=WIDTH, encoding='32FC1')
        msg.step, msg.data = 4 * WIDTH, array.array('B', metres.tobytes())
        self.depths.publish(msg)
        return int(stamp_ns)

    def stand(self, index: int) -> None:
        """Send the picture of one place again and again."""
        self.index = index - 1
        self.send()


class Robot:
    """A node, and what it published."""

    def __init__(self, client: Client, start_ns: int) -> None:
        self.client = client
        self.map_poses: list[PoseWithCovarianceStamped] = []
        client.listen(PoseWithCovarianceStamped, '/loftr/map_pose', self.map_poses.append)
        wait_until(lambda: client.state() == 'active', 'the node to be active')
        self.rig = Rig(client, start_ns)

    def drive(self) -> None:
        """Go from the first picture to the last one."""
        # Discovery takes both directions: what is sent before is lost.
        wait_until(lambda: self.client.poses, 'the first pose', lambda: self.rig.stand(FIRST))
        self.rig.index = FIRST - 1
        while self.rig.index < LAST:
            stamp_ns = self.rig.send()
            wait_until(lambda s=stamp_ns: self.answered(s), 'the pose of a picture')

    def answered(self, stamp_ns: int) -> bool:
        return any(stamp_from_msg(p.header.stamp) == stamp_ns for p in list(self.client.poses))

    def loops(self) -> list[RelativePose]:
        found = list(self.client.poses)
        return [pose for pose in found if pose.kind == RelativePose.KIND_LOOP]

    def places(self, what: str, path: Path) -> Any:  # noqa: ANN401 - messages are untyped
        return self.client.call(PlacesFile, f'/loftr/{what}', PlacesFile.Request(path=str(path)))

    def relocalize(self) -> Any:  # noqa: ANN401 - messages are untyped
        return self.client.call(Trigger, '/loftr/relocalize', Trigger.Request())


@contextmanager
def robot(folder: Path, start_s: int, **changes: Any) -> Iterator[Robot]:  # noqa: ANN401
    with running_node(folder, PARAMETERS | changes), closing(Client()) as client:
        yield Robot(client, start_s * 10**9)


@pytest.fixture(scope='module')
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a robot that has gone."""
    folder = tmp_path_factory.mktemp('before')
    path = folder / 'walls.safetensors'
    with robot(folder, 100) as first:
        empty = first.places('save_places', path)
        assert not empty.success
        assert 'no keyframe has been remembered yet' in empty.message
        first.drive()
        answer = first.places('save_places', path)
        assert answer.success, answer.message
        assert answer.places >= LAST - FIRST
        assert f'{answer.places} places, {answer.places} with a pose in the map' in answer.message
    assert path.is_file()
    return path


@pytest.fixture(scope='module')
def second(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    """Return a robot that starts later, with the file."""
    with robot(tmp_path_factory.mktemp('after'), 5000) as second:
        nothing = second.relocalize()
        assert not nothing.success
        assert 'load some first' in nothing.message
        loaded = second.places('load_places', saved)
        assert loaded.success, loaded.message
        assert loaded.places >= LAST - FIRST
        yield second


def test_another_node_finds_itself_in_the_places_of_the_first(second: Robot) -> None:
    place = 15
    wait_until(lambda: second.map_poses, 'a pose in the map', lambda: second.rig.stand(place))
    pose = second.map_poses[-1]
    assert pose.header.frame_id == 'map'
    assert stamp_from_msg(pose.header.stamp) >= 5000 * 10**9
    # The map begins at the first picture of the first node.
    expected = STEP * (place - FIRST)
    assert pose.pose.pose.position.x == pytest.approx(expected, abs=0.05)
    assert pose.pose.pose.orientation.w == pytest.approx(1.0, abs=0.01)
    covariance = pose.pose.covariance.reshape(6, 6)
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert np.sqrt(np.trace(covariance[:3, :3])) < 0.2


def test_the_loop_leads_to_a_keyframe_of_the_first_node(second: Robot) -> None:
    wait_until(second.loops, 'a loop', lambda: second.rig.stand(15))
    loop = second.loops()[-1]
    assert 100 * 10**9 <= stamp_from_msg(loop.reference_stamp) < 200 * 10**9
    assert stamp_from_msg(loop.header.stamp) >= 5000 * 10**9
    assert loop.metric
    assert loop.state == RelativePose.STATE_OK


def test_when_asked_the_node_says_where_it_is(second: Robot) -> None:
    wait_until(second.loops, 'a loop', lambda: second.rig.stand(15))
    before = len(second.map_poses)
    answer = second.relocalize()
    assert answer.success, answer.message
    assert 'inliers, its pose in the map' in answer.message
    wait_until(lambda: len(second.map_poses) > before, 'the pose in the map')


def test_a_reset_leaves_what_was_loaded(second: Robot) -> None:
    assert second.client.call(Trigger, '/loftr/reset', Trigger.Request()).success
    before = len(second.map_poses)
    wait_until(
        lambda: len(second.map_poses) > before,
        'a pose in the map',
        lambda: second.rig.stand(20),
    )


def test_files_that_cannot_be_used_are_refused_and_the_node_goes_on(
    second: Robot, saved: Path, tmp_path: Path
) -> None:
    text = tmp_path / 'text.safetensors'
    text.write_text('this is a text')
    for name, path, problem in (
        ('load_places', tmp_path / 'missing.safetensors', 'No such file'),
        ('load_places', text, 'truncated, or none of places'),
        ('save_places', text, 'truncated, or none of places'),
        ('save_places', tmp_path / 'places.txt', 'must end with .safetensors'),
        ('save_places', tmp_path / 'none' / 'places.safetensors', 'cannot be written'),
        ('load_places', Path('~no_such_user/places.safetensors'), 'home'),
    ):
        answer = second.places(name, path)
        assert not answer.success
        assert answer.places == 0
        assert problem in answer.message
    assert text.read_text() == 'this is a text'
    assert second.client.set_parameter('loop.memory', 3).successful
    assert 'more than 3 (loop.memory)' in second.places('load_places', saved).message
    assert second.client.set_parameter('loop.memory', 300).successful
    assert second.places('load_places', saved).success
    assert second.client.state() == 'active'


def test_places_of_other_weights_are_refused(second: Robot, saved: Path, tmp_path: Path) -> None:
    other = tmp_path / 'other.safetensors'
    weights = b'"sha256\\": \\"'
    content = saved.read_bytes()
    at = content.index(weights) + len(weights)
    digit = b'0' if content[at : at + 1] != b'0' else b'1'
    other.write_bytes(content[:at] + digit + content[at + 1 :])
    answer = second.places('load_places', other)
    assert not answer.success
    assert 'its places were made with the weights flow' in answer.message


def test_without_loops_there_are_no_places(second: Robot, saved: Path) -> None:
    assert second.client.set_parameter('loop.enabled', False).successful
    for answer in (
        second.places('load_places', saved),
        second.places('save_places', saved),
        second.relocalize(),
    ):
        assert not answer.success
        assert 'only with loop.enabled true' in answer.message
