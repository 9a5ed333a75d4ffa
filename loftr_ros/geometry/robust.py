"""The choice of the robust estimator; both have the same two functions."""

from __future__ import annotations

from typing import Protocol, cast

from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.types import Array, Flags


class RobustEstimator(Protocol):
    """A module with robust two-view estimates."""

    @staticmethod
    def relative_pose(
        reference: Array, query: Array, focal_length: float, options: TwoViewOptions
    ) -> tuple[Array, Array, Flags] | None:
        """Return R, the unit t and the inliers of `reference = R query + t`."""

    @staticmethod
    def homography(
        reference: Array, query: Array, focal_length: float, options: TwoViewOptions
    ) -> tuple[Array, Flags] | None:
        """Return H and the inliers of `query ~ H reference`."""


def robust_estimator(name: str) -> RobustEstimator:
    """Return the estimator of this name, one of `options.ESTIMATORS`.

    Raises:
        ValueError: 'poselib' is asked for and not installed.
    """
    if name != 'opencv':
        try:
            from loftr_ros.geometry import poselib_estimator

            return cast('RobustEstimator', poselib_estimator)
        except ImportError as error:
            if name == 'poselib':
                raise ValueError(
                    'the estimator poselib is not installed: install the package poselib, '
                    'or choose the estimator opencv'
                ) from error
    from loftr_ros.geometry import opencv_estimator

    return cast('RobustEstimator', opencv_estimator)
