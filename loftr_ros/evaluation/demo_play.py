"""Publisher process of the demo: plays a bag at its own pace.

`python -m loftr_ros.evaluation.demo_play BAG` writes a line of JSON for each event: `ready` when
node and recorder listen, `sent` for each image, `done` in the end. A line on standard input starts
it; the end of standard input ends it.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rosbags.highlevel import AnyReader

from loftr_ros.evaluation.demo_topics import CAMERA_INFO, IMAGE
from loftr_ros.evaluation.message_types import package_typestore
from loftr_ros.ros.stamps import stamp_from_msg

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loftr_ros.ros.playback import Player

LISTENERS = 2
"""The node and the recorder."""

CALIBRATION_LEAD_S = 0.3


def main(path: Path) -> int:
    """Play the bag at `path`."""
    from loftr_ros.ros.playback import Player

    start, end = threading.Event(), threading.Event()
    threading.Thread(target=_listen, args=(start, end), daemon=True).start()
    with AnyReader([path], default_typestore=package_typestore()) as reader:
        player = Player('camera', {c.topic: c.msgtype for c in reader.connections})
        try:
            _wait_for_listeners(player, reader, end)
            start.wait()
            _play(player, reader, end)
            end.wait()
        finally:
            player.close()
    return 0


def report(event: str, **values: object) -> None:
    """Write one event for the process that started this one."""
    print(json.dumps({'event': event, **values}), flush=True)


def _listen(start: threading.Event, end: threading.Event) -> None:
    for _ in sys.stdin:
        start.set()
    end.set()
    start.set()


def _wait_for_listeners(player: Player, reader: AnyReader, end: threading.Event) -> None:
    topics = [c.topic for c in reader.connections if c.topic in (IMAGE, CAMERA_INFO)]
    while not end.is_set() and any(player.subscribers(topic) < LISTENERS for topic in topics):
        time.sleep(0.05)
    report('ready')


def _play(player: Player, reader: AnyReader, end: threading.Event) -> None:
    origin = time.monotonic_ns()
    for time_ns, messages in _moments(reader):
        if end.wait(max(0.0, (origin + time_ns - time.monotonic_ns()) / 1e9)):
            return
        for topic, stamp_ns, data in messages:
            if topic == IMAGE and time_ns == 0:
                # A driver's calibrations come long before; this one is the first of all.
                time.sleep(CALIBRATION_LEAD_S)
                origin = time.monotonic_ns()
            sent = time.time_ns()
            player.publish(topic, data)
            if topic == IMAGE:
                report('sent', stamp=stamp_ns, time=sent)
    report('done')


def _moments(reader: AnyReader) -> Iterator[tuple[int, list[tuple[str, int, bytes]]]]:
    """Group the messages by their time; the image comes last, after its calibration."""
    for time_ns, group in itertools.groupby(reader.messages(), key=lambda entry: entry[1]):
        messages = [
            (connection.topic, _stamp(reader, data, connection.msgtype), data)
            for connection, _, data in group
        ]
        yield time_ns, sorted(messages, key=lambda message: message[0] == IMAGE)


def _stamp(reader: AnyReader, data: bytes, kind: str) -> int:
    message: Any = reader.deserialize(data, kind)
    return stamp_from_msg(message.header.stamp)


if __name__ == '__main__':
    sys.exit(main(Path(sys.argv[1])))
