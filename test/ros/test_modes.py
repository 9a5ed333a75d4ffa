"""Metric modes of the real node on DDS: poses in metres, and odometry of the base."""

from __future__ import annotations

import array
import pathlib
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from geometry_msgs.msg import PoseWithCovarianceStamped
from harness import Camera, Client, NodeProcess, running_node, wait_until
from nav_msgs.msg import Odometry, Path
from scenes import (
    FOCAL,
    HEIGHT,
    MATRIX,
    WIDTH,
    camera_info_msg,
    header,
    image_msg,
    picture,
)
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import Trigger

from loftr_ros.codecs.stamps import stamp_from_msg
from loftr_ros.msg import RelativePose

# The walls of the scene move by 3 and 1.2 px a picture: so far is the camera then from them.
STEP = 0.05
NEAR, FAR = FOCAL * STEP / 3, FOCAL * STEP / 1.2
# The right camera sees what the left one sees so many pictures later.
AHEAD = 2
FRAMES = 12
# Within the pictures before the scene starts over.
FIRST = 5


class Rig(Camera):  # type: ignore[misc,unused-ignore]
    """A camera with what gives it scale: depth, or a second camera."""

    def __init__(self, client: Client, mode: str) -> None:
        self.mode = mode
        self.swapped = False
        super().__init__(client, start_ns=100 * 10**9)
        if mode == 'stereo':
            self.images = client.publisher(Image, '/left/image')
            self.infos = client.publisher(CameraInfo, '/left/camera_info')
            self.partners = client.publisher(Image, '/right/image')
            self.right_infos = client.publisher(CameraInfo, '/right/camera_info')
        else:
            self.partners = client.publisher(Image, '/depth')

    def send(self, image: Image | None = None, info: CameraInfo | None = None) -> int:
        if self.index % 60 > 60 - AHEAD - 2:
            raise AssertionError('the scene starts over')
        stamp_ns = super().send(image, info)
        self.partners.publish(self.partner(stamp_ns))
        if self.mode == 'stereo':
            right = camera_info_msg(stamp_ns)
            right.p = np.column_stack([MATRIX, [-FOCAL * AHEAD * STEP, 0, 0]]).reshape(12)
            self.right_infos.publish(right)
        return stamp_ns

    def partner(self, stamp_ns: int) -> Image:
        if self.mode == 'stereo':
            return image_msg(picture(self.index + (-AHEAD if self.swapped else AHEAD)), stamp_ns)
        metres = np.full((HEIGHT, WIDTH), FAR)
        metres[HEIGHT // 2 :] = NEAR
        values = np.round(metres * 1000).astype(np.uint16)
        msg = Image(header=header(stamp_ns), height=HEIGHT, width=WIDTH, encoding='16UC1')
        msg.step, msg.data = 2 * WIDTH, array.array('B', values.tobytes())
        return msg


def compressed(depth: Image) -> CompressedImage:
    """Return a depth image as the transport `compressed` writes it."""
    values = np.frombuffer(depth.data, np.uint16).reshape(HEIGHT, WIDTH)
    data = array.array('B', cv2.imencode('.png', values)[1].tobytes())
    return CompressedImage(header=depth.header, format='16UC1; png compressed ', data=data)


class Session:
    """A node, its client and what it published of the odometry."""

    def __init__(self, node: NodeProcess, client: Client, mode: str) -> None:
        self.node, self.client = node, client
        self.odometries: list[Odometry] = []
        self.paths: list[Path] = []
        wait_until(lambda: client.state() == 'active', 'the node to be active')
        client.listen(Odometry, '/loftr/odometry', self.odometries.append)
        client.listen(Path, '/loftr/path', self.paths.append)
        self.rig = Rig(client, mode)
        self.rig.wait_for_subscriber()
        self.set_pose = client.publisher(PoseWithCovarianceStamped, '/loftr/set_pose', 10)
        self.start_ns = 0
        # Discovery takes both directions: the first pictures may be sent before the node listens.
        wait_until(
            lambda: self.odometries and client.poses,
            'the first odometry',
            lambda: send_in_circles(self.rig),
        )
        wait_until(self.set_pose.get_subscription_count, 'a subscriber of set_pose')

    @property
    def odometry(self) -> list[Odometry]:
        """The estimates since the restart."""
        found = list(self.odometries)
        return [msg for msg in found if stamp_from_msg(msg.header.stamp) > self.start_ns]

    @property
    def poses(self) -> list[RelativePose]:
        """The relative poses since the restart."""
        found = list(self.client.poses)
        return [msg for msg in found if stamp_from_msg(msg.header.stamp) > self.start_ns]

    def restart(self) -> None:
        """Begin anew at a place of the scene after which there are enough pictures."""
        assert self.client.call(Trigger, '/loftr/reset', Trigger.Request()).success
        self.rig.index, self.start_ns = FIRST, self.rig.stamp_ns

    def drive(self, frames: int = FRAMES) -> list[Odometry]:
        """Return the estimates of so many frames, sent one after the other."""
        if not self.odometry:
            self.rig.send()  # the first picture has nothing to be matched to
        for count in range(len(self.odometry) + 1, frames + 1):
            self.rig.send()
            wait_until(lambda c=count: len(self.odometry) >= c, f'odometry number {count}')
        return self.odometry


@pytest.fixture(scope='module', params=['rgbd', 'stereo'])
def session(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Session]:
    parameters: dict[str, Any] = {'mode': request.param, 'input.process_every_frame': True}
    parameters |= {'reference': 'previous', 'odometry.extrinsics': 'parameter'}
    parameters |= {'odometry.odom_frame': 'start'}
    parameters |= {
        'odometry.base_frame': 'robot',
        'odometry.base_T_camera': '[0.1,0.0,0.5,-0.5,0.5,-0.5,0.5]',
    }
    folder = tmp_path_factory.mktemp(request.param)
    with running_node(folder, parameters) as node, closing(Client()) as client:
        yield Session(node, client, request.param)


def place(msg: Odometry) -> npt.NDArray[np.float64]:
    position = msg.pose.pose.position
    return np.array([position.x, position.y, position.z])


def test_motion_is_in_metres(session: Session) -> None:
    session.restart()
    estimates = session.drive()
    wait_until(lambda: len(session.poses) >= len(estimates), 'the poses')
    good = [pose for pose in session.poses if pose.state == RelativePose.STATE_OK]
    assert len(good) > FRAMES - 3
    assert all(pose.metric and pose.method == 'pnp' for pose in good)
    assert all(pose.kind == RelativePose.KIND_PREVIOUS for pose in good)
    # The camera moves to its right, which is the -y of a base that looks along x.
    travelled = place(estimates[-1]) - place(estimates[0])
    expected = [0.0, -STEP * (len(estimates) - 1), 0.0]
    np.testing.assert_allclose(travelled, expected, atol=0.05)


def test_odometry_names_its_frames_and_holds_pose_and_twist(session: Session) -> None:
    session.restart()
    msg = session.drive()[-1]
    assert (msg.header.frame_id, msg.child_frame_id) == ('start', 'robot')
    # Pictures come every 50 ms of their stamps.
    assert msg.twist.twist.linear.y == pytest.approx(-STEP / 0.05, rel=0.3)
    for covariance in (msg.pose.covariance, msg.twist.covariance):
        matrix = np.reshape(covariance, (6, 6))
        np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
        assert (np.linalg.eigvalsh(matrix) > 0).all()


def test_the_covariance_grows_along_the_way(session: Session) -> None:
    session.restart()
    estimates = session.drive()
    spread = [np.trace(np.reshape(msg.pose.covariance, (6, 6))[:3, :3]) for msg in estimates]
    assert spread[-1] > spread[0]


def test_depth_in_png_of_16_bit_gives_metres(tmp_path: pathlib.Path) -> None:
    parameters = {'mode': 'rgbd', 'input.depth_transport': 'compressed'}
    with running_node(tmp_path, parameters), closing(Client()) as client:
        depths = client.publisher(CompressedImage, '/depth/compressed')
        rig = Rig(client, 'rgbd')
        rig.wait_for_subscriber()
        wait_until(depths.get_subscription_count, 'a subscriber of the depth')

        def send() -> None:
            send_in_circles(rig)
            depths.publish(compressed(rig.partner(rig.stamp_ns)))

        wait_until(lambda: any(pose.metric for pose in client.poses), 'a pose in metres', send)


def test_swapped_images_are_named_once_and_give_no_metres(session: Session) -> None:
    if session.rig.mode != 'stereo':
        pytest.skip('one camera has no other')
    session.restart()
    session.rig.swapped = True
    try:
        count = len(session.client.poses)
        wait_until(lambda: len(session.client.poses) > count + 5, 'poses', session.rig.send)
        text = session.node.text()
        assert text.count('left and right look swapped') == 1
        assert 'exchange the topics of both cameras' in text
        wait_until(
            lambda: 'left and right look swapped' in session.client.message('odometry'),
            'the reason in the diagnostics',
        )
        assert not any(pose.metric for pose in session.poses)
    finally:
        session.rig.swapped = False


def test_the_path_has_two_poses_a_second(session: Session) -> None:
    session.restart()
    session.drive(2)
    wait_until(lambda: session.paths, 'a path')
    session.paths.clear()
    # Ten pictures are half a second of their stamps, for which there is one pose.
    session.drive(45)
    wait_until(lambda: session.paths and len(session.paths[-1].poses) == 5, 'the whole path')
    assert session.paths[-1].header.frame_id == 'start'
    assert [len(path.poses) for path in session.paths] == [2, 3, 4, 5]


def test_the_base_can_be_put_somewhere_else(session: Session) -> None:
    session.restart()
    session.drive(3)
    msg = PoseWithCovarianceStamped()
    msg.header.frame_id = 'start'
    msg.pose.pose.position.x, msg.pose.pose.position.z = 7.0, 2.0
    msg.pose.pose.orientation.w = 1.0
    session.set_pose.publish(msg)
    near: list[Odometry] = []

    def arrived() -> bool:
        near.extend(found for found in session.odometry[3:] if abs(place(found)[0] - 7) < 0.5)
        return bool(near)

    wait_until(arrived, 'odometry of the new place', session.rig.send)
    assert place(near[0])[2] == pytest.approx(2.0, abs=0.3)


def test_a_pose_in_another_frame_is_refused(session: Session) -> None:
    msg = PoseWithCovarianceStamped()
    msg.header.frame_id = 'map'
    msg.pose.pose.orientation.w = 1.0
    session.set_pose.publish(msg)
    wait_until(
        lambda: (
            "refused /loftr/set_pose: the pose is one in 'map', not in 'start'"
            in session.node.text()
        ),
        'the pose to be refused',
    )


def test_diagnostics_report_the_odometry(session: Session) -> None:
    wait_until(lambda: int(session.client.value('odometry', 'published') or 0) > 0, 'a report')
    assert float(session.client.value('odometry', 'standard deviation [m]')) > 0


def test_a_frame_without_motion_is_no_odometry(session: Session) -> None:
    session.restart()
    session.drive(3)
    count = len(session.odometry)
    black = image_msg(np.zeros((HEIGHT, WIDTH), np.uint8), session.rig.stamp_ns)

    def send_black() -> None:
        session.rig.stamp_ns += 50_000_000
        black.header = header(session.rig.stamp_ns)
        session.rig.index = FIRST + 3
        session.rig.send(black)

    wait_until(
        lambda: session.client.message('odometry').startswith('no estimate: '),
        'the missing motion to be reported',
        send_black,
    )
    assert len(session.odometry) == count
    assert int(session.client.value('processing', 'errors')) == 0


def send_in_circles(camera: Camera) -> None:
    camera.index = FIRST + camera.index % 10
    camera.send()
