"""The choice of the robust estimator; both have the same functions."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Protocol, cast

from loftr_ros.geometry.types import Array

FEWEST_SAMPLES, MOST_SAMPLES = 50, 1000
"""Samples that a start needs: more find no better one once the likelihood has refined it, as
`benchmarks/poses.py` shows for its sets."""


class RobustEstimator(Protocol):
    """A module with a robust two-view estimate."""

    @staticmethod
    def relative_pose(
        reference: Array, query: Array, focal_length: float, threshold: float, seed: int
    ) -> tuple[Array, Array] | None:
        """Return R and the unit t of `reference = R query + t`."""


def estimator_module(name: str, *, of_poselib: str, of_opencv: str) -> ModuleType:
    """Return the module of this room that wraps the estimator `name`, one of `options.ESTIMATORS`.

    Raises:
        ValueError: 'poselib' is asked for and not installed.
    """
    if name != 'opencv':
        try:
            return import_module(f'loftr_ros.geometry.{of_poselib}')
        except ImportError as error:
            if name == 'poselib':
                raise ValueError(
                    'the estimator poselib is not installed: install the package poselib, '
                    'or choose the estimator opencv'
                ) from error
    return import_module(f'loftr_ros.geometry.{of_opencv}')


def robust_estimator(name: str) -> RobustEstimator:
    """Return the estimator of this name, one of `options.ESTIMATORS`.

    Raises:
        ValueError: 'poselib' is asked for and not installed.
    """
    return cast(
        'RobustEstimator',
        estimator_module(name, of_poselib='poselib_estimator', of_opencv='opencv_estimator'),
    )
