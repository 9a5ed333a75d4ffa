"""Options of the tracker."""

from __future__ import annotations

from dataclasses import dataclass, field

from loftr_ros.geometry import MetricOptions, TwoViewOptions
from loftr_ros.ranges import require, require_at_least, require_not_negative, require_share

REFERENCES = ('previous', 'keyframe')


@dataclass(frozen=True, kw_only=True)
class TrackerOptions:
    """Options of `Tracker`.

    With the reference 'previous' each frame is matched to the one before it. With 'keyframe' it is
    matched to the last keyframe, and becomes the next keyframe itself as soon as one of the limits
    below is passed (see `loftr_ros.frontend.keyframes`).

    Attributes:
        reference: 'previous' or 'keyframe'.
        min_survival: Smallest number of matches that the next frame may be expected to have, as a
            share of the most that the keyframe had.
        min_overlap: Smallest part of the keyframe's image that may be expected to have matches in
            the next frame, as a share of the largest part that had.
        max_parallax: Largest median displacement of the matches, as a share of the image width.
        min_matches: A frame with fewer matches counts as failed, not as a new view; so does one
            whose pose is not believed.
        max_failures: So many failed frames in a row end a keyframe, since the scene is another.
        track_tolerance: Largest standard deviation from its point that a track id may gather over
            keyframes, in units of the residual scale of the matches; 0 hands no id over.
        two_view: Options of the pose estimate.
        metric: Options of depth, and of the estimate with it.

    Raises:
        ValueError: A field is out of its range.
    """

    reference: str = 'keyframe'
    min_survival: float = 0.6
    min_overlap: float = 0.5
    max_parallax: float = 0.1
    min_matches: int = 20
    max_failures: int = 3
    track_tolerance: float = 12.0
    two_view: TwoViewOptions = field(default_factory=TwoViewOptions)
    metric: MetricOptions = field(default_factory=MetricOptions)

    def __post_init__(self) -> None:
        """Check all ranges."""
        if self.reference not in REFERENCES:
            raise ValueError(f'reference must be {" or ".join(REFERENCES)}, not {self.reference!r}')
        require_share(self, 'min_survival', 'min_overlap')
        require(self, ('max_parallax',), lambda value: value > 0, 'positive')
        require_at_least(1, self, 'min_matches', 'max_failures')
        require_not_negative(self, 'track_tolerance')
