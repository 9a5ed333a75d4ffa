"""What a live run plays to the node, how fast, and what it records."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CORRESPONDENCES = '/loftr/correspondences'
RELATIVE_POSE = '/loftr/relative_pose'
ODOMETRY = '/loftr/odometry'
DIAGNOSTICS = '/diagnostics'

OUTPUTS = {
    CORRESPONDENCES: 'loftr_ros/msg/Correspondences',
    RELATIVE_POSE: 'loftr_ros/msg/RelativePose',
    DIAGNOSTICS: 'diagnostic_msgs/msg/DiagnosticArray',
}
METRIC_OUTPUTS = {**OUTPUTS, ODOMETRY: 'nav_msgs/msg/Odometry'}


@dataclass(frozen=True, kw_only=True)
class LivePlan:
    """One live run.

    Attributes:
        bag: Folder or file of the bag to play.
        topics: Topics of the bag that are played -> the names that they are published under.
        image: The published topic whose messages are the frames.
        calibrations: Published topics of which the first message goes ahead of all others.
        inputs: Names of the node's inputs -> published topics.
        recorded: Topics to record -> their types.
        parameters: Of the node, as text.
        rate: How many times faster than recorded the bag is played.
        clock: Whether /clock is published and the node lives by it.

    """

    bag: Path
    topics: Mapping[str, str]
    image: str
    calibrations: tuple[str, ...]
    inputs: Mapping[str, str]
    recorded: Mapping[str, str] = field(default_factory=lambda: OUTPUTS)
    parameters: Mapping[str, str] = field(default_factory=dict)
    rate: float = 1.0
    clock: bool = False

    def listeners(self) -> dict[str, int]:
        """Return how many subscriptions each published topic should have."""
        nodes = self.inputs.values()
        return {name: (name in nodes) + (name in self.recorded) for name in self.topics.values()}

    def outputs(self) -> tuple[str, ...]:
        """Return the recorded topics that the node publishes."""
        return tuple(name for name in self.recorded if name not in self.topics.values())

    def arguments(self) -> list[str]:
        """Return the node's command line."""
        values = {**self.parameters, **({'use_sim_time': 'true'} if self.clock else {})}
        words = ['--ros-args']
        for name, topic in self.inputs.items():
            words += ['-r', f'{name}:={topic}']
        for name, value in values.items():
            words += ['-p', f'{name}:={value}']
        return words

    def write(self, path: Path) -> None:
        """Write the plan for the processes that carry it out."""
        path.write_text(json.dumps(asdict(self) | {'bag': str(self.bag)}), encoding='utf-8')

    @classmethod
    def read(cls, path: Path) -> LivePlan:
        """Read what `write` wrote."""
        values = json.loads(path.read_text(encoding='utf-8'))
        values |= {'bag': Path(values['bag']), 'calibrations': tuple(values['calibrations'])}
        return cls(**values)
