"""Subscriptions of the node: what arrives, what belongs together, what is missing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from loftr_ros.codecs.stamps import SECOND_NS, Order, StampOrder, describe_late, stamp_from_msg
from loftr_ros.ros.frames import Arrival, DepthInput, ImageInput
from loftr_ros.ros.monitoring import TopicMonitor, TopicReport, find_input_problems
from loftr_ros.ros.synchronization import Subscriber, TopicSynchronizer

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.topic_endpoint_info import TopicEndpointInfo

    from loftr_ros.settings.parameters import NodeParameters

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

TOPICS = {
    'mono': (('image',), ('camera_info',)),
    'stereo': (('left/image', 'right/image'), ('left/camera_info', 'right/camera_info')),
    'rgbd': (('image',), ('camera_info',)),
    'pair': (('image0', 'image1'), ('camera_info0', 'camera_info1')),
}
"""Images and calibrations that each mode subscribes to, relative to the node's namespace."""

DEPTH_TOPIC = 'depth'
"""Depth images, which the mode rgbd subscribes to besides."""


class _GroupWithRoom(MutuallyExclusiveCallbackGroup):
    """Callbacks that the executor leaves out while there is no room for what they bring.

    To wait in a callback instead would hold up all others: diagnostics, transitions, services.
    """

    def __init__(self, has_room: Callable[[], bool]) -> None:
        super().__init__()
        self._has_room = has_room

    def can_execute(self, entity: Any) -> bool:  # noqa: ANN401 - of rclpy
        return self._has_room() and bool(super().can_execute(entity))


class Inputs:
    """Subscribes, puts together what belongs together, and watches.

    The callbacks only sort messages; nothing is computed in them.
    """

    def __init__(
        self,
        node: Node,
        parameters: NodeParameters,
        on_arrival: Callable[[Arrival], None],
        on_refusal: Callable[[str, str], None],
        on_jump: Callable[[str], None],
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        """Subscribe to the topics of the mode.

        Args:
            node: Whose subscriptions they are.
            parameters: Mode, transport, QoS and synchronization.
            on_arrival: Called with each set of images that belong together.
            on_refusal: Called with the topic and the reason of each message that is left out.
            on_jump: Called when the stamps went back; all that waited is forgotten by then.
            has_room: Whether arrivals find room; messages wait in the subscriptions until they do.
        """
        self._node = node
        self._parameters = parameters
        self._on_arrival = on_arrival
        self._on_refusal = on_refusal
        self._on_jump = on_jump
        self._lock = threading.Lock()
        names, info_names = TOPICS[parameters.mode]
        self._images = [self._transported(name, parameters.input.image_transport) for name in names]
        self._depth = (
            [self._transported(DEPTH_TOPIC, parameters.input.depth_transport)]
            if parameters.mode == 'rgbd'
            else []
        )
        # What needs a partner of the same time; of the calibrations the last one counts.
        self._sources = [*self._images, *self._depth]
        self._has_file = any(parameters.input.calibration_file)
        self._infos = [node.resolve_topic_name(name) for name in info_names]
        self._latest_infos: list[CameraInfo | None] = [None] * len(self._infos)
        self._orders = [StampOrder() for _ in self._sources]
        now = time.monotonic()
        self._monitors = {name: TopicMonitor(name, now) for name in [*self._sources, *self._infos]}
        self._start = self._last_set = now
        self._synchronizer = TopicSynchronizer(
            len(self._sources),
            parameters.input.queue_size,
            parameters.input.sync_slop,
            self._on_set,
        )
        self._has_room = has_room
        self._group = _GroupWithRoom(has_room)
        self._latched: set[str] = set()
        self._subscribers = self._subscribe()

    def close(self) -> None:
        """Unsubscribe."""
        for subscriber in self._subscribers:
            self._node.destroy_subscription(subscriber.sub)
        self._subscribers = []

    def clear(self) -> None:
        """Forget all images that wait; a calibration holds whatever the time."""
        self._synchronizer.clear()
        for order in self._orders:
            order.reset()

    def count_refusal(self, topic: str) -> None:
        """Count a message of a topic that turned out to be unusable, if it is one of these."""
        with self._lock:
            if topic in self._monitors:
                self._monitors[topic].refused += 1

    def report(self) -> tuple[list[TopicReport], list[str]]:
        """Return the state of all topics, and what is wrong with them in words."""
        now = time.monotonic()
        endpoints = {name: self._publishers(name) for name in self._monitors}
        with self._lock:
            if not self._has_room():
                self._last_set = now
                for monitor in self._monitors.values():
                    monitor.excuse(now)
            reports = [
                monitor.report(now, *endpoints[name]) for name, monitor in self._monitors.items()
            ]
            set_silence = now - self._last_set
        problems = find_input_problems(
            reports[: len(self._sources)],
            set_silence,
            self._parameters.input.silent_timeout,
            self._parameters.input.sync_slop,
        )
        problems += self._missing_calibrations(reports[len(self._sources) :])
        return reports, problems

    def apply(self, parameters: NodeParameters) -> None:
        """Use other parameters, as far as they can change while subscribed."""
        self._parameters = parameters

    def _missing_calibrations(self, reports: list[TopicReport]) -> list[str]:
        timeout = self._parameters.input.silent_timeout
        return [
            f'{report.name} has brought no calibration yet: matches come without poses; '
            'input.calibration_file takes one from a file'
            + (f' ({report.qos_problem})' if report.qos_problem else '')
            for report in reports
            if not self._has_file and not report.received and report.silence > timeout
        ]

    def _transported(self, name: str, transport: str) -> str:
        # As image_transport does: a remapping of the image holds for its compressed twin as well.
        topic: str = self._node.resolve_topic_name(name)
        if transport == 'raw' or topic.endswith(f'/{transport}'):
            return topic
        return f'{topic}/{transport}'

    def _subscribe(self) -> list[Any]:
        transports = [self._parameters.input.image_transport] * len(self._images)
        transports += [self._parameters.input.depth_transport] * len(self._depth)
        subscribers = []
        for index, (topic, transport) in enumerate(zip(self._sources, transports, strict=True)):
            image_type = Image if transport == 'raw' else CompressedImage
            subscribers.append(self._subscriber(image_type, topic))
            subscribers[-1].registerCallback(self._on_image, index)
        for index, topic in enumerate(self._infos):
            subscribers.append(self._subscriber(CameraInfo, topic))
            subscribers[-1].registerCallback(self._on_camera_info, index)
        return subscribers

    def _subscriber(
        self,
        msg_type: type[Any],
        topic: str,
        durability: DurabilityPolicy = DurabilityPolicy.VOLATILE,
    ) -> Any:  # noqa: ANN401 - of message_filters where that is installed
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=self._parameters.input.queue_size,
            reliability=ReliabilityPolicy[self._parameters.input.reliability.upper()],
            durability=durability,
        )
        # rclpy would declare a parameter for each policy, whose first value would then hold for
        # ever: only what somebody did override shall win over input.reliability.
        overridden = self._node.get_parameters_by_prefix(f'qos_overrides.{topic}')
        options = QoSOverridingOptions.with_default_policies() if overridden else None
        return Subscriber(
            self._node,
            msg_type,
            topic,
            qos_profile=qos,
            callback_group=self._group,
            # The watchdog says more about publishers that do not fit than the default does.
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            qos_overriding_options=options,
        )

    def read_latched(self) -> None:
        """Ask for calibrations that were published before, where a driver latches them.

        To ask every driver would not do: those that do not latch would log a warning.
        """
        for index, topic in enumerate(self._infos):
            if self._latest_infos[index] is not None or topic in self._latched:
                continue
            latches = any(
                endpoint.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
                for endpoint in self._node.get_publishers_info_by_topic(topic)
            )
            if latches:
                self._latched.add(topic)
                subscriber = self._subscriber(CameraInfo, topic, DurabilityPolicy.TRANSIENT_LOCAL)
                subscriber.registerCallback(self._on_camera_info, index)
                self._subscribers.append(subscriber)

    def _publishers(self, topic: str) -> tuple[int, str]:
        """Count the publishers of a topic, and say why none of them fits."""
        endpoints = self._node.get_publishers_info_by_topic(topic)
        subscriptions = [each.sub for each in self._subscribers if each.sub.topic_name == topic]
        reasons = [_describe_misfit(endpoint, subscriptions) for endpoint in endpoints]
        return len(endpoints), reasons[0] if reasons and all(reasons) else ''

    def _on_image(self, message: Image | CompressedImage, index: int) -> None:
        stamp_ns = stamp_from_msg(message.header.stamp)
        topic = self._sources[index]
        self._tick(topic, stamp_ns)
        last_ns = self._orders[index].last_ns
        order = self._orders[index].check(stamp_ns)
        if order is Order.LATE and last_ns is not None:
            self._on_refusal(topic, describe_late(stamp_ns, last_ns))
            return
        if order is Order.JUMPED and last_ns is not None:
            self.clear()
            self._orders[index].check(stamp_ns)
            back = (last_ns - stamp_ns) / SECOND_NS
            self._on_jump(f'the stamps of {topic} went back by {back:.3f} s')
        if self._synchronizer.topics == 1:
            self._on_set(message)
        else:
            self._synchronizer.add(index, message)

    def _on_camera_info(self, message: CameraInfo, index: int) -> None:
        self._tick(self._infos[index], stamp_from_msg(message.header.stamp))
        self._latest_infos[index] = message

    def _tick(self, topic: str, stamp_ns: int) -> None:
        with self._lock:
            self._monitors[topic].tick(time.monotonic(), stamp_ns)

    def _on_set(self, *messages: Any) -> None:  # noqa: ANN401 - images, depth, calibrations
        now = time.monotonic()
        with self._lock:
            self._last_set = now
        infos = self._latest_infos
        if (
            None in infos
            and not self._has_file
            and now - self._start < self._parameters.input.silent_timeout
        ):
            return  # a first frame without its calibration could be the reference of many poses
        pictures = messages[: len(self._images)]
        images = zip(pictures, infos, self._images, self._infos, strict=True)
        depth = DepthInput(messages[-1], self._depth[0]) if self._depth else None
        self._on_arrival(Arrival(tuple(ImageInput(*image) for image in images), now, depth))


def _describe_misfit(publisher: TopicEndpointInfo, subscriptions: list[Any]) -> str:
    """Say why none of the subscriptions is compatible with a publisher; '' if one can."""
    reasons = []
    for subscription in subscriptions:
        expected = _type_name(subscription.msg_type)
        if publisher.topic_type != expected:
            return f'its type is {publisher.topic_type}, not {expected}; see image_transport'
        compatibility, reason = qos_check_compatible(
            publisher.qos_profile, subscription.qos_profile
        )
        if compatibility != QoSCompatibility.ERROR:
            return ''
        reasons.append(reason.strip().rstrip(';'))
    return (
        f'no publisher fits the QoS asked for; see input.reliability ({reasons[0]})'
        if reasons
        else ''
    )


def _type_name(msg_type: type[Any]) -> str:
    return f'{msg_type.__module__.partition(".")[0]}/msg/{msg_type.__name__}'
