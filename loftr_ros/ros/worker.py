"""One thread that does the work which no callback may do."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Item = TypeVar('Item')
Result = TypeVar('Result')


class WorkerStoppedError(RuntimeError):
    """The worker has been stopped before it came to the call."""


@dataclass
class _Call:
    future: Future[Any]
    function: Callable[[], Any]

    def run(self) -> None:
        try:
            self.future.set_result(self.function())
        except Exception as error:  # belongs to the caller
            self.future.set_exception(error)


@dataclass
class _Item(Generic[Item]):
    value: Item


class Worker(Generic[Item]):
    """Process items and calls in their order, in a thread of its own.

    Usually only the newest item waits: a newer one takes its place, and the older is counted as
    dropped. With `keep_all`, `capacity` items wait and `submit` blocks while there is no room, so
    that the sender feels it. Calls are never dropped.
    """

    def __init__(
        self,
        process: Callable[[Item], None],
        on_error: Callable[[Exception], None],
        *,
        keep_all: bool = False,
        capacity: int = 1,
    ) -> None:
        """Start the thread.

        Args:
            process: What to do with each item.
            on_error: Called with every exception of `process`; none of them ends the thread.
            keep_all: Let items wait rather than drop all but the newest.
            capacity: How many items wait with `keep_all`.
        """
        self._process = process
        self._on_error = on_error
        self._keep_all = keep_all
        self._capacity = capacity if keep_all else 1
        self._queue: deque[_Item[Item] | _Call] = deque()
        self._condition = threading.Condition()
        self._stopping = False
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name='loftr-worker', daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many items were dropped for newer ones."""
        return self._dropped

    def submit(self, item: Item) -> None:
        """Hand over an item; a worker that is stopped takes none."""
        with self._condition:
            if self._keep_all:
                self._condition.wait_for(self._has_room)
            else:
                self._dropped += self._forget_items()
            if not self._stopping:
                self._queue.append(_Item(item))
                self._condition.notify_all()

    def call(self, function: Callable[[], Result]) -> Future[Result]:
        """Run a function in the worker's thread, after all that was handed over before.

        Returns:
            Its result or exception; `WorkerStoppedError` if the worker is stopped before.
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
            call.future.set_exception(WorkerStoppedError('the worker was stopped'))
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _has_room(self) -> bool:
        items = sum(isinstance(entry, _Item) for entry in self._queue)
        return self._stopping or items < self._capacity

    def _forget_items(self) -> int:
        calls = [entry for entry in self._queue if isinstance(entry, _Call)]
        forgotten = len(self._queue) - len(calls)
        self._queue = deque(calls)
        return forgotten

    def _run(self) -> None:
        while (entry := self._next()) is not None:
            if isinstance(entry, _Call):
                entry.run()
            else:
                self._guarded(entry.value)

    def _next(self) -> _Item[Item] | _Call | None:
        with self._condition:
            self._condition.wait_for(lambda: self._stopping or self._queue)
            if self._stopping:
                return None
            entry = self._queue.popleft()
            self._condition.notify_all()
            return entry

    def _guarded(self, item: Item) -> None:
        try:
            self._process(item)
        except Exception as error:  # whatever an input provokes, the next one has its chance
            self._on_error(error)
