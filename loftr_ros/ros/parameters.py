"""The node's parameters: each declared once, with type, range, unit and meaning.

`python -m loftr_ros.ros.parameters` prints config/loftr.yaml.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from loftr_ros.frontend import TrackerOptions
from loftr_ros.geometry import TwoViewOptions

TRACKER = TrackerOptions()
TWO_VIEW = TwoViewOptions()


class ParameterError(ValueError):
    """A parameter has a value that it cannot have; the message names it and says why."""


class Change(enum.Enum):
    """When a parameter can be changed."""

    AT_START = 'fixed when the process starts'
    UNCONFIGURED = 'can change while the node is unconfigured'
    ANY_TIME = 'can change at any time'


@dataclass(frozen=True)
class Declaration:
    """What is known about a parameter besides its name and default.

    Attributes:
        description: Meaning and unit.
        change: When it can be changed.
        choices: The values that it can have; empty for any.
        limits: Smallest and largest number; None for no numbers.
    """

    description: str
    change: Change = Change.UNCONFIGURED
    choices: tuple[str, ...] = ()
    limits: tuple[float, float] | None = None

    def check(self, name: str, value: Any) -> None:  # noqa: ANN401 - of the parameter's own type
        """Refuse a value that is none of the choices or outside the limits.

        Raises:
            ParameterError: It is.
        """
        if self.choices and value not in self.choices:
            raise ParameterError(f'{name} must be {_either(self.choices)}, not {value!r}')
        if self.limits and not self.limits[0] <= value <= self.limits[1]:
            low, high = self.limits
            raise ParameterError(f'{name} must be between {low:g} and {high:g}, not {value!r}')

    def __str__(self) -> str:
        """Describe the parameter in one paragraph."""
        parts = [self.description]
        if self.choices:
            parts.append(f'One of: {", ".join(self.choices)}.')
        if self.limits:
            parts.append(f'From {self.limits[0]:g} to {self.limits[1]:g}.')
        return ' '.join([*parts, f'{self.change.value.capitalize()}.'])


def _declare(default: Any, description: str, **details: Any) -> Any:  # noqa: ANN401
    return dataclasses.field(
        default=default, metadata={'declaration': Declaration(description, **details)}
    )


@dataclass(frozen=True)
class NodeParameters:
    """Values of all parameters; the fields are the declarations.

    Raises:
        ParameterError: A value is none of the choices or out of its limits.
    """

    autostart: bool = _declare(
        True,
        'Configure and activate the node by itself; false leaves that to a lifecycle manager.',
        change=Change.AT_START,
    )
    num_threads: int = _declare(
        0,
        'Threads that torch computes with on a CPU; 0 for its own choice.',
        change=Change.AT_START,
        limits=(0, 256),
    )
    mode: str = _declare(
        'mono',
        'mono: match the frames of one moving camera. pair: match two cameras.',
        choices=('mono', 'pair'),
    )
    weights: str = _declare(
        'lite', 'Weights of LoFTR: lite, outdoor, indoor, or the path of a .safetensors or .ckpt.'
    )
    device: str = _declare(
        'auto', 'Where LoFTR runs: auto, cpu, cuda, or cuda with a number as in cuda:1.'
    )
    precision: str = _declare(
        'auto',
        'Numbers that LoFTR computes with.',
        choices=('auto', 'float32', 'float16', 'bfloat16'),
    )
    longer_side: int = _declare(
        640,
        'Images are matched at this length of the longer side, px; 0 for their own size.',
        limits=(0, 8192),
    )
    image_transport: str = _declare(
        'raw',
        'raw subscribes to sensor_msgs/Image on <image>, compressed to sensor_msgs/CompressedImage '
        'on <image>/compressed.',
        choices=('raw', 'compressed'),
    )
    reliability: str = _declare(
        'best_effort',
        'QoS of the subscriptions: best_effort takes from every publisher, reliable only from '
        'reliable ones.',
        choices=('best_effort', 'reliable'),
    )
    queue_size: int = _declare(
        5,
        'Messages that wait in each subscription, and for their partner of the same time.',
        limits=(1, 1000),
    )
    process_every_frame: bool = _declare(
        False,
        'Let queue_size frames wait rather than drop all but the newest; for replay.',
    )
    rectified: bool = _declare(
        False, 'The images are rectified (image_rect): use p of camera_info and no distortion.'
    )
    camera_info_sync: str = _declare(
        'latest',
        'latest takes the last camera_info, whatever its stamp; synchronized waits for the one '
        'whose stamp is that of the image, up to sync_slop (cameras that zoom).',
        choices=('latest', 'synchronized'),
    )
    sync_slop: float = _declare(
        0.01,
        'Stamps of messages that belong together differ by less than this, s; 0 for equal stamps.',
        limits=(0.0, 10.0),
    )
    reference: str = _declare(
        TRACKER.reference,
        'In mode mono: match to the frame before, or to a keyframe that lasts.',
        change=Change.ANY_TIME,
        choices=('previous', 'keyframe'),
    )
    keyframe_min_survival: float = _declare(
        TRACKER.min_survival,
        'New keyframe when fewer matches are left than this share of the most it had.',
        change=Change.ANY_TIME,
        limits=(0.0, 1.0),
    )
    keyframe_min_overlap: float = _declare(
        TRACKER.min_overlap,
        'New keyframe when less of its image has matches than this share of the most that had.',
        change=Change.ANY_TIME,
        limits=(0.0, 1.0),
    )
    keyframe_max_parallax: float = _declare(
        TRACKER.max_parallax,
        'New keyframe when the median match moved farther, as a share of the image width.',
        change=Change.ANY_TIME,
        limits=(0.001, 10.0),
    )
    keyframe_max_age: float = _declare(
        0.0,
        'New keyframe when the last one is older than this, s; 0 for no limit.',
        change=Change.ANY_TIME,
        limits=(0.0, 3600.0),
    )
    confidence_threshold: float = _declare(
        0.0,
        'Smallest confidence of a match; 0 for the threshold that belongs to the weights.',
        change=Change.ANY_TIME,
        limits=(0.0, 1.0),
    )
    max_matches: int = _declare(
        0,
        'Keep only so many matches, the most confident ones; 0 for all.',
        change=Change.ANY_TIME,
        limits=(0, 1_000_000),
    )
    min_matches: int = _declare(
        TRACKER.min_matches,
        'With fewer matches no pose is estimated.',
        change=Change.ANY_TIME,
        limits=(8, 100_000),
    )
    pose_estimator: str = _declare(
        TWO_VIEW.estimator,
        'Robust estimator of the pose; auto is PoseLib where it is installed.',
        change=Change.ANY_TIME,
        choices=('auto', 'poselib', 'opencv'),
    )
    pose_threshold: float = _declare(
        TWO_VIEW.threshold,
        'Largest distance of an inlier from the model, px.',
        change=Change.ANY_TIME,
        limits=(0.01, 100.0),
    )
    pose_min_inliers: int = _declare(
        TWO_VIEW.min_inliers,
        'With fewer inliers the pose is LOST.',
        change=Change.ANY_TIME,
        limits=(8, 100_000),
    )
    pose_min_inlier_ratio: float = _declare(
        TWO_VIEW.min_inlier_ratio,
        'With a smaller share of inliers the pose is LOST.',
        change=Change.ANY_TIME,
        limits=(0.0, 1.0),
    )
    publish_correspondences: bool = _declare(
        True, 'Publish ~/correspondences.', change=Change.ANY_TIME
    )
    publish_relative_pose: bool = _declare(True, 'Publish ~/relative_pose.', change=Change.ANY_TIME)
    publish_matches_image: bool = _declare(
        True, 'Draw and publish ~/matches_image while someone subscribes.', change=Change.ANY_TIME
    )
    silent_timeout: float = _declare(
        2.0,
        'A topic without messages for this long is reported as silent, s. For so long the first '
        'images wait for a calibration.',
        change=Change.ANY_TIME,
        limits=(0.1, 3600.0),
    )

    def __post_init__(self) -> None:
        """Check all values."""
        for name, declaration in declarations().items():
            declaration.check(name, getattr(self, name))

    def changed(self, values: Mapping[str, Any], *, configured: bool) -> NodeParameters:
        """Return these parameters with other `values` (names that are no fields are left out).

        Raises:
            ParameterError: A value is wrong, or cannot change while the node is configured.
        """
        known = declarations()
        changes = {
            name: value
            for name, value in values.items()
            if name in known and value != getattr(self, name)
        }
        for name in changes:
            if known[name].change is Change.AT_START:
                raise ParameterError(f'{name} is {Change.AT_START.value}')
            if configured and known[name].change is Change.UNCONFIGURED:
                raise ParameterError(
                    f'{name} cannot change while the node is configured: deactivate and clean up '
                    'first (ros2 lifecycle set <node> deactivate, cleanup)'
                )
        return dataclasses.replace(self, **changes)

    def tracker_options(self) -> TrackerOptions:
        """Return the options of the tracker and of its pose estimate."""
        return dataclasses.replace(
            TRACKER,
            reference=self.reference,
            min_survival=self.keyframe_min_survival,
            min_overlap=self.keyframe_min_overlap,
            max_parallax=self.keyframe_max_parallax,
            max_age_s=self.keyframe_max_age or float('inf'),
            min_matches=self.min_matches,
            two_view=dataclasses.replace(
                TWO_VIEW,
                estimator=self.pose_estimator,
                threshold=self.pose_threshold,
                min_matches=self.min_matches,
                min_inliers=self.pose_min_inliers,
                min_inlier_ratio=self.pose_min_inlier_ratio,
            ),
        )


def declarations() -> dict[str, Declaration]:
    """Return the declaration of each parameter by its name."""
    return {field.name: field.metadata['declaration'] for field in _FIELDS}


_FIELDS = dataclasses.fields(NodeParameters)


def unknown_names(names: Iterable[str]) -> dict[str, str]:
    """Return the `names` that are no parameters, each with the nearest one that is (or '')."""
    known = declarations()
    # rclpy declares these itself, some only when a topic is subscribed.
    own = ('use_sim_time', 'start_type_description_service', 'qos_overrides.')
    unknown = [name for name in names if name not in known and not name.startswith(own)]
    return {
        name: next(iter(difflib.get_close_matches(name, known, 1, 0.5)), '') for name in unknown
    }


def to_yaml() -> str:
    """Return all parameters with their defaults and descriptions as a ROS parameter file."""
    import textwrap

    import yaml

    lines = ['# Parameters of the node loftr and their defaults.', '/**:', '  ros__parameters:']
    for field in _FIELDS:
        comment = textwrap.wrap(str(field.metadata['declaration']), 100 - len('    # '))
        value = yaml.safe_dump({field.name: field.default}).strip()
        lines += ['', *(f'    # {line}' for line in comment), f'    {value}']
    return '\n'.join(lines) + '\n'


def _either(choices: tuple[str, ...]) -> str:
    return ' or '.join(choices)


if __name__ == '__main__':
    print(to_yaml(), end='')
