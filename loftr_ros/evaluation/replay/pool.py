"""Sequences side by side on this machine, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import queue
import signal
import sys
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loftr_ros.allocator import keep_freed_memory
from loftr_ros.evaluation.records.results import SequenceFolder
from loftr_ros.evaluation.replay.backends import MAX_ATTEMPTS, Outcome, abandoned, prepare_process
from loftr_ros.evaluation.replay.sequence_run import Listener, run_sequence
from loftr_ros.settings.matcher import load_matcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.context import SpawnProcess
    from multiprocessing.synchronize import Event

    from loftr_ros.evaluation.replay.backends import Stopped, Watcher
    from loftr_ros.evaluation.replay.task import SequenceTask

    Work = Callable[[SequenceTask, Any, Event], None]

POLL_SECONDS = 0.1


class _QueueListener(Listener):
    """Sends the events of one sequence to the parent process."""

    def __init__(self, name: str, events: Any, stop: Event) -> None:  # noqa: ANN401 - a queue
        self._name = name
        self._events = events
        self._stop = stop

    def opened(self, found: str) -> None:
        self._events.put(('opened', self._name, found))

    def advanced(self, done: int, total: int) -> None:
        self._events.put(('advanced', self._name, done, total))

    def stopped(self) -> bool:
        return self._stop.is_set()


def work(task: SequenceTask, events: Any, stop: Event) -> None:  # noqa: ANN401 - a queue
    """Run one sequence; the body of each process."""
    # Ctrl-C reaches the whole group: the parent alone decides, and sets `stop`.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        keep_freed_memory()
        prepare_process(task.parameters)
        matcher = load_matcher(task.parameters)
        run_sequence(task, matcher, _QueueListener(task.name, events, stop))
    except Exception as error:  # whatever it is, the parent reports it and starts the task again
        events.put(('problem', task.name, f'{type(error).__name__}: {error}'))
        sys.exit(1)


@dataclass
class _Started:
    """A task whose process runs."""

    task: SequenceTask
    process: SpawnProcess
    attempts: int


def run_in_pool(
    tasks: Iterable[SequenceTask],
    jobs: int,
    watcher: Watcher,
    stopped: Stopped,
    body: Work = work,
) -> Iterator[Outcome]:
    """Run `jobs` sequences at a time; a task whose process dies is started again.

    When `stopped` says so, the running ones write what they have, and no other starts.

    Args:
        tasks: The sequences.
        jobs: How many side by side.
        watcher: Shows how they go on.
        stopped: Returns whether the user asked to stop.
        body: Runs one of them in its process.

    Yields:
        Outcomes in the order in which the sequences end.

    """
    pool = _Pool(jobs, watcher, body, deque((task, 1) for task in tasks))
    try:
        while pool.busy:
            if stopped():
                pool.stop()
            yield from pool.step()
    finally:
        pool.close()


class _Pool:
    def __init__(
        self, jobs: int, watcher: Watcher, body: Work, waiting: deque[tuple[SequenceTask, int]]
    ) -> None:
        # Processes are spawned: a fork of one that has loaded torch may hang.
        self._context = multiprocessing.get_context('spawn')
        self._events = self._context.Queue()
        self._stop = self._context.Event()
        self._jobs = jobs
        self._watcher = watcher
        self._body = body
        self._waiting = waiting
        self._running: dict[str, _Started] = {}
        self._problems: dict[str, str] = {}

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._running)

    def stop(self) -> None:
        """Ask the running tasks to end, and start no more."""
        self._stop.set()
        self._waiting.clear()

    def close(self) -> None:
        """Leave no process behind."""
        self.stop()
        for started in self._running.values():
            started.process.join()
        self._events.close()

    def step(self) -> list[Outcome]:
        """Start what there is room for, pass on events, collect what ended."""
        while self._waiting and len(self._running) < self._jobs:
            self._start(*self._waiting.popleft())
        self._pass_on(POLL_SECONDS)
        ended = [one for one in self._running.values() if not one.process.is_alive()]
        if ended:
            self._pass_on(0.0)
        return [outcome for one in ended for outcome in self._collect(one)]

    def _start(self, task: SequenceTask, attempts: int) -> None:
        process = self._context.Process(target=self._body, args=(task, self._events, self._stop))
        process.start()
        self._running[task.name] = _Started(task, process, attempts)

    def _pass_on(self, timeout: float) -> None:
        try:
            while True:
                kind, name, *values = self._events.get(timeout=timeout)
                if kind == 'problem':
                    self._problems[name] = values[0]
                else:
                    getattr(self._watcher, kind)(name, *values)
        except queue.Empty:
            return

    def _collect(self, started: _Started) -> list[Outcome]:
        task, code = started.task, started.process.exitcode
        del self._running[task.name]
        if code == 0:
            info = SequenceFolder.open(task.folder).info
        else:
            problem = self._problems.pop(task.name, f'its process ended with exit code {code}')
            if started.attempts < MAX_ATTEMPTS and not self._stop.is_set():
                self._watcher.retried(task.name, problem)
                self._waiting.append((task, started.attempts + 1))
                return []
            info = abandoned(task, f'{problem} (attempt {started.attempts} of {MAX_ATTEMPTS})')
        self._watcher.finished(info)
        return [Outcome(info, started.attempts)]
