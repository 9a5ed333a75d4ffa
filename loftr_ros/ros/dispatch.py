"""Which thread takes an arrival: one matches, another aligns the frames that come meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from loftr_ros.ros.worker import Worker

if TYPE_CHECKING:
    from loftr_ros.ros.frames import Arrival

ALIGNING_CAPACITY = 2
"""Frames that wait for alignment: a short delay of the thread costs none of them."""


class Dispatcher:
    """Matches the newest frame as often as possible, and lets those between be aligned.

    A frame that comes while the matching thread is idle is matched. One that comes while it is busy
    is aligned; if it cannot be aligned it waits for the matching thread, as all do where there is
    nothing to align with. `submit` may be called from any thread.
    """

    def __init__(
        self,
        matching: Worker[Arrival],
        align: Callable[[Arrival], bool],
        can_align: Callable[[], bool],
        on_error: Callable[[BaseException], None],
    ) -> None:
        """Start the thread that aligns.

        Args:
            matching: The thread that matches.
            align: Aligns an arrival and publishes the result; false if it has to be matched.
            can_align: Whether there is a matched frame to align with.
            on_error: Called with every exception of `align`.
        """
        self._matching = matching
        self._align = align
        self._can_align = can_align
        self._lock = threading.Lock()
        self._newest = -float('inf')
        self._late = 0
        self.aligning: Worker[Arrival] = Worker(
            self._try_to_align, on_error, capacity=ALIGNING_CAPACITY
        )

    @property
    def dropped(self) -> int:
        """How many frames were neither matched nor aligned."""
        return self._matching.dropped + self.aligning.dropped + self._late

    def submit(self, arrival: Arrival) -> None:
        """Hand over an arrival."""
        if self._matching.idle or not self._can_align():
            self._match(arrival)
        else:
            self.aligning.submit(arrival)

    def clear(self) -> None:
        """Forget the arrivals that wait."""
        self.aligning.clear()
        self._matching.clear()

    def stop(self, timeout: float | None = None) -> bool:
        """End the thread that aligns; returns whether it has ended within `timeout` seconds."""
        return self.aligning.stop(timeout)

    def _try_to_align(self, arrival: Arrival) -> None:
        if not self._align(arrival):
            self._match(arrival)

    def _match(self, arrival: Arrival) -> None:
        with self._lock:
            # The matching thread takes frames in their order only.
            if arrival.received < self._newest:
                self._late += 1
                return
            self._newest = arrival.received
            self._matching.submit(arrival)
