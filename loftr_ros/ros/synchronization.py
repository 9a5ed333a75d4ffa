"""Messages of several topics that belong together by their stamps.

The classes are those of message_filters where it is installed, else small ones with the same
interface (which the wheels of ROS 2 on PyPI lack).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from loftr_ros.codecs.stamps import stamp_from_msg

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.qos import QoSProfile

Callback = Callable[..., None]
Message = Any

# The method names are those of message_filters, since callers get the one or the other.
# ruff: noqa: N802


class LocalSimpleFilter:
    """Source of messages for the synchronizers below; `signalMessage` feeds it by hand."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callback, tuple[object, ...]]] = {}

    def registerCallback(self, callback: Callback, *args: object) -> int:
        """Call `callback(*messages, *args)` for all messages to come; returns its number."""
        self.callbacks[len(self.callbacks)] = (callback, args)
        return len(self.callbacks) - 1

    def signalMessage(self, *messages: Message) -> None:
        """Hand messages to all callbacks."""
        for callback, args in list(self.callbacks.values()):
            callback(*messages, *args)


class LocalSubscriber(LocalSimpleFilter):
    """Source of the messages of a topic; takes the arguments of `Node.create_subscription`."""

    def __init__(
        self,
        node: Node,
        msg_type: type[Message],
        topic: str,
        qos_profile: QoSProfile | int = 10,
        **kwargs: Any,  # noqa: ANN401 - whatever create_subscription takes
    ) -> None:
        super().__init__()
        self.topic = topic
        self.sub = node.create_subscription(msg_type, topic, self.callback, qos_profile, **kwargs)

    def callback(self, message: Message) -> None:
        """Hand on a message of the topic."""
        self.signalMessage(message)

    def getTopic(self) -> str:
        """Return the name of the topic."""
        return self.topic


class LocalTimeSynchronizer(LocalSimpleFilter):
    """Hand on one message of each source as soon as there is one of equal stamp in all.

    Of each source the `queue_size` messages with the newest stamps wait.
    """

    def __init__(self, filters: Sequence[Any], queue_size: int) -> None:
        super().__init__()
        self.queue_size = queue_size
        self.queues: list[dict[int, Message]] = [{} for _ in filters]
        self._lock = threading.Lock()
        for index, source in enumerate(filters):
            source.registerCallback(self.add, index)

    def add(self, message: Message, index: int) -> None:
        """Take a message of the source number `index`."""
        stamp = stamp_from_msg(message.header.stamp)
        with self._lock:
            queue = self.queues[index]
            queue[stamp] = message
            while len(queue) > self.queue_size:
                del queue[min(queue)]
            stamps = self._find(stamp, index)
            if stamps is None:
                return
            messages = [queue.pop(key) for queue, key in zip(self.queues, stamps, strict=True)]
        self.signalMessage(*messages)

    def _find(self, stamp: int, _index: int) -> Sequence[int] | None:
        complete = all(stamp in queue for queue in self.queues)
        return [stamp] * len(self.queues) if complete else None


class LocalApproximateTimeSynchronizer(LocalTimeSynchronizer):
    """Hand on one message of each source whose stamps are less than `slop` seconds apart."""

    def __init__(
        self,
        filters: Sequence[Any],
        queue_size: int,
        slop: float,
        allow_headerless: bool = False,
    ) -> None:
        if allow_headerless:
            raise ValueError('messages without a stamp cannot be synchronized by their stamps')
        super().__init__(filters, queue_size)
        self.slop_ns = round(slop * 1e9)

    def _find(self, stamp: int, index: int) -> Sequence[int] | None:
        candidates = [
            [stamp] if other == index else self._near(queue, stamp)
            for other, queue in enumerate(self.queues)
        ]
        if stamp not in self.queues[index]:  # too old for the queue
            return None
        fitting = (
            stamps
            for stamps in itertools.product(*candidates)
            if max(stamps) - min(stamps) < self.slop_ns
        )
        return next(fitting, None)

    def _near(self, queue: dict[int, Message], stamp: int) -> list[int]:
        near = [key for key in queue if abs(key - stamp) <= self.slop_ns]
        return sorted(near, key=lambda key: abs(key - stamp))


try:
    from message_filters import (
        ApproximateTimeSynchronizer,
        SimpleFilter,
        Subscriber,
        TimeSynchronizer,
    )
except ImportError:
    ApproximateTimeSynchronizer = LocalApproximateTimeSynchronizer
    SimpleFilter = LocalSimpleFilter
    Subscriber = LocalSubscriber
    TimeSynchronizer = LocalTimeSynchronizer

__all__ = [
    'ApproximateTimeSynchronizer',
    'LocalApproximateTimeSynchronizer',
    'LocalSimpleFilter',
    'LocalSubscriber',
    'LocalTimeSynchronizer',
    'SimpleFilter',
    'Subscriber',
    'TimeSynchronizer',
    'TopicSynchronizer',
]


class TopicSynchronizer:
    """Sets of messages of several topics that belong together; can forget what waits."""

    def __init__(
        self, topics: int, queue_size: int, slop: float, callback: Callable[..., None]
    ) -> None:
        """Call `callback(*messages)`, one message of each topic, for each set.

        Args:
            topics: Number of topics.
            queue_size: Messages of each topic that wait for their partners.
            slop: Largest difference of the stamps of a set, s; 0 for equal stamps.
            callback: What to do with each set.
        """
        self.topics = topics
        self._arguments = (topics, queue_size, slop, callback)
        self.clear()

    def add(self, index: int, message: Message) -> None:
        """Take a message of the topic number `index`."""
        self._filters[index].signalMessage(message)

    def clear(self) -> None:
        """Forget all messages that wait."""
        topics, queue_size, slop, callback = self._arguments
        # message_filters has no method to empty its queues: new ones take their place.
        self._filters = [SimpleFilter() for _ in range(topics)]
        synchronizer = (
            ApproximateTimeSynchronizer(self._filters, queue_size, slop)
            if slop > 0
            else TimeSynchronizer(self._filters, queue_size)
        )
        synchronizer.registerCallback(callback)
