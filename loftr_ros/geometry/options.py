"""Options of the two-view estimate."""

from __future__ import annotations

from dataclasses import dataclass

from loftr_ros.ranges import (
    require,
    require_at_least,
    require_not_negative,
    require_positive,
)

ESTIMATORS = ('auto', 'poselib', 'opencv')
CHECKS = ('support', 'blur', 'second_motion', 'depth')
"""Checks that refuse a pose which a model explains; see `checks` and docs/poses.md."""


@dataclass(frozen=True, kw_only=True)
class TwoViewOptions:
    """Options of `estimate_relative_pose`.

    Attributes:
        estimator: Robust estimator: 'poselib', 'opencv', or 'auto' (PoseLib where it is installed,
            since it is the more accurate one; see benchmarks/estimators.py).
        seed: Seed of the random samples; equal input and seed give equal results. (OpenCV draws
            the same samples with every seed.)
        min_matches: With fewer usable matches than this the state is TOO_FEW_MATCHES.
        min_support: With less support than this the state is LOST: the expected number of right
            matches that agree with the motion beyond chance, times their share of all that seem to
            be right; see `checks.support`.
        max_direction_sigma: The direction of the translation is unknown (ROTATION_ONLY) if it has a
            larger standard deviation than this, rad.
        max_rotation_sigma: The state is DEGENERATE if the rotation has a larger one, rad.
        shared_sigma: Standard deviation of the error that neighbouring matches share, from
            calibration and shutter, px; it bounds what many matches can gain.
        shared_growth: Standard deviation of a smooth distortion of the whole image (a shift, a
            stretch and a shear along each axis), as a share of the distance that points move.
        without: Names of `CHECKS` that are left out, to measure what they are worth.

    Raises:
        ValueError: A field is out of its range.
    """

    estimator: str = 'auto'
    seed: int = 0
    min_matches: int = 20
    min_support: float = 8.0
    max_direction_sigma: float = 0.35
    max_rotation_sigma: float = 0.1
    shared_sigma: float = 0.2
    shared_growth: float = 0.006
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check all ranges."""
        if self.estimator not in ESTIMATORS:
            raise ValueError(f'estimator must be one of {ESTIMATORS}, not {self.estimator!r}')
        require_positive(self, 'max_direction_sigma', 'max_rotation_sigma')
        require_not_negative(self, 'shared_sigma', 'shared_growth', 'min_support')
        require_at_least(8, self, 'min_matches')
        require(self, ('without',), lambda names: {*names} <= {*CHECKS}, f'names of {CHECKS}')
        require(self, ('seed',), lambda seed: 0 <= seed < 2**31, 'between 0 and 2^31 - 1')
