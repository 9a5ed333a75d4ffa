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


@dataclass(eq=False)
class _Item(Generic[Item]):
    value: Item


class Worker(Generic[Item]):
    """Process items and calls in their order, in a thread of its own.

    `capacity` items wait, usually only the newest. A newer one takes the place of the oldest, which
    is counted as dropped; with `keep_all`, `submit` blocks while there is no room, so that the
    sender feels it. Calls are never dropped.
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
            keep_all: Let the sender wait rather than drop items.
            capacity: How many items wait.
        """
        self._process = process
        self._on_error = on_error
        self._keep_all = keep_all
        self._capacity = capacity
        self._queue: deque[_Item[Item] | _Call] = deque()
        self._condition = threading.Condition()
        self._stopping = self._busy = False
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
            return not self._busy and not self._queue

    def submit(self, item: Item) -> None:
        """Hand over an item; a worker that is stopped takes none."""
        with self._condition:
            if self._keep_all:
                self._condition.wait_for(self._has_room)
            while not self._has_room():
                self._queue.remove(next(e for e in self._queue if isinstance(e, _Item)))
                self._dropped += 1
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
            self._busy = False
            self._condition.wait_for(lambda: self._stopping or self._queue)
            if self._stopping:
                return None
            entry = self._queue.popleft()
            self._busy = True
            self._condition.notify_all()
            return entry

    def _guarded(self, item: Item) -> None:
        try:
            self._process(item)
        except Exception as error:  # whatever an input provokes, the next one has its chance
            self._on_error(error)
