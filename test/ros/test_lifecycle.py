"""Each transition takes or gives back what it should; one process, configured again and again."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from harness import Camera, Client, NodeProcess, running_node, wait_until
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from scenes import STEP_NS, camera_info_msg, compressed_msg, image_msg, picture
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import Trigger

from loftr_ros.codecs.stamps import stamp_from_msg, stamp_to_msg
from loftr_ros.srv import MatchImages

DEFAULTS: dict[str, bool | int | float | str] = {
    'mode': 'mono',
    'input.image_transport': 'raw',
    'input.reliability': 'best_effort',
    'input.queue_size': 5,
    'input.process_every_frame': False,
    'input.sync_slop': 0.01,
    'reference': 'previous',
}


@pytest.fixture(scope='module')
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    parameters = {'autostart': False, 'input.silent_timeout': 1.0}
    with running_node(tmp_path_factory.mktemp('lifecycle'), parameters) as process:
        yield process


@pytest.fixture(scope='module')
def client(node: NodeProcess) -> Iterator[Client]:
    with closing(Client()) as client:
        yield client


@pytest.fixture
def unconfigured(client: Client) -> Iterator[Client]:
    """Hand over the node unconfigured and with default parameters, and take it back so."""
    assert client.state() == 'unconfigured'
    for name, value in DEFAULTS.items():
        assert client.set_parameter(name, value).successful
    client.correspondences.clear()
    yield client
    if client.state() == 'active':
        assert client.change_state('deactivate')
    if client.state() == 'inactive':
        assert client.change_state('cleanup')


def start(client: Client, **parameters: bool | float | str) -> None:
    for name, value in parameters.items():
        assert client.set_parameter(name, value).successful
    assert client.change_state('configure')
    assert client.change_state('activate')


def node_topics(client: Client) -> set[str]:
    """Return the topics that the node publishes besides those of every node."""
    published = client.node.get_publisher_names_and_types_by_node('loftr', '/')
    return {
        name for name, _ in published if name.startswith('/loftr/') and 'transition' not in name
    }


def node_subscriptions(client: Client) -> set[str]:
    subscribed = client.node.get_subscriber_names_and_types_by_node('loftr', '/')
    return {name for name, _ in subscribed if not name.startswith(('/parameter_events', '/clock'))}


def test_each_transition_takes_or_gives_back(unconfigured: Client) -> None:
    client = unconfigured
    results = {'/loftr/correspondences', '/loftr/relative_pose', '/loftr/matches_image'}
    wait_until(lambda: client.message('node') == 'unconfigured', 'diagnostics')
    assert node_topics(client) == set()
    for _ in range(2):
        assert client.change_state('configure')
        wait_until(lambda: node_topics(client) == results, 'the publishers')
        assert node_subscriptions(client) == set()
        assert client.change_state('activate')
        wait_until(
            lambda: node_subscriptions(client) == {'/image', '/camera_info'}, 'subscriptions'
        )
        assert client.change_state('deactivate')
        wait_until(lambda: node_subscriptions(client) == set(), 'no subscriptions')
        assert client.state() == 'inactive'
        assert client.change_state('cleanup')
        wait_until(lambda: node_topics(client) == set(), 'no publishers')
        assert client.state() == 'unconfigured'


@pytest.mark.parametrize('label', ['activate', 'deactivate', 'cleanup', 'fly'])
def test_a_transition_that_the_state_does_not_allow_is_refused_and_the_node_goes_on(
    unconfigured: Client, label: str
) -> None:
    assert not unconfigured.change_state(label)
    assert unconfigured.state() == 'unconfigured'
    assert unconfigured.change_state('configure')
    assert not unconfigured.change_state('configure')
    assert unconfigured.state() == 'inactive'


def test_services_of_a_node_without_a_model_say_so(unconfigured: Client) -> None:
    answer = unconfigured.call(Trigger, '/loftr/reset', Trigger.Request())
    assert not answer.success
    assert answer.message == 'the node is unconfigured and has no model: configure it first'
    answer = unconfigured.call(MatchImages, '/loftr/match_images', MatchImages.Request())
    assert not answer.success
    assert answer.relative_pose.reason == answer.message


def test_the_weights_can_change_before_but_not_after(unconfigured: Client) -> None:
    assert unconfigured.set_parameter('matcher.weights', 'other').successful
    assert unconfigured.change_state('configure')
    result = unconfigured.set_parameter('matcher.weights', 'lite')
    assert 'cannot change while the node is configured' in result.reason
    assert unconfigured.change_state('cleanup')
    assert unconfigured.set_parameter('matcher.weights', 'lite').successful


def test_a_deactivated_node_forgets_its_frames(unconfigured: Client) -> None:
    client = unconfigured
    start(client)
    camera = Camera(client)
    camera.wait_for_subscriber()
    wait_until(lambda: client.correspondences, 'a result', camera.send)
    assert client.change_state('deactivate')
    before = camera.stamp_ns
    assert client.change_state('activate')
    camera.wait_for_subscriber()
    wait_until(
        lambda: client.find(lambda msg: stamp_from_msg(msg.header.stamp) > before),
        'a result',
        camera.send,
    )
    first = client.find(lambda msg: stamp_from_msg(msg.header.stamp) > before)[0]
    assert stamp_from_msg(first.reference_camera_info.header.stamp) > before


def test_two_cameras_are_matched_by_their_stamps(unconfigured: Client) -> None:
    client = unconfigured
    start(client, mode='pair')
    left, right = Camera(client, '0'), Camera(client, '1', start_ns=STEP_NS + 4_000_000)
    left.wait_for_subscriber()
    right.wait_for_subscriber()

    def send_both() -> None:
        left.send()
        right.send()

    wait_until(lambda: client.correspondences, 'a pair', send_both)
    found = client.correspondences[0]
    difference = stamp_from_msg(found.header.stamp) - stamp_from_msg(
        found.reference_camera_info.header.stamp
    )
    assert difference == 4_000_000
    assert len(found.confidence) > 20


def test_two_cameras_whose_stamps_never_match_are_distinguished(
    unconfigured: Client, node: NodeProcess
) -> None:
    client = unconfigured
    start(client, mode='pair', **{'input.sync_slop': 0.0})
    left, right = Camera(client, '0'), Camera(client, '1', start_ns=STEP_NS + 4_000_000)

    def send_both() -> None:
        left.send()
        right.send()

    wait_until(lambda: 'never match' in client.message('inputs'), 'the explanation', send_both)
    assert 'the stamps of /image0, /image1 never match' in client.message('inputs')
    assert 'nearest are 0.0040 s apart' in client.message('inputs')
    wait_until(
        lambda: client.message('inputs').startswith('/image1 is silent: a publisher, but no'),
        'the silent one of the two',
        left.send,
    )
    assert '/image1 is silent' in node.text()


def test_compressed_images_are_subscribed_to_beside_the_raw_topic(unconfigured: Client) -> None:
    client = unconfigured
    start(client, **{'input.image_transport': 'compressed'})
    wait_until(
        lambda: node_subscriptions(client) == {'/image/compressed', '/camera_info'},
        'the compressed topic',
    )
    publisher = client.publisher(CompressedImage, '/image/compressed')
    wait_until(publisher.get_subscription_count, 'a subscriber')
    camera = Camera(client)

    def send() -> None:
        raw = camera.next_image()
        publisher.publish(compressed_msg(picture(camera.index), stamp_from_msg(raw.header.stamp)))

    wait_until(lambda: client.correspondences, 'a result', send)
    assert len(client.correspondences[0].confidence) > 20


def test_a_raw_publisher_on_a_compressed_topic_is_explained(unconfigured: Client) -> None:
    client = unconfigured
    client.drop_publisher('/image/compressed')
    start(client, **{'input.image_transport': 'compressed'})
    with closing(Client()) as other:  # one process cannot have two types for a topic
        other.publisher(Image, '/image/compressed')
        wait_until(
            lambda: 'its type is sensor_msgs/msg/Image, not' in client.message('inputs'),
            'the explanation',
        )
    assert client.message('inputs').startswith('/image/compressed')


def test_a_publisher_of_less_quality_is_explained(unconfigured: Client) -> None:
    client = unconfigured
    camera = Camera(client)  # best effort, as drivers are
    start(client, **{'input.reliability': 'reliable'})
    wait_until(
        lambda: '/image is silent: no publisher fits the QoS' in client.message('inputs'),
        'the explanation',
        camera.send,
    )
    assert 'see input.reliability' in client.message('inputs')


def test_no_frame_is_lost_where_every_frame_counts(unconfigured: Client) -> None:
    client = unconfigured
    start(
        client,
        **{'input.process_every_frame': True},
        **{'input.reliability': 'reliable'},
        **{'input.queue_size': 50},
    )
    client.drop_publisher('/image')
    client.drop_publisher('/camera_info')
    images = client.publisher(Image, '/image', QoSProfile(depth=50))
    infos = client.publisher(CameraInfo, '/camera_info', QoSProfile(depth=50))
    wait_until(lambda: images.get_subscription_count() and infos.get_subscription_count(), 'node')
    time.sleep(1.0)  # the node may know its new publishers a little later than they know it
    for index in range(1, 41):
        infos.publish(camera_info_msg(index * STEP_NS))
        images.publish(image_msg(picture(index), index * STEP_NS))
    wait_until(lambda: len(client.correspondences) == 39, 'all results')
    client.drop_publisher('/image')
    client.drop_publisher('/camera_info')


def test_a_clock_that_goes_back_clears_everything(unconfigured: Client, node: NodeProcess) -> None:
    client = unconfigured
    assert client.set_parameter('use_sim_time', True).successful
    start(client)
    wait_until(
        lambda: '/clock: use_sim_time is set' in client.message('inputs'), 'the missing clock'
    )
    clock = client.publisher(Clock, '/clock')
    camera = Camera(client)
    camera.wait_for_subscriber()

    def tick(*stamps_ns: int) -> None:
        for stamp_ns in stamps_ns:
            clock.publish(Clock(clock=stamp_to_msg(stamp_ns)))
            # A node keeps only the last message of /clock: it must have time to take each of them.
            time.sleep(0.1)

    def run() -> None:
        tick(camera.send())

    wait_until(lambda: client.correspondences, 'a result', run)
    wait_until(
        lambda: 'the clock went back by 9.' in node.text(),
        'the jump to be reported',
        lambda: tick(20 * 10**9, 21 * 10**9, 12 * 10**9 - 1),
    )
    assert 'everything before is forgotten' in node.text()
    assert client.set_parameter('use_sim_time', False).successful


def test_sigterm_ends_an_active_node_without_a_traceback(tmp_path: Path) -> None:
    with running_node(tmp_path) as process:
        wait_until(lambda: 'inactive -> active' in process.text(), 'the node to be active')
        assert process.stop(signal.SIGTERM) == 0, process.text()


def test_shutdown_gives_everything_back(unconfigured: Client) -> None:
    client = unconfigured
    start(client)
    assert client.change_state('shutdown')
    assert client.state() == 'finalized'
    wait_until(lambda: node_subscriptions(client) == set(), 'no subscriptions')
    wait_until(lambda: node_topics(client) == set(), 'no publishers')
