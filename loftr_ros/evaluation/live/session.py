"""One live run: the node, a publisher and a recorder, each a process of its own."""

from __future__ import annotations

import contextlib
import queue
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loftr_ros.evaluation.live.plan import DIAGNOSTICS, RELATIVE_POSE
from loftr_ros.evaluation.live.processes import LiveError, Process, ros_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from typing_extensions import Self

    from loftr_ros.evaluation.live.plan import LivePlan

START_TIMEOUT_S = 120.0
SILENCE_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 30.0
POLL_S = 0.05


@dataclass(kw_only=True)
class Progress:
    """How far a run is.

    Attributes:
        sent: Time of each image that was sent this time -> when that was, ns since 1970.
        finished: Whether all images were sent.
        published: Messages of each topic that were published, whenever the bag was played.
        counts: Messages that the recorder has of each topic.
        result: Stamp (ns) and state of the newest relative pose.
        node: What /diagnostics says: part -> key -> value.
        connected: Whether the recorder is connected to the node.
        ready: Whether node and recorder are connected to the publisher.
        closed: Whether the recorder has closed its bag.

    """

    sent: dict[int, int] = field(default_factory=dict)
    finished: bool = False
    published: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    result: dict[str, int] = field(default_factory=dict)
    node: dict[str, dict[str, str]] = field(default_factory=dict)
    connected: bool = False
    ready: bool = False
    closed: bool = False

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take note of an event of the publisher or the recorder."""
        kind = event['event']
        if kind == 'sent':
            self.sent[event['stamp']] = event['time']
        elif kind == 'status':
            self.counts, self.result, self.node = event['counts'], event['result'], event['node']
            self.connected = event['connected']
        elif kind == 'closed':
            self.counts, self.closed = event['counts'], True
        elif kind == 'ready':
            self.ready = True
        elif kind == 'done':
            self.finished, self.published = True, event['counts']

    def begin(self) -> None:
        """Forget what was sent before."""
        self.sent, self.finished = {}, False

    @property
    def answered(self) -> bool:
        """Whether the newest result is that of the last image sent."""
        return self.result.get('stamp') == next(reversed(self.sent), None)

    @property
    def results(self) -> int:
        """Number of relative poses so far."""
        return self.counts.get(RELATIVE_POSE, 0)

    def value(self, part: str, key: str) -> str:
        """Return a value of the node's diagnostics; '' where there is none yet."""
        return self.node.get(part, {}).get(key, '')


class LiveSession:
    """Starts the processes on entry and stops them on exit, whatever happens."""

    def __init__(self, plan: LivePlan, recording: Path, work: Path, log: Path) -> None:
        """Prepare a run.

        Args:
            plan: What to play and to record.
            recording: Folder of the bag to record, which does not exist yet.
            work: Folder for the plan and the logs of the helpers.
            log: File for the log of the node.

        """
        self.progress = Progress()
        self._work = work
        self._inputs = tuple(plan.inputs.values())
        file = work / 'plan.json'
        plan.write(file)
        logs = work / 'publisher.log', work / 'recorder.log'
        play, record = 'loftr_ros.evaluation.live.play', 'loftr_ros.evaluation.live.record'
        self.node = Process('the node', 'loftr_ros.ros.node', plan.arguments(), log)
        self.publisher = Process('the publisher', play, [str(file)], logs[0])
        self.recorder = Process('the recorder', record, [str(file), str(recording)], logs[1])

    def __enter__(self) -> Self:
        """Start all processes."""
        environment = ros_environment(self._work)
        try:
            self.recorder.start(environment, talks=True)
            self.node.start(environment, talks=False)
            self.publisher.start(environment, talks=True)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all processes."""
        self._stop()

    def wait_until_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until the node is active and all processes are connected.

        Raises:
            LiveError: A process ended, the node failed to start, or it takes too long.

        """
        for _ in self._polls(timeout_s, 'is not active'):
            if 'failed' in (problem := self.progress.value('node', 'message')):
                raise self.node.error(f'did not start: {problem}')
            active = self.progress.value('node', 'lifecycle') == 'active'
            # Discovery is not simultaneous on both sides: the node must know the publisher, too.
            known = all(
                self.progress.value('inputs', f'{topic} publishers') != '0'
                for topic in self._inputs
            )
            if active and known and self.progress.ready and self.progress.connected:
                break

    def play(self, on_progress: Callable[[Progress], None]) -> None:
        """Send everything once, and wait for the result of the last image.

        The node may leave the last image out: then it ends after `SILENCE_TIMEOUT_S`.

        Raises:
            LiveError: A process ended, or the node never answers.

        """
        self.progress.begin()
        self.publisher.send('start')
        last_result, before = time.monotonic(), self.progress.results
        results = before
        for _ in self._polls(float('inf'), ''):
            on_progress(self.progress)
            if self.progress.results != results or not self.progress.sent:
                last_result, results = time.monotonic(), self.progress.results
            if self.progress.finished and self.progress.answered:
                break
            silent = time.monotonic() - last_result > SILENCE_TIMEOUT_S
            if silent and results == before:
                raise self._silence(results)
            if silent and self.progress.finished:
                break
        # The diagnostics, which come once a second, shall know of the last result.
        count = self.progress.counts.get(DIAGNOSTICS, 0)
        for _ in self._polls(5.0, ''):
            if self.progress.counts.get(DIAGNOSTICS, 0) >= count + 2:
                break

    def finish(self) -> Progress:
        """Close the bag and end the node; returns what was sent and recorded.

        Raises:
            LiveError: The recorder failed, or the node did not end in order.

        """
        self.publisher.stop()
        if self.recorder.stop():
            raise self.recorder.error('failed')
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        while not self.progress.closed and time.monotonic() < deadline:
            self._take_events()
            time.sleep(POLL_S)
        if code := self.node.stop():
            raise self.node.error(f'ended with exit code {code}')
        return self.progress

    def _silence(self, results: int) -> LiveError:
        inputs = self.progress.value('inputs', 'message') or 'no diagnostics came'
        return self.node.error(
            f'is silent for {SILENCE_TIMEOUT_S:.0f} s after {results} results and '
            f'{len(self.progress.sent)} images (inputs: {inputs})'
        )

    def _polls(self, timeout_s: float, problem: str) -> Iterator[None]:
        """Take events many times a second, while all processes live."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for process in (self.node, self.publisher, self.recorder):
                process.check()
            self._take_events()
            yield
            time.sleep(POLL_S)
        if problem:
            raise self.node.error(f'{problem} after {timeout_s:.0f} s')

    def _take_events(self) -> None:
        for process in (self.publisher, self.recorder):
            with contextlib.suppress(queue.Empty):
                while True:
                    self.progress.apply(process.events.get_nowait())

    def _stop(self) -> None:
        # The publisher first, so that the node has nothing left to do.
        for process in (self.publisher, self.node, self.recorder):
            process.stop()
