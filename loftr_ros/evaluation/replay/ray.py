"""Sequences as tasks of a Ray cluster; needs the extra `ray`."""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import socket
import sys
import tempfile
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loftr_ros.allocator import keep_freed_memory
from loftr_ros.evaluation.records.results import SequenceFolder
from loftr_ros.evaluation.replay.backends import MAX_ATTEMPTS, Outcome, abandoned, prepare_process
from loftr_ros.evaluation.replay.sequence_run import Listener, run_sequence
from loftr_ros.settings.matcher import load_matcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from loftr_ros.evaluation.replay.backends import Stopped, Watcher
    from loftr_ros.evaluation.replay.task import SequenceTask

    Files = dict[str, bytes]
    Work = Callable[[SequenceTask, Files, Any], Files]

LOCAL = 'local'
LOOPBACK = 'RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER'
"""Set to 0, Ray uses the address 127.0.0.1 for all of its processes, as it does by default where
firewalls ask about others; anybody who reaches their ports can run code here."""
POLL_SECONDS = 0.5


class Board:
    """An actor that tasks leave their events with, and that asks them to stop."""

    def __init__(self) -> None:
        self._events: list[tuple[Any, ...]] = []
        self._stop = False

    def post(self, *events: Any) -> None:  # noqa: ANN401 - the arguments of a watcher's method
        """Leave events."""
        self._events.append(events)

    def take(self) -> list[tuple[Any, ...]]:
        """Take all events."""
        events, self._events = self._events, []
        return events

    def stop(self) -> None:
        """Ask all tasks to stop."""
        self._stop = True

    def stopped(self) -> bool:
        """Return whether to stop."""
        return self._stop


class _BoardListener(Listener):
    """Posts the events of one sequence, and asks whether to stop, twice a second."""

    def __init__(self, name: str, board: Any) -> None:  # noqa: ANN401 - an actor
        self._name = name
        self._board = board
        self._posted = self._asked = 0.0
        self._stop = False

    def opened(self, found: str) -> None:
        self._board.post.remote('opened', self._name, found)

    def advanced(self, done: int, total: int) -> None:
        if time.monotonic() - self._posted > POLL_SECONDS or done == total:
            self._posted = time.monotonic()
            self._board.post.remote('advanced', self._name, done, total)

    def stopped(self) -> bool:
        if time.monotonic() - self._asked > POLL_SECONDS:
            import ray

            self._asked = time.monotonic()
            self._stop = ray.get(self._board.stopped.remote())
        return self._stop


def work(task: SequenceTask, files: Files, board: Any) -> Files:  # noqa: ANN401 - an actor
    """Run one sequence on whatever node; the body of each task.

    Args:
        task: The sequence; its input must lie at the same path on every node.
        files: What a run before left in its folder.
        board: The actor for events.

    Returns:
        The files of its folder, so that nodes need not share the disk of the results.

    """
    with tempfile.TemporaryDirectory(prefix='loftr_ros_') as name:
        folder = Path(name) / task.name
        write_files(folder, files)
        keep_freed_memory()
        prepare_process(task.parameters)
        matcher = load_matcher(task.parameters)
        run_sequence(replace(task, folder=folder), matcher, _BoardListener(task.name, board))
        return read_files(folder)


def read_files(folder: Path) -> Files:
    """Read all files below a folder, by their paths within it."""
    files = sorted(path for path in folder.rglob('*') if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def write_files(folder: Path, files: Files) -> None:
    """Write files below a folder."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def run_on_ray(
    tasks: Iterable[SequenceTask],
    address: str,
    watcher: Watcher,
    stopped: Stopped,
    body: Work = work,
) -> Iterator[Outcome]:
    """Run the sequences on a cluster, one a task; a task that fails is started again.

    When `stopped` says so, all tasks end and return what they have.

    Args:
        tasks: The sequences.
        address: Address of the cluster, or `LOCAL` to start one here for this run.
        watcher: Shows how they go on.
        stopped: Returns whether the user asked to stop.
        body: Runs one of them.

    Yields:
        Outcomes in the order in which the sequences end.

    Raises:
        ValueError: If Ray is not installed or the cluster cannot be reached.

    """
    if importlib.util.find_spec('ray') is None:
        raise ValueError("--ray needs Ray: pip install 'loftr_ros[ray]'")
    if address == LOCAL:
        _keep_to_this_host()
    import ray

    _check_reachable(address)
    try:
        ray.init(
            address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if address == LOCAL else None,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ValueError(f'the Ray cluster {address!r} cannot be reached ({error})') from error
    cluster = _Cluster(watcher, body, deque((task, 1) for task in tasks))
    try:
        while cluster.busy:
            if stopped():
                cluster.stop()
            yield from cluster.step()
    finally:
        ray.shutdown()


def _keep_to_this_host() -> None:
    """Let a cluster that is started here listen to this host alone, and ask for a token.

    What is in the environment already goes first. Ray reads it when it is imported.
    """
    if 'ray' in sys.modules:
        return
    os.environ.setdefault(LOOPBACK, '0')
    if 'RAY_AUTH_MODE' not in os.environ:
        os.environ['RAY_AUTH_MODE'] = 'token'
        os.environ.setdefault('RAY_AUTH_TOKEN', secrets.token_hex(32))


def _check_reachable(address: str) -> None:
    """Refuse a host that does not answer: Ray itself tries for minutes.

    Raises:
        ValueError: If the address names a host and port where nothing listens.

    """
    host, _, port = address.rpartition(':')
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.rpartition('/')[2], int(port)), timeout=5).close()
    except OSError as error:
        raise ValueError(f'the Ray cluster {address!r} cannot be reached ({error})') from error


class _Cluster:
    def __init__(
        self, watcher: Watcher, body: Work, waiting: deque[tuple[SequenceTask, int]]
    ) -> None:
        import ray

        self._watcher = watcher
        self._body = body
        self._board: Any = ray.remote(num_cpus=0)(Board).remote()
        self._running: dict[Any, tuple[SequenceTask, int]] = {}
        for task, attempts in waiting:
            self._start(task, attempts)

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def stop(self) -> None:
        """Ask all tasks to end."""
        import ray

        ray.get(self._board.stop.remote())

    def step(self) -> list[Outcome]:
        """Pass on events and collect what ended."""
        import ray

        ended, _ = ray.wait(list(self._running), timeout=POLL_SECONDS)
        for kind, *values in ray.get(self._board.take.remote()):
            getattr(self._watcher, kind)(*values)
        return [outcome for reference in ended for outcome in self._collect(reference)]

    def _start(self, task: SequenceTask, attempts: int) -> None:
        import ray

        # Retries are counted here, so that they can be reported.
        remote: Any = ray.remote(num_cpus=task.parameters.matcher.num_threads, max_retries=0)(
            self._body
        )
        files = read_files(task.folder) if task.options.resume and task.folder.is_dir() else {}
        self._running[remote.remote(task, files, self._board)] = task, attempts

    def _collect(self, reference: Any) -> list[Outcome]:  # noqa: ANN401 - an ObjectRef
        import ray

        task, attempts = self._running.pop(reference)
        try:
            write_files(task.folder, ray.get(reference))
            info = SequenceFolder.open(task.folder).info
        except ray.exceptions.RayError as error:
            problem = str(error).strip().splitlines()[-1]
            if attempts < MAX_ATTEMPTS:
                self._watcher.retried(task.name, problem)
                self._start(task, attempts + 1)
                return []
            info = abandoned(task, f'{problem} (attempt {attempts} of {MAX_ATTEMPTS})')
        self._watcher.finished(info)
        return [Outcome(info, attempts)]
