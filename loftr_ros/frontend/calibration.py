"""Whether the calibration of a camera fits what its images show, over many frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from loftr_ros.geometry import FocalError, PoseState, RelativePose
from loftr_ros.geometry.constants import FOCAL_SIGMA, MEMORY, SURELY
from loftr_ros.geometry.pose import Check


@dataclass(frozen=True)
class CalibrationCheck:
    """What the frames so far say about the focal length.

    Attributes:
        information: Sum of the inverse variances of the estimates.
        weighted: Sum of the estimates, each by its inverse variance.
    """

    information: float = 0.0
    weighted: float = 0.0

    def joined(self, error: FocalError | None) -> CalibrationCheck:
        """Return what is known with one more estimate."""
        if error is None or not np.isfinite(error.sigma):
            return self
        inverse = 1.0 / (error.sigma**2 + FOCAL_SIGMA**2)
        return CalibrationCheck(
            MEMORY * self.information + inverse,
            MEMORY * self.weighted + inverse * error.log_ratio,
        )

    @property
    def problem(self) -> str:
        """What is wrong with the calibration, in words; empty if nothing is known to be."""
        if not self.information > 0:
            return ''
        error = self.weighted / self.information
        if abs(error) < max(2.0 * FOCAL_SIGMA, SURELY / np.sqrt(self.information)):
            return ''
        return (
            f'the focal length seems to be {np.exp(error):.2f} times that of the calibration: '
            'check camera_info, and rectified for images that are'
        )

    def judge(self, pose: RelativePose) -> RelativePose:
        """Return the pose, or if the calibration that it needs is wrong, a failure saying so."""
        if not pose.state.has_pose or not self.problem:
            return pose
        failed = RelativePose.failed(
            PoseState.LOST, self.problem, len(pose.inliers), Check.CALIBRATION
        )
        return replace(failed, focal_error=pose.focal_error)
