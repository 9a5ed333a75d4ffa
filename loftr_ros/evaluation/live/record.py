"""Recorder process of a live run: writes what it receives into a bag.

`python -m loftr_ros.evaluation.live.record PLAN BAG` writes a line of JSON for each event:
`status` several times a second, `closed` in the end. The end of standard input ends it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loftr_ros.codecs.stamps import stamp_from_msg
from loftr_ros.data.bags.writer import BagWriter
from loftr_ros.evaluation.live.plan import DIAGNOSTICS, RELATIVE_POSE, LivePlan
from loftr_ros.evaluation.live.play import report

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from loftr_ros.ros.recording import Recorder

STATUS_S = 0.2


class Recording:
    """Writes messages, and keeps in mind what the last ones said."""

    def __init__(self, writer: BagWriter, topics: Mapping[str, str]) -> None:
        self._writer = writer
        self._topics = topics
        self.counts: Counter[str] = Counter()
        self.last_result: dict[str, int] = {}
        self.node: dict[str, dict[str, str]] = {}

    def add(self, topic: str, data: bytes, time_ns: int) -> None:
        """Take a message as it is on the wire."""
        self._writer.write_raw(topic, self._topics[topic], data, time_ns)
        self.counts[topic] += 1
        if topic == RELATIVE_POSE:
            message = self._read(topic, data)
            stamp_ns = stamp_from_msg(message.header.stamp)
            self.last_result = {'stamp': stamp_ns, 'state': int(message.state)}
        elif topic == DIAGNOSTICS:
            self.node = {
                status.name.rpartition(': ')[2]: {
                    'message': status.message,
                    **{pair.key: pair.value for pair in status.values},
                }
                for status in self._read(topic, data).status
            }

    def report(self, connected: bool) -> None:
        """Report progress to the process that started this one."""
        report(
            'status',
            connected=connected,
            counts=self.counts,
            result=self.last_result,
            node=self.node,
        )

    def _read(self, topic: str, data: bytes) -> Any:  # noqa: ANN401 - of a generated class
        return self._writer.types.deserialize_cdr(data, self._topics[topic])


def main(file: Path, path: Path) -> int:
    """Record what the plan in `file` says into a new bag at `path`."""
    from loftr_ros.ros.recording import Recorder

    plan, end = LivePlan.read(file), threading.Event()
    threading.Thread(target=_wait_for_end, args=(end,), daemon=True).start()
    with BagWriter(path) as writer:
        recording = Recording(writer, plan.recorded)
        recorder = Recorder('recorder', plan.recorded, recording.add)
        try:
            _record(recorder, recording, plan.outputs(), end)
        finally:
            recorder.close()
    report('closed', counts=recording.counts)
    return 0


def _record(
    recorder: Recorder, recording: Recording, outputs: Iterable[str], end: threading.Event
) -> None:
    due = 0.0
    while not end.is_set():
        recorder.spin_once(0.05)
        if time.monotonic() >= due:
            recording.report(all(map(recorder.publishers, outputs)))
            due = time.monotonic() + STATUS_S


def _wait_for_end(end: threading.Event) -> None:
    for _ in sys.stdin:
        pass
    end.set()


if __name__ == '__main__':
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
