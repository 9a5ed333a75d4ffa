"""What the two-view estimate may be told."""

from __future__ import annotations

from dataclasses import dataclass

ESTIMATORS = ('auto', 'poselib', 'opencv')


@dataclass(frozen=True)
class TwoViewOptions:
    """Options of `estimate_relative_pose`.

    Attributes:
        estimator: Robust estimator: 'poselib', 'opencv', or 'auto' (PoseLib where it is installed).
        threshold: Largest distance of an inlier from the model, px.
        confidence: Probability to aim at that the best sample was drawn, 0..1 exclusive.
        max_iterations: Most samples that the robust estimator draws.
        min_matches: Fewer finite matches than this are TOO_FEW_MATCHES.
        min_inliers: Fewer inliers than this are LOST.
        min_inlier_ratio: A smaller share of inliers among the matches is LOST, 0..1.
        seed: Seed of the random samples; equal input and seed give equal results.

    Raises:
        ValueError: A field is out of its range.
    """

    estimator: str = 'auto'
    threshold: float = 1.5
    confidence: float = 0.9999
    max_iterations: int = 2000
    min_matches: int = 20
    min_inliers: int = 15
    min_inlier_ratio: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        """Check all ranges."""
        _require(self.estimator in ESTIMATORS, 'estimator', self.estimator, ' or '.join(ESTIMATORS))
        _require(0 < self.threshold < float('inf'), 'threshold', self.threshold, 'positive px')
        _require(0 < self.confidence < 1, 'confidence', self.confidence, 'between 0 and 1')
        _require(self.max_iterations >= 1, 'max_iterations', self.max_iterations, 'at least 1')
        _require(self.min_matches >= 8, 'min_matches', self.min_matches, 'at least 8')
        _require(self.min_inliers >= 8, 'min_inliers', self.min_inliers, 'at least 8')
        ratio = self.min_inlier_ratio
        _require(0 <= ratio <= 1, 'min_inlier_ratio', ratio, 'between 0 and 1')
        _require(0 <= self.seed < 2**31, 'seed', self.seed, 'between 0 and 2^31 - 1')


def _require(holds: bool, name: str, value: object, range_: str) -> None:
    if not holds:
        raise ValueError(f'{name} must be {range_}, not {value!r}')
