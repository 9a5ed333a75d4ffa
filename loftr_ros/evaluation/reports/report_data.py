"""What the report of a sequence shows, from the records of its frames."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from loftr_ros.evaluation.records.frame_records import matrix_of
from loftr_ros.evaluation.records.trajectory_metrics import (
    MIN_POSES,
    estimated_poses,
    evo_trajectory,
)
from loftr_ros.evaluation.records.trajectory_metrics import true_poses as true_poses_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from loftr_ros.evaluation.records.results import FrameRecord

    Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Alignment:
    """A similarity that takes positions of the trajectory to the frame of the truth.

    Attributes:
        rotation: (3, 3).
        translation: (3,), m.
        scale: Metres per unit of the trajectory.

    """

    rotation: Array
    translation: Array
    scale: float

    def apply(self, positions: Array) -> Array:
        """Move positions (N, 3)."""
        return self.scale * positions @ self.rotation.T + self.translation


@dataclass(frozen=True, eq=False)
class SequenceData:
    """Arrays over the frames of a sequence.

    Attributes:
        records: All frames.
        similarity: Whether the trajectory is aligned with its scale.

    """

    records: Sequence[FrameRecord]
    similarity: bool = False

    @cached_property
    def matched(self) -> list[FrameRecord]:
        """The frames that were matched."""
        return [record for record in self.records if record.status == 'matched']

    def seconds(self, records: Sequence[FrameRecord]) -> Array:
        """Times since the first frame, s."""
        start = self.records[0].stamp_ns if self.records else 0
        return np.array([record.stamp_ns - start for record in records], np.int64) / 1e9

    def values(self, name: str) -> Array:
        """A field of the matched frames such as 'matching.inliers', NaN where it is unknown."""
        found = map(attrgetter(name), self.matched)
        return np.array([np.nan if value is None else value for value in found], np.float64)

    @cached_property
    def estimated(self) -> list[FrameRecord]:
        """The frames that the trajectory has."""
        return [record for record in self.records if record.odom_T_base is not None]

    @cached_property
    def true(self) -> list[FrameRecord]:
        """The frames whose true pose is known."""
        return [record for record in self.records if record.world_T_camera is not None]

    @cached_property
    def alignment(self) -> Alignment | None:
        """The alignment that the trajectory's errors are computed after; None without truth."""
        both = [record for record in self.estimated if record.world_T_camera is not None]
        if len(both) < MIN_POSES:
            return None
        from evo.core.geometry import GeometryException

        truth = evo_trajectory(true_poses_of(both))
        estimate = copy.deepcopy(evo_trajectory(estimated_poses(both)))
        try:
            found = estimate.align(truth, correct_scale=self.similarity)
        except GeometryException:  # all positions lie on one point
            return None
        return Alignment(found[0], found[1], float(found[2]))

    def estimated_positions(self) -> Array:
        """Positions (N, 3) of `estimated`, aligned where that is possible."""
        positions = _positions([record.odom_T_base for record in self.estimated])
        return positions if self.alignment is None else self.alignment.apply(positions)

    def true_positions(self) -> Array:
        """Positions (N, 3) of `true`."""
        return _positions([record.world_T_camera for record in self.true])

    def broken(self, positions: Array) -> Array:
        """Put a row of NaN before each estimated position that follows a gap."""
        gaps = [index for index, record in enumerate(self.estimated) if record.gap and index]
        return np.insert(positions, gaps, np.nan, axis=0) if gaps else positions

    def position_errors(self) -> tuple[Array, Array]:
        """Times and distances from the truth after the alignment, where both are known."""
        known = [r.world_T_camera is not None for r in self.estimated]
        if self.alignment is None or not any(known):
            return np.empty(0), np.empty(0)
        both = [record for record, kept in zip(self.estimated, known, strict=True) if kept]
        truth = _positions([record.world_T_camera for record in both])
        distances = np.linalg.norm(self.estimated_positions()[known] - truth, axis=1)
        return self.seconds(both), distances

    def ground_axes(self) -> tuple[int, int]:
        """The two axes that lie across the mean down direction of the camera."""
        poses = [r.world_T_camera for r in self.true] or [r.odom_T_base for r in self.estimated]
        downs = [matrix_of(values)[:3, 1] for values in poses if values is not None]
        if not downs:
            return 0, 1
        first, second = sorted({0, 1, 2} - {int(np.abs(np.mean(downs, axis=0)).argmax())})
        return first, second


def _positions(values: Sequence[Any]) -> Array:
    return np.array([each[:3] for each in values], np.float64).reshape(-1, 3)
