"""The parameters `loop.*`, and the options that they stand for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from loftr_ros.frontend import LoopOptions
from loftr_ros.settings.declarations import Change, declare_field

LOOPS = LoopOptions()


@dataclass(frozen=True)
class LoopParameters:
    """Values of the parameters `loop.*`."""

    enabled: bool = declare_field(
        False,
        'In all modes but pair, find keyframes that show a place again, and publish their pose in '
        'the keyframe of then on ~/relative_pose, with the kind LOOP.',
        change=Change.ANY_TIME,
        basic=True,
    )
    memory: int = declare_field(
        LOOPS.capacity,
        'Keyframes that are remembered at most; each takes its grey image and 20 kB (with the '
        'weights outdoor and indoor 130 kB).',
        change=Change.ANY_TIME,
        limits=(3, 100_000),
    )
    min_age: float = declare_field(
        LOOPS.min_age_s,
        'Younger keyframes are no candidates for a loop, s.',
        change=Change.ANY_TIME,
        limits=(0.0, 86_400.0),
    )
    interval: float = declare_field(
        LOOPS.interval_s,
        'Least time between two keyframes that are remembered and searched for a loop, s.',
        change=Change.ANY_TIME,
        limits=(0.0, 3600.0),
    )

    def options(self) -> LoopOptions:
        """Return the options of the search for loops."""
        return dataclasses.replace(
            LOOPS,
            capacity=self.memory,
            min_age_s=self.min_age,
            interval_s=self.interval,
        )
