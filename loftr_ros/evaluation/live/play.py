"""Publisher process of a live run: plays a bag at its own or another pace.

`python -m loftr_ros.evaluation.live.play PLAN` reads the plan of `plan`, and writes a line
of JSON for each event: `ready` when everybody listens, `sent` for each image, `done` at the end of
the bag. Each line on standard input plays it once; the end of standard input ends it.
"""

from __future__ import annotations

import itertools
import json
import queue
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from loftr_ros.codecs.stamps import stamp_from_msg
from loftr_ros.data.bags.message_types import package_typestore
from loftr_ros.data.bags.storage import opened
from loftr_ros.evaluation.live.plan import LivePlan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loftr_ros.data.bags.storage import BagReader, Record
    from loftr_ros.ros.playback import Player

CALIBRATION_LEAD_S = 0.3
"""A driver's calibrations come long before the first image; here by so much."""

CLOCK, CLOCK_TYPE = '/clock', 'rosgraph_msgs/msg/Clock'
CLOCK_PERIOD_S = 0.02


class Published(NamedTuple):
    """A message of the bag.

    Attributes:
        topic: Where it is published.
        data: CDR bytes.
        stamp_ns: Time of the exposure of an image, ns; 0 of other messages.

    """

    topic: str
    data: bytes
    stamp_ns: int


class Playback:
    """Plays the topics of a plan from a bag, as often as it is asked to."""

    def __init__(self, plan: LivePlan, reader: BagReader, player: Player) -> None:
        self._plan = plan
        self._reader = reader
        self._player = player
        self._played = [c.topic for c in reader.connections if c.topic in plan.topics]
        self._types = package_typestore()
        self.counts: Counter[str] = Counter()
        self.end = threading.Event()

    def wait_for_listeners(self) -> None:
        """Wait until everybody listens whom the plan expects."""
        expected = self._plan.listeners()
        expected = {topic: expected[topic] for topic in self._topics()}
        if self._plan.clock:
            expected[CLOCK] = 1
        while not self.end.is_set() and any(
            self._player.subscribers(topic) < count for topic, count in expected.items()
        ):
            time.sleep(0.05)

    def play(self) -> None:
        """Play the bag once."""
        moments = self._moments()
        first = next(moments, None)
        if first is None:
            return
        start_ns = first[0]
        self._publish_time(start_ns)
        ahead = self._send_calibrations()
        self.end.wait(CALIBRATION_LEAD_S)
        origin = time.monotonic()
        for time_ns, messages in itertools.chain([first], moments):
            due = origin + (time_ns - start_ns) / 1e9 / self._plan.rate
            if not self._wait(due, time_ns):
                return
            for message in messages:
                self.counts[message.topic] += 1
                if message.topic in ahead:
                    ahead.remove(message.topic)
                else:
                    self._send(message)

    def _topics(self) -> set[str]:
        return {self._plan.topics[topic] for topic in self._played}

    def _send_calibrations(self) -> set[str]:
        """Send the first message of each calibration, which is not sent again in its turn."""
        sent = set()
        for recorded in self._played:
            topic = self._plan.topics[recorded]
            if topic not in self._plan.calibrations:
                continue
            first = next(self._reader.records([recorded]), None)
            if first is not None:
                self._player.publish(topic, first.data)
                sent.add(topic)
        return sent

    def _wait(self, due: float, time_ns: int) -> bool:
        """Wait while the clock goes on; returns whether to go on."""
        while (left := due - time.monotonic()) > CLOCK_PERIOD_S and self._plan.clock:
            self._publish_time(time_ns - round(left * self._plan.rate * 1e9))
            if self.end.wait(CLOCK_PERIOD_S):
                return False
        if self.end.wait(max(0.0, left)):
            return False
        self._publish_time(time_ns)
        return True

    def _publish_time(self, time_ns: int) -> None:
        if self._plan.clock:
            stamp = self._types.types['builtin_interfaces/msg/Time'](*divmod(time_ns, 10**9))
            message = self._types.types[CLOCK_TYPE](stamp)
            self._player.publish(CLOCK, bytes(self._types.serialize_cdr(message, CLOCK_TYPE)))

    def _send(self, message: Published) -> None:
        sent = time.time_ns()
        self._player.publish(message.topic, message.data)
        if message.topic == self._plan.image:
            report('sent', stamp=message.stamp_ns, time=sent)

    def _moments(self) -> Iterator[tuple[int, list[Published]]]:
        """Group the messages by their time; the image comes last, after what belongs to it."""
        records = self._reader.records(self._played)
        for time_ns, group in itertools.groupby(records, key=lambda record: record.time_ns):
            published = [self._published(record) for record in group]
            yield time_ns, sorted(published, key=lambda each: each.topic == self._plan.image)

    def _published(self, record: Record) -> Published:
        name, stamp = self._plan.topics[record.topic], 0
        if name == self._plan.image:
            stamp = self._stamp(record)
        return Published(name, record.data, stamp)

    def _stamp(self, record: Record) -> int:
        try:
            message = self._reader.deserialize(record.data, record.msgtype)
        except ValueError:  # the node will refuse it
            return record.time_ns
        return stamp_from_msg(message.header.stamp) or record.time_ns


def main(file: Path) -> int:
    """Play the bag of the plan in `file`."""
    from loftr_ros.ros.playback import Player

    plan = LivePlan.read(file)
    with opened(plan.bag) as reader:
        played = [c for c in reader.connections if c.topic in plan.topics]
        types = {plan.topics[c.topic]: c.msgtype for c in played}
        player = Player('camera', types | ({CLOCK: CLOCK_TYPE} if plan.clock else {}))
        playback = Playback(plan, reader, player)
        starts: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(starts, playback.end), daemon=True).start()
        try:
            playback.wait_for_listeners()
            report('ready')
            while starts.get() is not None:
                playback.play()
                report('done', counts=playback.counts)
        finally:
            player.close()
    return 0


def report(event: str, **values: object) -> None:
    """Write one event for the process that started this one."""
    print(json.dumps({'event': event, **values}), flush=True)


def _listen(starts: queue.SimpleQueue[str | None], end: threading.Event) -> None:
    for line in sys.stdin:
        starts.put(line)
    end.set()
    starts.put(None)


if __name__ == '__main__':
    sys.exit(main(Path(sys.argv[1])))
