"""Options of the metric estimate, besides the options of the two-view estimate."""

from __future__ import annotations

from dataclasses import dataclass

from loftr_ros.ranges import (
    require,
    require_not_negative,
    require_positive,
)


@dataclass(frozen=True, kw_only=True)
class MetricOptions:
    """Options of depth and of the pose that is estimated with it.

    The standard deviation of a depth z of a depth image is
    `depth_noise + depth_noise_growth (z - depth_nearest)^2`, by default that of a Kinect (Nguyen,
    Izadi and Lovell, "Modeling Kinect sensor noise for improved 3D reconstruction and tracking",
    2012); a time-of-flight or laser camera has a smaller growth. That of stereo follows from the
    sigma of the matches.

    Attributes:
        depth_noise: Standard deviation of the nearest depths, m.
        depth_noise_growth: Its growth with the square of the distance, 1/m.
        depth_nearest: Depth from which it grows, m.
        depth_scale_sigma: Standard deviation of the scale of all depths, as a share of them.
        depth_range: Smallest and largest depth that is used, m; of stereo only the smallest counts,
            since far points hold the rotation.
        depth_jump: Depths around a point that differ by a larger share of the depth than this lie
            on both sides of an edge, and the point has no depth.
        disparity_sigma: Standard deviation of the error that all disparities share, from the
            calibration of the pair, px.

    Raises:
        ValueError: A field is out of its range.
    """

    depth_noise: float = 0.0012
    depth_noise_growth: float = 0.0019
    depth_nearest: float = 0.4
    depth_scale_sigma: float = 0.005
    depth_range: tuple[float, float] = (0.1, 200.0)
    depth_jump: float = 0.05
    disparity_sigma: float = 0.2

    def __post_init__(self) -> None:
        """Check all ranges."""
        require_not_negative(self, 'depth_noise', 'depth_noise_growth', 'depth_nearest')
        require_not_negative(self, 'depth_scale_sigma', 'disparity_sigma')
        require_positive(self, 'depth_jump')
        rising = 'two rising depths, 0 m or more'
        require(self, ('depth_range',), lambda value: 0 <= value[0] < value[1], rising)
