"""A rotation that another sensor measured, as one more normal measurement beside the matches.

Where points move little, a rotation alone explains what a translation did, at the price of a wrong
rotation. A gyroscope tells them apart, and where the errors of rotation and translation go together
it makes the direction of translation more certain, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from loftr_ros.geometry.constants import HIDDEN, SURELY
from loftr_ros.geometry.pose import PoseState, RelativePose
from loftr_ros.geometry.rotations import rotation_from_vector, rotation_vector
from loftr_ros.geometry.transforms import make_transform
from loftr_ros.geometry.types import Array

_CONTRADICTION = float(special.chdtri(3, special.chdtrc(1, SURELY**2)))
"""Squared difference, in deviations, that is no chance: rotations farther apart are not two
measurements of the same (chi-square: as rare in 3 degrees of freedom as `SURELY` in one)."""


@dataclass(frozen=True, eq=False)
class KnownRotation:
    """Rotation of the query camera in the reference camera.

    Attributes:
        reference_R_query: float64 (3, 3).
        covariance: float64 (3, 3), about the axes of the reference camera, rad^2.
    """

    reference_R_query: Array
    covariance: Array

    def contradicts(self, rotation: Array, covariance: Array) -> bool:
        """Tell if a rotation (3, 3) with covariance (3, 3) can hardly be the same one."""
        error = rotation_vector(self.reference_R_query @ rotation.T)
        spread = covariance + self.covariance
        return float(error @ np.linalg.solve(spread, error)) > _CONTRADICTION

    def fused(self, pose: RelativePose) -> RelativePose:
        """Return a pose with the mean of both rotations, weighted by their information.

        What is known of its translation follows, as far as their errors go together. A rotation
        alone counts with what it may hide (`HIDDEN`), beside a more certain one only. A pose that
        this rotation contradicts, and one that failed, stay as they are.
        """
        if pose.reference_T_query is None or pose.covariance is None:
            return pose
        before = np.where(np.isfinite(pose.covariance), pose.covariance, 0.0)
        if pose.state is PoseState.ROTATION_ONLY:
            if np.trace(self.covariance) > 3.0 * HIDDEN**2:
                return pose
            before[3:, 3:] += HIDDEN**2 * np.eye(3)
        rotation = pose.reference_T_query[:3, :3]
        step, after = self.correction(rotation, before)
        moved = pose.reference_T_query[:3, 3] + step[:3]
        if not pose.metric and pose.state is PoseState.OK:
            moved = moved / np.linalg.norm(moved)
        after = np.where(np.isfinite(pose.covariance), after, pose.covariance)
        fused = make_transform(rotation_from_vector(step[3:]) @ rotation, moved)
        return replace(pose, reference_T_query=fused, covariance=after)

    def correction(self, rotation: Array, covariance: Array) -> tuple[Array, Array]:
        """Return the step (6,) that a pose takes to the mean of both, and its covariance then.

        No step, and the same covariance, where the rotations contradict each other.

        Args:
            rotation: (3, 3), that of the pose.
            covariance: (6, 6) of the pose, x y z rx ry rz.
        """
        if self.contradicts(rotation, covariance[3:, 3:]):
            return np.zeros(6), covariance
        error = rotation_vector(self.reference_R_query @ rotation.T)
        spread = covariance[3:, 3:] + self.covariance
        gain = np.linalg.solve(spread, covariance[3:]).T
        kept = np.eye(6)
        kept[:, 3:] -= gain
        after = kept @ covariance @ kept.T + gain @ self.covariance @ gain.T
        return gain @ error, np.asarray((after + after.T) / 2)
