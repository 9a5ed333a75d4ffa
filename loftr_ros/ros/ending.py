"""The end of a node's process: SIGINT and SIGTERM end the spinning, and nothing else."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType

    from rclpy.executors import Executor

SIGNALS = signal.SIGINT, signal.SIGTERM


@contextmanager
def ending_on_signals() -> Iterator[Ending]:
    """Handle SIGINT and SIGTERM, in place of rclpy's handlers; in the main thread.

    rclpy must be initialised with `SignalHandlerOptions.NO`. Its own handlers trigger guard
    conditions from a thread that knows nothing of what main destroys meanwhile: one stop in 27 on
    Jazzy ended in a segmentation fault while frames arrived. `KeyboardInterrupt` would come in the
    middle of anything.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    ending = Ending(reader)
    handlers = [signal.signal(each, _ignore) for each in SIGNALS]
    wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield ending
    finally:
        signal.set_wakeup_fd(wakeup)
        for each, handler in zip(SIGNALS, handlers, strict=True):
            signal.signal(each, handler)
        writer.close()
        ending.join()
        reader.close()


class Ending:
    """Whether a signal has come."""

    def __init__(self, reader: socket.socket) -> None:
        """Wait for the first byte, which Python writes when a signal comes."""
        self._reader = reader
        self._executor: Executor | None = None
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name='loftr-signals', daemon=True)
        self._thread.start()

    def is_set(self) -> bool:
        """Return whether the process is to end."""
        return self._event.is_set()

    def spin(self, executor: Executor) -> None:
        """Spin until a signal comes; afterwards nothing touches the executor any more."""
        with self._lock:
            self._executor = executor
        try:
            while not self._event.is_set():
                executor.spin_once()
        finally:
            with self._lock:
                self._executor = None

    def join(self) -> None:
        """Wait for the end of the thread, once nobody writes any more."""
        self._thread.join()

    def _watch(self) -> None:
        if not self._reader.recv(1):
            return
        self._event.set()
        # Python runs handlers between two steps of main, which may be waiting for messages.
        with self._lock:
            if self._executor is not None:
                # To wake it is not enough: it waits on for something to do.
                self._executor.create_task(_nothing)


def leave(code: int) -> NoReturn:
    """End the process now that everything is given back.

    The end of the interpreter would take a second more with torch loaded, and may meet a worker
    that is still busy with its last frame.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    logging.shutdown()
    os._exit(code)


def _nothing() -> None:
    """Be done."""


def _ignore(_: int, __: FrameType | None) -> None:
    """Leave it to the thread; without a handler Python would write no byte."""
