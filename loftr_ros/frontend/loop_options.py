"""Options of the search for loops, and of that among saved places."""

from __future__ import annotations

from dataclasses import dataclass, field

from loftr_ros.ranges import (
    require_at_least,
    require_not_negative,
    require_positive,
    require_share,
)


@dataclass(frozen=True, kw_only=True)
class Verification:
    """When the pose of two images of the same place is believed.

    Attributes:
        min_inliers: Least matches that the pose must explain.
        min_inlier_ratio: Least share of the matches that it must explain, 0..1.
        min_coverage: Least share of either image in which these lie (in 8 x 8 tiles), 0..1.
        max_rotation_sigma: Largest standard deviation of the rotation, rad.

    Raises:
        ValueError: A field is out of its range.
    """

    min_inliers: int = 50
    min_inlier_ratio: float = 0.3
    min_coverage: float = 0.25
    max_rotation_sigma: float = 0.03

    def __post_init__(self) -> None:
        """Check all ranges."""
        require_at_least(8, self, 'min_inliers')
        require_share(self, 'min_inlier_ratio', 'min_coverage')
        require_positive(self, 'max_rotation_sigma')


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far two sightings of a place may disagree with the motion between them.

    Attributes:
        max_rotation: Largest angle, rad.
        max_distance: The same for the translation of metric poses, as a share of the length of the
            triangle of the three.
        distance_noise: What is always allowed of that, m.
        max_direction: The same for the directions of poses without scale, rad.

    Raises:
        ValueError: A field is out of its range.
    """

    max_rotation: float = 0.05
    max_distance: float = 0.1
    distance_noise: float = 0.05
    max_direction: float = 0.2

    def __post_init__(self) -> None:
        """Check all ranges."""
        require_positive(self, 'max_rotation', 'max_distance', 'max_direction')
        require_not_negative(self, 'distance_noise')

    def allowed_distance(self, length: float) -> float:
        """Return how far two positions may be apart after paths of a length, m."""
        return self.distance_noise + self.max_distance * length


@dataclass(frozen=True, kw_only=True)
class PlaceOptions:
    """Options of the search among saved places.

    Attributes:
        candidates: Most places that are matched to a keyframe as long as it is not known where in
            them the camera is; one afterwards.
        max_steps: As that of `LoopOptions`.
        verification: When the pose of a place is believed.
        certain_inliers: A place that so many matches agree on needs no second one.

    Raises:
        ValueError: A field is out of its range.
    """

    candidates: int = 3
    max_steps: float = 3.0
    verification: Verification = field(
        default_factory=lambda: Verification(min_inliers=30, min_coverage=0.15)
    )
    certain_inliers: int = 80

    def __post_init__(self) -> None:
        """Check all ranges."""
        require_at_least(1, self, 'candidates')
        require_positive(self, 'max_steps')
        require_at_least(8, self, 'certain_inliers')


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """Options of `LoopCloser` and of `Localizer`.

    Attributes:
        capacity: Most places that are remembered.
        min_age_s: Younger places are no candidates: the tracker links them already, s.
        interval_s: Least time between two searches, s; keyframes in between are passed over.
        max_steps: A place is a candidate if its view differs from the present one by no more than
            so many typical steps from one keyframe to the next.
        verification: When the pose of a loop is believed.
        agreement: How far two verifications of the same place, by keyframes that follow each
            other, may disagree with the motion between these.
        places: Of the search among saved places.

    Raises:
        ValueError: A field is out of its range.
    """

    capacity: int = 300
    min_age_s: float = 10.0
    interval_s: float = 0.5
    max_steps: float = 1.5
    verification: Verification = field(default_factory=Verification)
    agreement: Agreement = field(default_factory=Agreement)
    places: PlaceOptions = field(default_factory=PlaceOptions)

    def __post_init__(self) -> None:
        """Check all ranges."""
        require_at_least(3, self, 'capacity')
        require_not_negative(self, 'min_age_s', 'interval_s')
        require_positive(self, 'max_steps')
