"""The node as a process on DDS: images in, results out, and nothing that it does not survive."""

from __future__ import annotations

import array
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from harness import Camera, Client, NodeProcess, running_node, wait_until
from rclpy.qos import DurabilityPolicy, QoSProfile
from scenes import FRAME_ID, HEIGHT, STEP_NS, WIDTH, camera_info_msg, image_msg, picture
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import SetBool, Trigger

from loftr_ros.codecs.conversions import correspondences_from_msg, relative_pose_from_msg
from loftr_ros.codecs.stamps import stamp_from_msg
from loftr_ros.msg import RelativePose
from loftr_ros.srv import MatchImages


@pytest.fixture(scope='module')
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    parameters = {'input.silent_timeout': 1.0, 'reference': 'previous', 'weigths': 'misspelt'}
    with running_node(tmp_path_factory.mktemp('node'), parameters) as process:
        yield process


@pytest.fixture(scope='module')
def client(node: NodeProcess) -> Iterator[Client]:
    with closing(Client()) as client:
        wait_until(lambda: client.state() == 'active', 'the node to be active')
        yield client


@pytest.fixture(scope='module')
def camera(client: Client) -> Camera:
    camera = Camera(client, start_ns=100 * 10**9)
    camera.wait_for_subscriber()
    # Discovery takes both directions: the first results may be published before this side listens.
    wait_until(lambda: client.correspondences and client.poses, 'the first result', camera.send)
    return camera


def results_follow(client: Client, camera: Camera) -> None:
    """Check that two images in a row give a result again."""
    count = len(client.correspondences)
    wait_until(lambda: len(client.correspondences) > count + 1, 'results to go on', camera.send)


def wait_until_answered(client: Client, stamp_ns: int) -> None:
    wait_until(
        lambda: client.find(lambda msg: stamp_from_msg(msg.header.stamp) == stamp_ns),
        f'the result of {stamp_ns} ns',
    )


def test_a_result_names_both_images_and_holds_their_motion(client: Client, camera: Camera) -> None:
    camera.index = 0  # far from where the scene starts over
    for _ in range(2):
        wait_until_answered(client, camera.send())
    found = correspondences_from_msg(client.correspondences[-1])
    assert (found.query.stamp_ns, found.reference.stamp_ns) == (
        camera.stamp_ns,
        camera.stamp_ns - STEP_NS,
    )
    assert found.query.size == (HEIGHT, WIDTH)
    assert found.query.frame_id == FRAME_ID
    assert found.query.camera is not None
    assert len(found) > 20
    assert len(set(found.track_ids.tolist())) == len(found)
    moved = np.median(found.query_points - found.reference_points, axis=0)
    assert -3.5 < moved[0] < -1
    assert found.weights_name == 'flow'
    assert len(found.weights_hash) == 64


def test_the_pose_belongs_to_the_same_images_and_is_honest(client: Client, camera: Camera) -> None:
    results_follow(client, camera)
    wait_until(lambda: len(client.poses) >= len(client.correspondences), 'as many poses')
    by_stamp = {stamp_from_msg(pose.header.stamp): pose for pose in client.poses}
    matches = client.correspondences[-1]
    msg = by_stamp[stamp_from_msg(matches.header.stamp)]
    assert msg.reference_stamp == matches.reference_camera_info.header.stamp
    assert msg.matches == len(matches.confidence)
    assert msg.inliers == sum(matches.inlier)
    pose = relative_pose_from_msg(msg, np.asarray(matches.inlier, bool))
    assert pose.state.has_pose == np.isfinite(msg.pose.pose.orientation.w)
    assert msg.state != RelativePose.STATE_UNKNOWN


def test_a_manager_of_a_node_that_started_by_itself_is_refused_and_results_go_on(
    client: Client, camera: Camera
) -> None:
    assert not client.change_state('configure')
    assert not client.change_state('activate')
    assert client.state() == 'active'
    results_follow(client, camera)


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'step': 7}, 'step is 7 bytes'),
        ({'data': array.array('B', bytes(100))}, 'truncated: 100 bytes'),
        ({'encoding': 'secret'}, "encoding 'secret' is not supported"),
        ({'width': 0, 'height': 0, 'step': 0, 'data': array.array('B')}, 'empty (0x0 px)'),
        (
            {'encoding': '32FC1', 'width': WIDTH // 4, 'data': array.array('B', b'\xff' * 19200)},
            'NaN or infinite',
        ),
    ],
)
def test_malformed_images_are_refused_with_the_reason(
    client: Client,
    camera: Camera,
    node: NodeProcess,
    changes: dict[str, Any],
    reason: str,
) -> None:
    def send_malformed() -> None:
        image = camera.next_image()
        for name, value in changes.items():
            setattr(image, name, value)
        camera.send(image)

    send_malformed()
    wait_until(
        lambda: reason in client.value('inputs', 'last refused'),
        f'/diagnostics to report {reason}',
        send_malformed,
    )
    assert client.value('inputs', 'last refused').startswith('/image: ')
    assert int(client.value('inputs', '/image refused')) > 0
    assert f'refused /image: {reason.partition("(")[0]}' in node.text() or reason in node.text()
    results_follow(client, camera)


def test_a_calibration_of_another_size_leaves_the_matches(client: Client, camera: Camera) -> None:
    wrong = camera_info_msg(0, width=2 * WIDTH, height=2 * HEIGHT)
    wait_until(
        lambda: 'its camera_info is for 320x240 px' in client.value('inputs', 'last refused'),
        'the calibration to be refused',
        lambda: camera.send(info=wrong),
    )
    assert client.value('inputs', 'last refused').startswith('/camera_info: ')
    wait_until(
        lambda: 'its camera_info is for 320x240 px' in client.poses[-1].reason,
        'a pose without calibration',
        lambda: camera.send(info=wrong),
    )
    assert np.isnan(client.poses[-1].pose.pose.position.x)
    assert len(client.correspondences[-1].confidence) > 20
    wait_until(
        lambda: 'camera_info' not in client.poses[-1].reason, 'calibrated poses', camera.send
    )


def test_stamps_that_repeat_or_come_late_are_refused(client: Client, camera: Camera) -> None:
    results_follow(client, camera)
    camera.send(image_msg(picture(camera.index), camera.stamp_ns))
    wait_until(
        lambda: 'is that of the image before' in client.value('inputs', 'last refused'),
        'the repeated stamp to be refused',
    )
    camera.send(image_msg(picture(camera.index), camera.stamp_ns - STEP_NS // 2))
    wait_until(
        lambda: 'before that of the image before' in client.value('inputs', 'last refused'),
        'the late stamp to be refused',
    )
    results_follow(client, camera)


def test_stamps_that_go_back_far_start_anew(
    client: Client, camera: Camera, node: NodeProcess
) -> None:
    results_follow(client, camera)
    client.correspondences.clear()
    ended_at, camera.stamp_ns = camera.stamp_ns, STEP_NS
    # Results of the time before may still be in transport.
    wait_until(
        lambda: client.find(lambda msg: stamp_from_msg(msg.header.stamp) < ended_at // 2),
        'results of the new time',
        camera.send,
    )
    first = client.find(lambda msg: stamp_from_msg(msg.header.stamp) < ended_at // 2)[0]
    assert stamp_from_msg(first.reference_camera_info.header.stamp) < ended_at // 2
    assert 'the stamps of /image went back by' in node.text()
    wait_until(
        lambda: int(client.value('processing', 'resets') or 0) > 0, 'the reset to be reported'
    )


def test_a_publisher_that_dies_is_missed_and_welcome_back(
    client: Client, camera: Camera, node: NodeProcess
) -> None:
    client.drop_publisher('/image')
    wait_until(
        lambda: '/image has no publisher any more' in client.message('inputs'),
        'the missing publisher to be named',
    )
    assert '/image has no publisher any more' in node.text()
    camera.images = client.publisher(Image, '/image')
    camera.wait_for_subscriber()
    results_follow(client, camera)
    wait_until(
        lambda: client.message('inputs') == 'receiving', 'the warning to be over', camera.send
    )


def test_diagnostics_report_rates_latencies_and_the_model(client: Client, camera: Camera) -> None:
    wait_until(
        lambda: float(client.value('processing', 'rate [Hz]') or 0) > 1, 'a rate', camera.send
    )
    assert float(client.value('inputs', '/image rate [Hz]')) > 1
    p50 = float(client.value('processing', 'latency p50 [ms]'))
    assert 0 < p50 <= float(client.value('processing', 'latency p95 [ms]'))
    assert int(client.value('processing', 'matches')) > 20
    assert client.value('processing', 'state')
    assert client.value('node', 'weights') == 'flow'
    assert client.value('node', 'device') == 'cpu'
    assert client.message('node') == 'active'


def test_the_picture_is_drawn_while_somebody_looks(client: Client, camera: Camera) -> None:
    subscription = client.listen(Image, '/loftr/matches_image', client.pictures.append)
    wait_until(lambda: client.pictures, 'a picture', camera.send)
    assert client.pictures[0].encoding == 'rgb8'
    assert client.pictures[0].header.frame_id == FRAME_ID
    client.node.destroy_subscription(subscription)


def test_two_images_are_matched_on_request(client: Client, camera: Camera) -> None:
    request = MatchImages.Request()
    request.image0, request.image1 = image_msg(picture(3), 0), image_msg(picture(4), 0)
    request.camera_info0 = request.camera_info1 = camera_info_msg(0)
    answer = client.call(MatchImages, '/loftr/match_images', request)
    assert answer.success, answer.message
    assert len(answer.correspondences.confidence) > 20
    assert f'{len(answer.correspondences.confidence)} matches' in answer.message
    assert answer.relative_pose.state != RelativePose.STATE_UNKNOWN
    request.image1.step = 1
    answer = client.call(MatchImages, '/loftr/match_images', request)
    assert not answer.success
    assert answer.message.startswith('image1: step is 1 bytes')
    assert answer.relative_pose.state == RelativePose.STATE_LOST
    assert np.isnan(answer.relative_pose.pose.pose.orientation.w)
    results_follow(client, camera)


def test_reset_makes_the_next_image_the_first(client: Client, camera: Camera) -> None:
    results_follow(client, camera)
    assert client.call(Trigger, '/loftr/reset', Trigger.Request()).success
    count, before = len(client.correspondences), camera.stamp_ns
    results_follow(client, camera)
    for msg in client.correspondences[count:]:
        if stamp_from_msg(msg.header.stamp) > before:
            assert stamp_from_msg(msg.reference_camera_info.header.stamp) > before


def test_a_keyframe_can_be_asked_for(client: Client, camera: Camera) -> None:
    limits = {'keyframe.max_parallax': 10.0, 'keyframe.min_overlap': 0.0}
    for name, value in {**limits, 'keyframe.min_survival': 0.0, 'reference': 'keyframe'}.items():
        assert client.set_parameter(name, value).successful
    results_follow(client, camera)
    client.correspondences.clear()
    assert client.call(Trigger, '/loftr/set_keyframe', Trigger.Request()).success
    wait_until(lambda: client.find(lambda msg: bool(msg.new_keyframe)), 'the keyframe', camera.send)
    assert client.set_parameter('reference', 'previous').successful


def test_a_paused_node_publishes_nothing_and_says_so(client: Client, camera: Camera) -> None:
    assert client.call(SetBool, '/loftr/pause', SetBool.Request(data=True)).success
    wait_until(lambda: client.message('node') == 'active, paused', 'the pause', camera.send)
    client.diagnostics.clear()
    wait_until(lambda: client.message('node') == 'active, paused', 'the frames in progress to end')
    count = len(client.correspondences)
    for _ in range(5):
        camera.send()
    client.diagnostics.clear()
    wait_until(lambda: client.message('node') == 'active, paused', 'another report')
    assert len(client.correspondences) == count
    assert client.call(SetBool, '/loftr/pause', SetBool.Request(data=False)).success
    results_follow(client, camera)


def test_thresholds_change_while_running(client: Client, camera: Camera) -> None:
    assert client.set_parameter('matcher.max_matches', 22).successful
    wait_until(lambda: len(client.correspondences[-1].confidence) == 22, 'few matches', camera.send)
    assert client.set_parameter('matcher.max_matches', 0).successful
    results_follow(client, camera)


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        (
            'matcher.weights',
            'outdoor',
            'matcher.weights cannot change while the node is configured',
        ),
        ('autostart', False, 'read-only'),
        ('reference', 'next', "reference must be previous or keyframe, not 'next'"),
        ('pose.min_support', -1.0, 'out of range'),
        ('pose.min_support', 'wide', 'Wrong parameter type'),
        ('pose_min_support', 5.0, 'is called pose.min_support since version 0.2'),
        ('min_suport', 5.0, 'no parameter min_suport; did you mean pose.min_support?'),
    ],
)
def test_wrong_parameters_are_refused_with_the_reason(
    client: Client, name: str, value: bool | float | str, reason: str
) -> None:
    result = client.set_parameter(name, value)
    assert not result.successful
    assert reason in result.reason


def test_misspelt_parameters_are_named_at_the_start(client: Client, node: NodeProcess) -> None:
    assert 'there is no parameter weigths' in node.text()
    assert 'did you mean matcher.weights?' in node.text()


def test_a_calibration_that_is_latched_is_enough(client: Client, camera: Camera) -> None:
    client.drop_publisher('/camera_info')
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    once = client.publisher(CameraInfo, '/camera_info', latched)
    once.publish(camera_info_msg(0))
    wait_until(
        lambda: 'calibration' not in client.poses[-1].reason,
        'calibrated poses',
        lambda: camera.images.publish(camera.next_image()),
    )
    client.drop_publisher('/camera_info')
    camera.infos = client.publisher(CameraInfo, '/camera_info')


def test_nothing_of_all_this_was_unexpected(client: Client, node: NodeProcess) -> None:
    assert client.value('processing', 'errors') == '0', client.value('processing', 'last error')
    assert node.process.poll() is None
