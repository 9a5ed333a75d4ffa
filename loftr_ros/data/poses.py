"""Timed poses, interpolated between samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from loftr_ros.geometry.quaternions import quaternion_from_rotation, rotation_from_quaternion
from loftr_ros.geometry.transforms import make_transform

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class TimedPoses:
    """Poses of one frame in another over time.

    Attributes:
        stamps_ns: int64 (N,), strictly increasing.
        positions: float64 (N, 3), metres.
        quaternions_xyzw: float64 (N, 4), unit length.

    """

    stamps_ns: NDArray[np.int64]
    positions: NDArray[np.float64]
    quaternions_xyzw: NDArray[np.float64]

    @classmethod
    def from_samples(
        cls,
        stamps_ns: NDArray[np.int64],
        positions: NDArray[np.float64],
        quaternions_xyzw: NDArray[np.float64],
    ) -> TimedPoses:
        """Sort samples by time and drop those repeated, not finite or without a rotation."""
        norms = np.linalg.norm(quaternions_xyzw, axis=1)
        good = np.isfinite(positions).all(axis=1) & np.isfinite(norms) & (norms > 1e-3)
        stamps, first = np.unique(stamps_ns[good], return_index=True)
        unit = quaternions_xyzw[good] / norms[good, None]
        return cls(stamps.astype(np.int64), positions[good][first], unit[first])

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.stamps_ns)

    @property
    def span_ns(self) -> tuple[int, int] | None:
        """Times of the first and the last sample, ns; None where there are none."""
        return (int(self.stamps_ns[0]), int(self.stamps_ns[-1])) if len(self) else None

    def moved(self, body_T_camera: NDArray[np.float64]) -> TimedPoses:
        """Return the poses of a frame that is fixed to this one."""
        rotations = rotation_from_quaternion(self.quaternions_xyzw)
        quaternions = [quaternion_from_rotation(r @ body_T_camera[:3, :3]) for r in rotations]
        return TimedPoses(
            self.stamps_ns,
            self.positions + rotations @ body_T_camera[:3, 3],
            np.array(quaternions).reshape(-1, 4),
        )

    def at(self, stamp_ns: int, max_gap_ns: int) -> NDArray[np.float64] | None:
        """Interpolate the pose at a time: linear in position, spherical in rotation.

        Args:
            stamp_ns: Time, ns.
            max_gap_ns: Greatest time between the two samples around it.

        Returns:
            float64 (4, 4), or None outside the samples and within gaps that are too long.

        """
        right = int(np.searchsorted(self.stamps_ns, stamp_ns))
        if right < len(self) and self.stamps_ns[right] == stamp_ns:
            return self._pose(right, right, 0.0)
        if right in {0, len(self)}:
            return None
        start, end = int(self.stamps_ns[right - 1]), int(self.stamps_ns[right])
        if end - start > max_gap_ns:
            return None
        return self._pose(right - 1, right, (stamp_ns - start) / (end - start))

    def _pose(self, left: int, right: int, ratio: float) -> NDArray[np.float64]:
        position = (1 - ratio) * self.positions[left] + ratio * self.positions[right]
        first, second = self.quaternions_xyzw[left], self.quaternions_xyzw[right]
        return make_transform(rotation_from_quaternion(slerp(first, second, ratio)), position)


def slerp(
    first: NDArray[np.float64], second: NDArray[np.float64], ratio: float
) -> NDArray[np.float64]:
    """Interpolate between unit quaternions (4,) along the shorter arc (Shoemake, 1985)."""
    cosine = float(first @ second)
    if cosine < 0:
        second, cosine = -second, -cosine
    angle = np.arccos(min(cosine, 1.0))
    if angle < 1e-6:
        mixed = (1 - ratio) * first + ratio * second
    else:
        mixed = np.sin((1 - ratio) * angle) * first + np.sin(ratio * angle) * second
    return np.asarray(mixed / np.linalg.norm(mixed), np.float64)
