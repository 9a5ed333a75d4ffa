"""What the two-view estimate may be told."""

from __future__ import annotations

from dataclasses import dataclass

ESTIMATORS = ('auto', 'poselib', 'opencv')


@dataclass(frozen=True)
class TwoViewOptions:
    """Options of `estimate_relative_pose`.

    Attributes:
        estimator: Robust estimator: 'poselib', 'opencv', or 'auto' (PoseLib where it is installed,
            since it is the more accurate one; see benchmarks/estimators.py).
        threshold: Largest distance of an inlier from the model, px.
        confidence: Probability to aim at that the best sample was drawn, 0..1 exclusive.
        max_iterations: Most samples that the robust estimator draws for an essential matrix.
        plane_iterations: The same for a homography, which matters only if it explains most matches.
        seed: Seed of the random samples; equal input and seed give equal results. (OpenCV draws
            the same samples with every seed.)
        min_matches: With fewer usable matches than this the state is TOO_FEW_MATCHES.
        min_inliers: With fewer inliers than this the state is LOST.
        min_inlier_ratio: With a smaller share of inliers among the matches it is LOST, 0..1.
        min_motion_inliers: With fewer inliers than this a motion without scale is LOST: wrong
            matches meet epipolar lines by chance.
        max_noise: A motion without scale is LOST if the errors of the matches near it have a larger
            standard deviation than this share of the threshold (those of blurred images have), and
            the parallax is not far larger.
        max_split_gain: It is DEGENERATE if the matches of one half of the image fit another motion
            so many times better: something else moves, or the calibration is wrong.
        min_parallax: A point shows parallax if a mere rotation misses it by more than this, px
            (and by more than three times the scale of the residuals).
        min_parallax_ratio: With a smaller share of such points among the inliers the state is
            ROTATION_ONLY, 0..1.
        planar_ratio: The scene is tested for the second motion that a plane allows if a homography
            explains at least this share of the inliers, 0..1.
        max_direction_sigma: The state is DEGENERATE if the direction of the translation has a
            larger standard deviation than this, rad.
        max_rotation_sigma: The same for the rotation, rad.
        reference_sigma: Standard deviation of the reference points, px. LoFTR's are the centres of
            cells and thus exact: the whole error of a match is the query point's.
        smooth_sigma: Standard deviation of the error that neighbouring matches share, from
            calibration and shutter, px; it bounds what many matches can gain.
        smooth_growth: Its growth with the way that the rotation moves a point, as a share of it.

    Raises:
        ValueError: A field is out of its range.
    """

    estimator: str = 'auto'
    threshold: float = 2.5
    confidence: float = 0.9999
    max_iterations: int = 2000
    plane_iterations: int = 300
    seed: int = 0
    min_matches: int = 20
    min_inliers: int = 15
    min_inlier_ratio: float = 0.3
    min_motion_inliers: int = 50
    max_noise: float = 0.5
    max_split_gain: float = 1.12
    min_parallax: float = 1.5
    min_parallax_ratio: float = 0.1
    planar_ratio: float = 0.8
    max_direction_sigma: float = 0.35
    max_rotation_sigma: float = 0.1
    reference_sigma: float = 0.0
    smooth_sigma: float = 0.23
    smooth_growth: float = 0.018

    def __post_init__(self) -> None:
        """Check all ranges."""
        if self.estimator not in ESTIMATORS:
            raise ValueError(f'estimator must be one of {ESTIMATORS}, not {self.estimator!r}')
        for name in (
            'threshold',
            'max_noise',
            'min_parallax',
            'max_direction_sigma',
            'max_rotation_sigma',
        ):
            self._check(name, 0 < getattr(self, name) < float('inf'), 'positive and finite')
        for name in ('reference_sigma', 'smooth_sigma', 'smooth_growth'):
            self._check(name, 0 <= getattr(self, name) < float('inf'), '0 or more, and finite')
        for name in ('min_inlier_ratio', 'min_parallax_ratio', 'planar_ratio'):
            self._check(name, 0 <= getattr(self, name) <= 1, 'between 0 and 1')
        for name in ('min_matches', 'min_inliers', 'min_motion_inliers'):
            self._check(name, getattr(self, name) >= 8, 'at least 8')
        self._check('max_split_gain', self.max_split_gain > 1, 'above 1')
        self._check('confidence', 0 < self.confidence < 1, 'between 0 and 1, exclusive')
        for name in ('max_iterations', 'plane_iterations'):
            self._check(name, getattr(self, name) >= 1, 'at least 1')
        self._check('seed', 0 <= self.seed < 2**31, 'between 0 and 2^31 - 1')

    def _check(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ValueError(f'{name} must be {expected}, not {getattr(self, name)!r}')
