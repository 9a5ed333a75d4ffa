"""One thread that does the work which no callback may do."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Item = TypeVar('Item')
Result = TypeVar('Result')

STUCK_S = 1.0
"""An item that takes longer than this, and `STUCK_FACTOR` times as long as others, is stuck."""
STUCK_FACTOR = 5.0
PATIENCE_S = 30.0
"""How long the first item may take, and a call."""
FADING = 0.98
"""By so much the longest time of an item counts less with each further one."""


class WorkerStoppedError(RuntimeError):
    """The worker has been stopped, or got stuck, before it came to the call."""


@dataclass
class _Call:
    future: Future[Any]
    function: Callable[[], Any]

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self.function())
        except BaseException as error:  # belongs to the caller
            self.future.set_exception(error)

    def fail(self, reason: str) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(WorkerStoppedError(reason))


@dataclass(eq=False)
class _Item(Generic[Item]):
    value: Item


class Worker(Generic[Item]):
    """Process items and calls in their order, in a thread of its own.

    `capacity` items wait, usually only the newest. A newer one takes the place of the oldest, which
    is counted as dropped; with `keep_all` none is dropped, and the sender asks `has_room` before.
    Nobody ever waits for the worker here. Calls are never dropped.
    """

    def __init__(
        self,
        process: Callable[[Item], None],
        on_error: Callable[[BaseException], None],
        *,
        keep_all: bool = False,
        capacity: int = 1,
        on_room: Callable[[], None] | None = None,
    ) -> None:
        """Start the thread.

        Args:
            process: What to do with each item.
            on_error: Called with every exception of `process`; none of them ends the thread.
            keep_all: Drop no items; a sender that does not ask `has_room` makes more of them wait.
            capacity: How many items wait.
            on_room: Called in the thread when there is room again.
        """
        self._process = process
        self._on_error = on_error
        self._keep_all = keep_all
        self._capacity = capacity
        self._on_room = on_room
        self._queue: deque[_Item[Item] | _Call] = deque()
        self._condition = threading.Condition()
        self._stopping = False
        self._current: _Item[Item] | _Call | None = None
        self._since = self._longest = 0.0
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name='loftr-worker', daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many items were dropped for newer ones."""
        return self._dropped

    @property
    def idle(self) -> bool:
        """Whether nothing is in progress, and nothing waits."""
        with self._condition:
            return self._current is None and not self._queue

    @property
    def has_room(self) -> bool:
        """Whether another item can wait without one being dropped or there being too many."""
        with self._condition:
            return self._waiting() < self._capacity

    def problem(self) -> str:
        """Say why the thread does not go on, in words; '' where nothing is known of that."""
        with self._condition:
            if self._stopping:
                return ''
            if not self._thread.is_alive():
                return 'the worker has ended'
            current, seconds = self._current, time.monotonic() - self._since
            if isinstance(current, _Item) and self._longest:
                limit = max(STUCK_S, STUCK_FACTOR * self._longest)
            else:
                limit = PATIENCE_S
            if current is None or seconds < limit:
                return ''
            what = 'a call' if isinstance(current, _Call) else 'one frame'
            before = f', others took at most {self._longest:.2f} s' if self._longest else ''
            return f'the worker has been busy with {what} for {seconds:.0f} s{before}'

    def submit(self, item: Item) -> None:
        """Hand over an item; a worker that is stopped takes none."""
        with self._condition:
            while not self._keep_all and self._waiting() >= self._capacity:
                self._queue.remove(next(e for e in self._queue if isinstance(e, _Item)))
                self._dropped += 1
            if not self._stopping:
                self._queue.append(_Item(item))
                self._condition.notify_all()

    def call(self, function: Callable[[], Result]) -> Future[Result]:
        """Run a function in the worker's thread, after all that was handed over before.

        Returns:
            Its result or exception; `WorkerStoppedError` if the worker is stopped before. One that
            is cancelled in time is not run.
        """
        future: Future[Result] = Future()
        with self._condition:
            if self._stopping:
                future.set_exception(WorkerStoppedError('the worker is stopped'))
            else:
                self._queue.append(_Call(future, function))
                self._condition.notify_all()
        return future

    def clear(self) -> None:
        """Forget the items that wait."""
        with self._condition:
            self._forget_items()
            self._condition.notify_all()

    def stop(self, timeout: float | None = None) -> bool:
        """Finish what is in progress, forget the rest and end the thread.

        Returns:
            Whether the thread has ended within `timeout` seconds.
        """
        with self._condition:
            self._stopping = True
            self._forget_items()
            calls = [entry for entry in self._queue if isinstance(entry, _Call)]
            self._queue.clear()
            self._condition.notify_all()
        for call in calls:
            call.fail('the worker was stopped')
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _waiting(self) -> int:
        return sum(isinstance(entry, _Item) for entry in self._queue)

    def _forget_items(self) -> None:
        self._queue = deque(entry for entry in self._queue if isinstance(entry, _Call))

    def _run(self) -> None:
        while (entry := self._next()) is not None:
            if isinstance(entry, _Call):
                entry.run()
            else:
                self._guarded(entry.value)

    def _next(self) -> _Item[Item] | _Call | None:
        with self._condition:
            now = time.monotonic()
            if isinstance(self._current, _Item):
                self._longest = max(now - self._since, FADING * self._longest)
            self._current = None
            self._condition.wait_for(lambda: self._stopping or self._queue)
            if self._stopping:
                return None
            full = self._waiting() >= self._capacity
            entry = self._current = self._queue.popleft()
            self._since = time.monotonic()
            freed = full and self._waiting() < self._capacity
        if freed and self._on_room is not None:
            self._on_room()
        return entry

    def _guarded(self, item: Item) -> None:
        try:
            self._process(item)
        # Whatever an input provokes, SystemExit of a library included, the next has its chance.
        except BaseException as error:
            if not self._stopping:
                self._on_error(error)
