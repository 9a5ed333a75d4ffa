"""Subscriptions: names, quality, calibrations that come late or once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
from harness import wait_until
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from scenes import STEP_NS, camera_info_msg, image_msg, picture
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from loftr_ros.codecs.stamps import stamp_from_msg
from loftr_ros.ros.frames import Arrival
from loftr_ros.ros.inputs import Inputs
from loftr_ros.settings.parameters import NodeParameters

PICTURE = picture(0)


class Bench:
    """Inputs of a node in this process, publishers beside them, and what arrived."""

    def __init__(self, arguments: list[str], overrides: dict[str, str], parameters: Any) -> None:  # noqa: ANN401
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = Node(
            'inputs',
            context=self.context,
            cli_args=['--ros-args', *arguments] if arguments else None,
            parameter_overrides=[Parameter(name, value=v) for name, v in overrides.items()],
            automatically_declare_parameters_from_overrides=True,
        )
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.arrivals: list[Arrival] = []
        self.refusals: list[tuple[str, str]] = []
        self.jumps: list[str] = []
        self.inputs = Inputs(
            self.node,
            NodeParameters().with_values(parameters),
            self.arrivals.append,
            lambda topic, reason: self.refusals.append((topic, reason)),
            self.jumps.append,
        )
        self.stamp_ns = 0
        self.images: Any = None

    def publisher(self, msg_type: type[Any], topic: str, qos: QoSProfile) -> Any:  # noqa: ANN401
        return self.node.create_publisher(msg_type, topic, qos)

    def send(self, step_ns: int = STEP_NS) -> None:
        if self.images is None:
            self.images = self.publisher(Image, '/image', QoSProfile(depth=5))
        self.stamp_ns += step_ns
        self.images.publish(image_msg(PICTURE, self.stamp_ns))

    def wait(self, condition: Callable[[], object], poke: Callable[[], object]) -> None:
        def step() -> None:
            poke()
            for _ in range(10):
                self.executor.spin_once(0.005)

        wait_until(condition, 'the inputs', step)

    def topics(self) -> set[str]:
        names = {subscription.topic_name for subscription in self.node.subscriptions}
        return {name for name in names if 'parameter' not in name}

    def close(self) -> None:
        self.inputs.close()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


Make = Callable[..., Bench]


@pytest.fixture
def make() -> Iterator[Make]:
    benches: list[Bench] = []

    def make_bench(
        *arguments: str, overrides: dict[str, str] | None = None, **parameters: object
    ) -> Bench:
        benches.append(Bench(list(arguments), overrides or {}, parameters))
        return benches[-1]

    yield make_bench
    for bench in benches:
        bench.close()


def test_a_pair_has_four_topics(make: Make) -> None:
    bench = make(mode='pair')
    assert bench.topics() == {'/image0', '/camera_info0', '/image1', '/camera_info1'}
    bench.inputs.close()
    assert bench.topics() == set()


def test_a_stereo_pair_has_four_topics(make: Make) -> None:
    names = {f'/{side}/{kind}' for side in ('left', 'right') for kind in ('image', 'camera_info')}
    assert make(mode='stereo').topics() == names


def test_depth_is_an_image_more_with_a_transport_of_its_own(make: Make) -> None:
    assert make(mode='rgbd').topics() == {'/image', '/camera_info', '/depth'}
    bench = make(
        '-r', 'depth:=/cam/depth', mode='rgbd', **{'input.depth_transport': 'compressedDepth'}
    )
    assert bench.topics() == {'/image', '/camera_info', '/cam/depth/compressedDepth'}
    types = {each.topic_name: each.msg_type for each in bench.node.subscriptions}
    assert types['/image'] is Image
    assert types['/cam/depth/compressedDepth'] is CompressedImage


def test_an_image_waits_for_its_depth(make: Make) -> None:
    bench = make(mode='rgbd', **{'input.silent_timeout': 60.0})
    infos = bench.publisher(CameraInfo, '/camera_info', QoSProfile(depth=5))
    depths = bench.publisher(Image, '/depth', QoSProfile(depth=5))
    missing = 0

    def send() -> None:
        nonlocal missing
        bench.send()
        infos.publish(camera_info_msg(bench.stamp_ns))
        if bench.stamp_ns // STEP_NS % 2:
            missing += 1
            return
        depths.publish(image_msg(PICTURE, bench.stamp_ns))

    bench.wait(lambda: len(bench.arrivals) > 2, send)
    assert missing
    for arrival in bench.arrivals:
        assert arrival.depth is not None
        assert arrival.depth.topic == '/depth'
        stamp_ns = stamp_from_msg(arrival.depth.image.header.stamp)
        assert stamp_ns == stamp_from_msg(arrival.images[0].image.header.stamp)
        assert stamp_ns // STEP_NS % 2 == 0
        assert arrival.images[0].camera_info is not None


def test_a_silent_depth_topic_is_named(make: Make) -> None:
    # Long enough that the images are never late on a busy machine.
    bench = make(mode='rgbd', **{'input.silent_timeout': 1.0})
    deadline = time.monotonic() + 1.5

    def silent() -> bool:
        return time.monotonic() > deadline

    bench.wait(silent, bench.send)
    _, problems = bench.inputs.report()
    assert problems[0].startswith('/depth has no publisher: is the driver running')


def test_a_remapped_image_takes_its_compressed_twin_along(make: Make) -> None:
    remapping = ['-r', 'image:=/front/image_raw']
    assert '/front/image_raw' in make(*remapping).topics()
    compressed = make(*remapping, **{'input.image_transport': 'compressed'})
    assert '/front/image_raw/compressed' in compressed.topics()
    direct = make('-r', 'image:=/front/image/compressed', **{'input.image_transport': 'compressed'})
    assert '/front/image/compressed' in direct.topics()


def test_quality_is_that_of_the_parameters_unless_overridden(make: Make) -> None:
    override = {'qos_overrides./image.subscription.reliability': 'reliable'}
    found = {
        subscription.topic_name: subscription.qos_profile
        for subscription in make(overrides=override, **{'input.queue_size': 3}).node.subscriptions
    }
    assert found['/image'].reliability == ReliabilityPolicy.RELIABLE
    assert found['/camera_info'].reliability == ReliabilityPolicy.BEST_EFFORT
    assert found['/image'].depth == found['/camera_info'].depth == 3


def test_the_first_images_wait_for_a_calibration_but_not_for_ever(make: Make) -> None:
    bench = make(**{'input.silent_timeout': 0.5})
    start = time.monotonic()
    bench.wait(lambda: bench.arrivals, bench.send)
    assert time.monotonic() - start > 0.4
    assert bench.arrivals[0].images[0].camera_info is None
    reports, problems = bench.inputs.report()
    assert problems == [
        (
            '/camera_info has brought no calibration yet: matches come without poses; '
            'input.calibration_file takes one from a file'
        )
    ]
    assert [report.name for report in reports] == ['/image', '/camera_info']


def test_an_image_takes_the_latest_calibration(make: Make) -> None:
    bench = make(**{'input.silent_timeout': 60.0})
    infos = bench.publisher(CameraInfo, '/camera_info', QoSProfile(depth=5))

    def send() -> None:
        infos.publish(camera_info_msg(7))
        bench.send()

    bench.wait(lambda: bench.arrivals, send)
    first = bench.arrivals[0].images[0]
    assert first.camera_info is not None
    assert isinstance(first.camera_info, CameraInfo)
    assert first.camera_info.header.stamp.nanosec == 7
    assert (first.topic, first.camera_info_topic) == ('/image', '/camera_info')


def test_a_latched_calibration_is_asked_for_where_it_is_latched(make: Make) -> None:
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    bench = make(**{'input.silent_timeout': 60.0})
    infos = bench.publisher(CameraInfo, '/camera_info', qos)
    infos.publish(camera_info_msg(7))
    bench.wait(infos.get_subscription_count, lambda: None)

    def send() -> None:
        bench.inputs.read_latched()
        bench.send()

    bench.wait(lambda: bench.arrivals, send)
    assert bench.arrivals[0].images[0].camera_info is not None


def test_stamps_of_zero_are_explained(make: Make) -> None:
    bench = make(**{'input.silent_timeout': 0.1})
    bench.wait(lambda: bench.refusals, lambda: bench.send(0))
    assert bench.refusals[0] == (
        '/image',
        'the stamp is zero: the driver must set the time of the exposure',
    )


def test_stamps_that_go_back_far_are_reported_once_and_used(make: Make) -> None:
    bench = make(**{'input.silent_timeout': 0.1})
    bench.stamp_ns = 100 * 10**9
    bench.wait(lambda: bench.arrivals, bench.send)
    bench.stamp_ns, count = 0, len(bench.arrivals)
    bench.wait(lambda: len(bench.arrivals) > count, bench.send)
    assert len(bench.jumps) == 1
    assert bench.jumps[0].startswith('the stamps of /image went back by 100.')
    assert not bench.refusals


def test_with_a_calibration_of_a_file_nobody_waits_for_another(make: Make) -> None:
    bench = make(**{'input.calibration_file': ('camera.yaml',), 'input.silent_timeout': 100.0})
    bench.wait(lambda: bench.arrivals, bench.send)
    assert bench.arrivals[0].images[0].camera_info is None
