"""The parameters of loop closures, and the options that they stand for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from loftr_ros.frontend import LoopOptions
from loftr_ros.settings.declarations import Change, declare_field

LOOPS = LoopOptions()


@dataclass(frozen=True)
class LoopParameters:
    """Values of the parameters of loop closures; the fields are the declarations."""

    loop_closures: bool = declare_field(
        False,
        'In all modes but pair, find keyframes that show a place again, and publish their pose in '
        'the keyframe of then on ~/relative_pose, with the kind LOOP.',
        change=Change.ANY_TIME,
    )
    loop_memory: int = declare_field(
        LOOPS.capacity,
        'Keyframes that are remembered at most; each takes its grey image and 20 kB (with the '
        'weights outdoor and indoor 130 kB).',
        change=Change.ANY_TIME,
        limits=(3, 100_000),
    )
    loop_min_age: float = declare_field(
        LOOPS.min_age_s,
        'Younger keyframes are no candidates for a loop, s.',
        change=Change.ANY_TIME,
        limits=(0.0, 86_400.0),
    )
    loop_interval: float = declare_field(
        LOOPS.interval_s,
        'Least time between two keyframes that are remembered and searched for a loop, s.',
        change=Change.ANY_TIME,
        limits=(0.0, 3600.0),
    )
    loop_max_steps: float = declare_field(
        LOOPS.max_steps,
        'A keyframe is a candidate if it differs from the present one by no more than so many '
        'typical steps from one keyframe to the next. More finds more loops and takes more time.',
        change=Change.ANY_TIME,
        limits=(0.1, 100.0),
    )
    loop_min_inliers: int = declare_field(
        LOOPS.min_inliers,
        'A loop needs so many inliers.',
        change=Change.ANY_TIME,
        limits=(8, 100_000),
    )
    loop_min_inlier_ratio: float = declare_field(
        LOOPS.min_inlier_ratio,
        'A loop needs this share of inliers among its matches.',
        change=Change.ANY_TIME,
        limits=(0.0, 1.0),
    )

    def loop_options(self) -> LoopOptions:
        """Return the options of the search for loops."""
        return dataclasses.replace(
            LOOPS,
            capacity=self.loop_memory,
            min_age_s=self.loop_min_age,
            interval_s=self.loop_interval,
            max_steps=self.loop_max_steps,
            min_inliers=self.loop_min_inliers,
            min_inlier_ratio=self.loop_min_inlier_ratio,
        )
