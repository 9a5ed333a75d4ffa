"""What to run on one input, and what is shared by all inputs of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loftr_ros.data.bags.topics import BY_TYPE, TopicNames
from loftr_ros.evaluation.records.results import SequenceInfo

if TYPE_CHECKING:
    from pathlib import Path

    from loftr_ros.evaluation.replay.schedule import Pace
    from loftr_ros.settings.parameters import NodeParameters

MODES = ('mono', 'stereo', 'rgbd')


@dataclass(frozen=True, kw_only=True)
class InputChoice:
    """What is read of an input.

    Attributes:
        mode: One of `MODES`.
        topics: Topics of a bag that are not to be found by type.
        camera: Camera of a dataset; None for its first.
        frames: Greatest number of frames; None for all.

    """

    mode: str = 'mono'
    topics: TopicNames = BY_TYPE
    camera: str | None = None
    frames: int | None = None


@dataclass(frozen=True, kw_only=True)
class ReplayOptions:
    """How an input is run, and what is kept of it.

    Attributes:
        worst: Number of worst frames whose matches are kept.
        resume: Whether to go on with what a run before left.
        rerun: Whether to write a recording for the Rerun viewer.
        pace: Speed of the camera and of the computer that are simulated; None matches every frame.
        places: File of saved places to find the camera in; None for none.
        save_places: File for the places of the run; None for none.

    """

    worst: int = 6
    resume: bool = False
    rerun: bool = False
    pace: Pace | None = None
    places: Path | None = None
    save_places: Path | None = None


@dataclass(frozen=True, kw_only=True)
class SequenceTask:
    """What to run on one input.

    Attributes:
        name: Name of the sequence.
        path: The bag or dataset.
        folder: Where its results go.
        parameters: Of the node.
        choice: What is read of the input.
        options: How it is run.

    """

    name: str
    path: Path
    folder: Path
    parameters: NodeParameters
    choice: InputChoice = field(default_factory=InputChoice)
    options: ReplayOptions = field(default_factory=ReplayOptions)

    @property
    def slop_ns(self) -> int:
        """Largest difference of stamps that belong together, ns."""
        return round(self.parameters.input.sync_slop * 1e9)

    def unopened(self, error: str) -> SequenceInfo:
        """Return the record of an input that was not opened, and why."""
        return SequenceInfo(
            name=self.name,
            path=str(self.path),
            layout='',
            mode=self.choice.mode,
            topics={},
            expected=0,
            camera=None,
            status='failed',
            error=error,
        )
