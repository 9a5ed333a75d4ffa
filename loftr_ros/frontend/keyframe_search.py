"""What a search at the keyframes of a tracker needs, whatever it searches."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from loftr_ros.frontend.frame import Frame
from loftr_ros.frontend.loop_options import LoopOptions
from loftr_ros.frontend.places import Signature
from loftr_ros.frontend.tracker import Timer, Tracker

Features = TypeVar('Features')


@dataclass(eq=False)
class KeyframeSearch(Generic[Features]):
    """Searches at the keyframes of a tracker, none too soon after the one before.

    Attributes:
        tracker: Its keyframes are searched for, and matched.
        signature: Returns float32 (D,) of length 1 for the features of an image.
        options: Options of the search.
        timer: Returns seconds, and is only used for the time that a search takes.
    """

    tracker: Tracker[Features]
    signature: Callable[[Features], Signature]
    options: LoopOptions = field(default_factory=LoopOptions)
    timer: Timer = time.perf_counter
    _searched_ns: int | None = field(default=None, init=False)

    def _is_due(self, frame: Frame) -> bool:
        """Return whether a keyframe is searched, and take note of its time if so."""
        last, interval_ns = self._searched_ns, self.options.interval_s * 1e9
        if last is not None and 0 <= frame.stamp_ns - last < interval_ns:
            return False
        self._searched_ns = frame.stamp_ns
        return True
