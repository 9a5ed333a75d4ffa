"""A node process, and a client of it on the same ROS graph."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from scenes import STEP_NS, Picture, camera_info_msg, image_msg, picture
from sensor_msgs.msg import CameraInfo, Image

from loftr_ros.msg import Correspondences, RelativePose

TIMEOUT = 60.0
FLOW_NODE = [sys.executable, str(Path(__file__).with_name('flow_node.py'))]

# Logs of the nodes that run.
RUNNING: list[Path] = []


class NodeProcess:
    """The node in a process of its own, and what it logs."""

    def __init__(self, log: Path, command: list[str], parameters: dict[str, Any]) -> None:
        options = [f'{name}:={value}' for name, value in parameters.items()]
        arguments = [item for option in options for item in ('-p', option)]
        self.log = log
        with log.open('w') as stream:
            self.process = subprocess.Popen(
                [*command, '--ros-args', *arguments], stdout=stream, stderr=stream
            )

    def text(self) -> str:
        return self.log.read_text(encoding='utf-8')

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class Client:
    """Publishes images, calls services and keeps what the node publishes; use with `closing`.

    One that is left open goes on publishing to the nodes of later tests.
    """

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = Node('client', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.correspondences: list[Correspondences] = []
        self.poses: list[RelativePose] = []
        self.pictures: list[Image] = []
        self.diagnostics: dict[str, Any] = {}
        self.listen(Correspondences, '/loftr/correspondences', self.correspondences.append)
        self.listen(RelativePose, '/loftr/relative_pose', self.poses.append)
        self.listen(DiagnosticArray, '/diagnostics', self._on_diagnostics)
        self._publishers: dict[str, Any] = {}
        self._clients: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        rclpy.shutdown(context=self.context)
        self._thread.join(TIMEOUT)
        self.node.destroy_node()

    def _spin(self) -> None:
        try:
            while self.context.ok():
                self.executor.spin_once(0.1)
        except ExternalShutdownException:
            pass
        except RuntimeError:
            # The context may end while the executor is about to use it.
            if self.context.ok():
                raise

    def listen(self, msg_type: type[Any], topic: str, callback: Callable[[Any], None]) -> Any:  # noqa: ANN401
        return self.node.create_subscription(msg_type, topic, callback, 50)

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            values = {pair.key: pair.value for pair in status.values}
            self.diagnostics[status.name.rpartition(': ')[2]] = (status, values)

    def find(self, condition: Callable[[Correspondences], bool]) -> list[Correspondences]:
        return [msg for msg in list(self.correspondences) if condition(msg)]

    def message(self, part: str) -> str:
        return str(self.diagnostics[part][0].message) if part in self.diagnostics else ''

    def value(self, part: str, key: str) -> str:
        return str(self.diagnostics[part][1].get(key, '')) if part in self.diagnostics else ''

    def publisher(
        self, msg_type: type[Any], topic: str, qos: QoSProfile | int = qos_profile_sensor_data
    ) -> Any:  # noqa: ANN401
        if topic not in self._publishers:
            self._publishers[topic] = self.node.create_publisher(msg_type, topic, qos)
        return self._publishers[topic]

    def drop_publisher(self, topic: str) -> None:
        if topic in self._publishers:
            self.node.destroy_publisher(self._publishers.pop(topic))

    def call(self, srv_type: type[Any], name: str, request: Any) -> Any:  # noqa: ANN401
        future = self.client(srv_type, name).call_async(request)
        wait_until(future.done, f'an answer of {name}')
        return future.result()

    def client(self, srv_type: type[Any], name: str) -> Any:  # noqa: ANN401
        if name not in self._clients:
            self._clients[name] = self.node.create_client(srv_type, name)
        client = self._clients[name]
        assert client.wait_for_service(TIMEOUT), name
        return client

    def state(self) -> str:
        # The first answer of a new server is lost where discovery has met only half of the service.
        for _ in range(3):
            future = self.client(GetState, '/loftr/get_state').call_async(GetState.Request())
            deadline = time.monotonic() + TIMEOUT / 3
            while not future.done() and time.monotonic() < deadline:
                time.sleep(0.02)
            if future.done():
                return str(future.result().current_state.label)
        raise AssertionError(f'waited {TIMEOUT} s in vain for an answer of /loftr/get_state')

    def change_state(self, label: str) -> bool:
        request = ChangeState.Request()
        request.transition.label = label
        return bool(self.call(ChangeState, '/loftr/change_state', request).success)

    def set_parameter(self, name: str, value: bool | float | str) -> SetParametersResult:
        parameter: ParameterMsg = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[parameter])
        return self.call(SetParameters, '/loftr/set_parameters', request).results[0]


class Camera:
    """A camera driver: images and calibrations whose stamps go on by `STEP_NS`."""

    def __init__(self, client: Client, suffix: str = '', start_ns: int = STEP_NS) -> None:
        self.client = client
        self.topics = f'/image{suffix}', f'/camera_info{suffix}'
        self.stamp_ns = start_ns
        self.index = 0
        self.images = client.publisher(Image, self.topics[0])
        self.infos = client.publisher(CameraInfo, self.topics[1])

    def wait_for_subscriber(self) -> None:
        wait_until(
            lambda: self.images.get_subscription_count() and self.infos.get_subscription_count(),
            f'a subscriber of {self.topics[0]}',
        )

    def next_image(self, pixels: Picture | None = None) -> Image:
        self.stamp_ns += STEP_NS
        self.index += 1
        return image_msg(picture(self.index) if pixels is None else pixels, self.stamp_ns)

    def send(self, image: Image | None = None, info: CameraInfo | None = None) -> int:
        """Publish the next image, or one that is given, with its calibration."""
        image = self.next_image() if image is None else image
        self.infos.publish(camera_info_msg(self.stamp_ns) if info is None else info)
        self.images.publish(image)
        return self.stamp_ns


def wait_until(
    condition: Callable[[], object], what: str, poke: Callable[[], object] | None = None
) -> None:
    """Wait until something holds, doing `poke` twenty times a second meanwhile."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            logs = '\n'.join(log.read_text(encoding='utf-8') for log in RUNNING)
            raise AssertionError(f'waited {TIMEOUT} s in vain for {what}; the node says:\n{logs}')
        if poke is not None:
            poke()
        time.sleep(0.05)


def collect_nodes() -> None:
    """Take destroyed nodes of this process from the graph, where they hide others of their name.

    The state machine of a lifecycle node keeps it there until both are collected.
    """
    gc.collect()


class Endpoints(NamedTuple):
    """What a node has in the graph: name and types of each."""

    published: dict[str, list[str]]
    subscribed: dict[str, list[str]]
    served: dict[str, list[str]]


def endpoints_of(node: Node) -> Endpoints:
    """Ask the graph for what a node of this process has, as soon as the graph holds all of it."""
    collect_nodes()
    own = (
        {publisher.topic_name for publisher in node.publishers},
        {subscription.topic_name for subscription in node.subscriptions},
        {service.service_name for service in node.services},
    )
    name = node.get_name(), node.get_namespace()

    def ask() -> Endpoints:
        return Endpoints(
            dict(node.get_publisher_names_and_types_by_node(*name)),
            dict(node.get_subscriber_names_and_types_by_node(*name)),
            dict(node.get_service_names_and_types_by_node(*name)),
        )

    # Discovery enters them one by one, after their creation.
    wait_until(
        lambda: all(names <= set(found) for names, found in zip(own, ask(), strict=True)),
        f'{own} in the graph',
    )
    return ask()


@contextmanager
def running_node(
    directory: Path, parameters: dict[str, Any] | None = None, command: list[str] | None = None
) -> Iterator[NodeProcess]:
    """Run the node with the matcher of the tests, or another command; it must end with 0."""
    log = directory / f'node{os.urandom(4).hex()}.log'
    node = NodeProcess(log, command or FLOW_NODE, parameters or {})
    RUNNING.append(log)
    try:
        yield node
    finally:
        RUNNING.remove(log)
        code = node.stop()
    assert code == 0, node.text()
    assert 'Traceback' not in node.text(), node.text()
