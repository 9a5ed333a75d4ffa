"""Options of the search for loops."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LoopOptions:
    """Options of `LoopCloser`.

    Attributes:
        capacity: Most places that are remembered.
        min_age_s: Younger places are no candidates: the tracker links them already, s.
        interval_s: Least time between two searches, s; keyframes in between are passed over.
        max_steps: A place is a candidate if its view differs from the present one by no more than
            so many typical steps from one keyframe to the next.
        min_inliers: Least matches that the pose must explain.
        min_inlier_ratio: Least share of the matches that it must explain, 0..1.
        min_coverage: Least share of either image in which these lie (in 8 x 8 tiles), 0..1.
        max_rotation_sigma: Largest standard deviation of the rotation, rad.
        max_rotation_error: Largest angle by which two verifications of the same place, by keyframes
            that follow each other, may disagree with the motion between these, rad.
        max_distance_error: The same for the translation of metric poses, as a share of the
            length of the triangle of the three.
        distance_noise: What is always allowed of that, m.
        max_direction_error: The same for the directions of poses without scale, rad.
        place_candidates: Most places of a file that are matched to a keyframe as long as it is not
            known where in them the camera is; one afterwards.
        place_steps: As `max_steps`, of places of a file.
        place_coverage: As `min_coverage`, of places of a file.
        place_inliers: Least matches that the pose of a place of a file must explain.
        certain_inliers: A place of a file that so many matches agree on needs no second one.

    Raises:
        ValueError: A field is out of its range.
    """

    capacity: int = 300
    min_age_s: float = 10.0
    interval_s: float = 0.5
    max_steps: float = 1.5
    min_inliers: int = 50
    min_inlier_ratio: float = 0.3
    min_coverage: float = 0.25
    max_rotation_sigma: float = 0.03
    max_rotation_error: float = 0.05
    max_distance_error: float = 0.1
    distance_noise: float = 0.05
    max_direction_error: float = 0.2
    place_candidates: int = 3
    place_steps: float = 3.0
    place_coverage: float = 0.15
    place_inliers: int = 30
    certain_inliers: int = 80

    def __post_init__(self) -> None:
        """Check all ranges."""
        self._check('capacity', self.capacity >= 3, '3 or more')
        self._check('place_candidates', self.place_candidates >= 1, '1 or more')
        for name in ('min_inliers', 'place_inliers', 'certain_inliers'):
            self._check(name, getattr(self, name) >= 8, '8 or more')
        for name in ('min_inlier_ratio', 'min_coverage', 'place_coverage'):
            self._check(name, 0 <= getattr(self, name) <= 1, 'between 0 and 1')
        for name in ('min_age_s', 'interval_s', 'distance_noise'):
            self._check(name, 0 <= getattr(self, name) < float('inf'), '0 or more, and finite')
        for name in (
            'max_steps',
            'place_steps',
            'max_rotation_sigma',
            'max_rotation_error',
            'max_distance_error',
            'max_direction_error',
        ):
            self._check(name, 0 < getattr(self, name) < float('inf'), 'positive and finite')

    def _check(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ValueError(f'{name} must be {expected}, not {getattr(self, name)!r}')
