"""The parameters `keyframe.*`, `pose.*` and `depth.*`, named as the options that they set."""

from __future__ import annotations

from dataclasses import dataclass

from loftr_ros.frontend import TrackerOptions
from loftr_ros.settings.declarations import Change, declare_field

TRACKER = TrackerOptions()
TWO_VIEW = TRACKER.two_view
METRIC = TRACKER.metric


@dataclass(frozen=True)
class KeyframeParameters:
    """Values of the parameters `keyframe.*`; the fields are those of `TrackerOptions`."""

    min_survival: float = declare_field(
        TRACKER.min_survival,
        'New keyframe when the next frame would have fewer matches than this share of the most.',
        change=Change.ANY_TIME,
        limits=(0.0, 1.0),
    )
    min_overlap: float = declare_field(
        TRACKER.min_overlap,
        'New keyframe when less of its image would have matches than this share of the most.',
        change=Change.ANY_TIME,
        limits=(0.0, 1.0),
    )
    max_parallax: float = declare_field(
        TRACKER.max_parallax,
        'New keyframe when the median match moved farther, as a share of the image width.',
        change=Change.ANY_TIME,
        limits=(0.001, 10.0),
    )


@dataclass(frozen=True)
class PoseParameters:
    """Values of the parameters `pose.*`; the fields are those of `TwoViewOptions`."""

    min_support: float = declare_field(
        TWO_VIEW.min_support,
        'The pose is LOST if the number of matches that agree on a motion beyond chance, times '
        'their share of those that seem to be right, is smaller.',
        change=Change.ANY_TIME,
        limits=(0.0, 100_000.0),
    )
    max_direction_sigma: float = declare_field(
        TWO_VIEW.max_direction_sigma,
        'With a larger standard deviation the direction of translation is unknown, rad.',
        change=Change.ANY_TIME,
        limits=(0.001, 10.0),
    )
    shared_growth: float = declare_field(
        TWO_VIEW.shared_growth,
        'Smooth distortion of an image (shift, stretch and shear) that time stamps, shutter and '
        'calibration leave, as a share of the distance that points move. It sets how small a '
        'covariance can be: raise it for a rolling shutter.',
        change=Change.ANY_TIME,
        limits=(0.0, 1.0),
    )


@dataclass(frozen=True)
class DepthParameters:
    """Values of the parameters `depth.*`; `range` is `MetricOptions.depth_range`, and so on."""

    range: tuple[float, ...] = declare_field(
        METRIC.depth_range,
        'Smallest and largest depth that is used, m; in mode stereo the smallest alone counts.',
        change=Change.ANY_TIME,
        lengths=(2, 2),
        basic=True,
    )
    noise: tuple[float, ...] = declare_field(
        (METRIC.depth_noise, METRIC.depth_noise_growth),
        'In mode rgbd, standard deviation of depths up to 0.4 m, m, and its growth with the square '
        'of the distance beyond, 1/m. The default is that of a Kinect; no growth for a laser.',
        change=Change.ANY_TIME,
        lengths=(2, 2),
    )
