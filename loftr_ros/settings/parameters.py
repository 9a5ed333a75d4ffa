"""The node's parameters in groups: each declared once, with type, range, unit and meaning.

`python -m loftr_ros.settings.parameters` prints config/loftr.yaml, the parameters that people set;
with `--advanced` it prints config/loftr_advanced.yaml, the others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, cast

import numpy as np

from loftr_ros.frontend import Gyroscope, GyroscopeOptions, SessionOptions, TrackerOptions
from loftr_ros.geometry.quaternions import rotation_from_quaternion
from loftr_ros.settings.declarations import (
    Change,
    Declaration,
    ParameterError,
    declare_field,
    plain,
)
from loftr_ros.settings.groups.inputs import InputParameters
from loftr_ros.settings.groups.loops import LoopParameters
from loftr_ros.settings.groups.matcher import MatcherParameters
from loftr_ros.settings.groups.outputs import OdometryParameters, PublishParameters
from loftr_ros.settings.groups.tracking import (
    METRIC,
    TRACKER,
    TWO_VIEW,
    DepthParameters,
    KeyframeParameters,
    PoseParameters,
)

MODES = ('mono', 'stereo', 'rgbd', 'pair')
MOST_NOISE = 10.0
"""Largest value of a noise, in the unit of its parameter."""
_UNIT = 1e-3


@dataclass(frozen=True)
class NodeParameters:
    """Values of all parameters. `pose.min_support` is the field `min_support` of the group `pose`.

    Raises:
        ParameterError: A value is none of the choices or out of its limits.
    """

    mode: str = declare_field(
        'mono',
        'mono: match the frames of one moving camera. stereo: the same with the left of two '
        'cameras, metric by the right one. rgbd: the same, metric by depth images. pair: match two '
        'cameras with each other.',
        choices=MODES,
        basic=True,
    )
    reference: str = declare_field(
        TRACKER.reference,
        'In all modes but pair: match to the frame before, or to a keyframe that lasts.',
        change=Change.ANY_TIME,
        choices=('previous', 'keyframe'),
        basic=True,
    )
    every_frame: str = declare_field(
        'matched',
        'Frames that come while another is matched. matched: the newest waits for its turn, older '
        'ones are dropped. aligned: the points of the last matched frame are followed through '
        'each, at the rate of the camera; those that lose them wait. Not in mode pair, nor with '
        'input.process_every_frame.',
        choices=('matched', 'aligned'),
    )
    autostart: bool = declare_field(
        True,
        'Configure and activate the node by itself; false leaves that to a lifecycle manager.',
        change=Change.AT_START,
    )
    matcher: MatcherParameters = field(default_factory=MatcherParameters)
    input: InputParameters = field(default_factory=InputParameters)
    keyframe: KeyframeParameters = field(default_factory=KeyframeParameters)
    pose: PoseParameters = field(default_factory=PoseParameters)
    depth: DepthParameters = field(default_factory=DepthParameters)
    odometry: OdometryParameters = field(default_factory=OdometryParameters)
    loop: LoopParameters = field(default_factory=LoopParameters)
    publish: PublishParameters = field(default_factory=PublishParameters)

    def __post_init__(self) -> None:
        """Check all values."""
        values = self.values()
        for name, declaration in declarations().items():
            declaration.check(name, values[name])
        nearest, farthest = self.depth.range
        if not 0 <= nearest < farthest:
            raise ParameterError(
                f'depth.range must be two rising depths, 0 m or more, not {list(self.depth.range)}'
            )
        if not all(0 <= value <= MOST_NOISE for value in self.depth.noise):
            raise ParameterError(
                f'depth.noise must be two numbers from 0 to {MOST_NOISE:g}, not '
                f'{list(self.depth.noise)}'
            )
        _check_gyroscope(self.input.gyroscope)

    @property
    def has_odometry(self) -> bool:
        """Whether motion is metric, so that there is odometry to publish."""
        return self.mode in ('stereo', 'rgbd') or (
            self.mode == 'mono' and self.odometry.scale != 'none'
        )

    @property
    def aligns(self) -> bool:
        """Whether frames between matched ones are aligned."""
        return (
            self.every_frame == 'aligned'
            and self.mode != 'pair'
            and not self.input.process_every_frame
        )

    @property
    def needs_transforms(self) -> bool:
        """Whether transforms of the robot may be asked for."""
        return (
            self.mode == 'stereo'
            or (self.has_odometry and self.odometry.extrinsics != 'parameter')
            or (self.has_gyroscope and len(self.input.gyroscope) == 2)
        )

    @property
    def has_gyroscope(self) -> bool:
        """Whether the samples of a gyroscope are taken."""
        return self.mode != 'pair' and self.input.gyroscope[0] > 0

    def make_gyroscope(self) -> Gyroscope | None:
        """Return a gyroscope without samples; None where there is none."""
        if not self.has_gyroscope:
            return None
        noise_density, bias_walk, *quaternion = self.input.gyroscope
        camera_R_imu = rotation_from_quaternion(np.array(quaternion)) if quaternion else None
        return Gyroscope(camera_R_imu, GyroscopeOptions(noise_density, bias_walk))

    def values(self) -> dict[str, Any]:
        """Return the value of each parameter by its name."""
        return {name: attrgetter(name)(self) for name in parameter_fields()}

    def with_values(self, values: Mapping[str, Any]) -> NodeParameters:
        """Return these parameters with other values, by their names.

        Raises:
            ParameterError: A value is wrong.
        """
        groups: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            group, _, entry = name.rpartition('.')
            groups.setdefault(group, {})[entry] = plain(value)
        own = groups.pop('', {})
        changed = {
            group: dataclasses.replace(getattr(self, group), **entries)
            for group, entries in groups.items()
        }
        return dataclasses.replace(self, **own, **changed)

    def changed(self, values: Mapping[str, Any], *, configured: bool) -> NodeParameters:
        """Return these parameters with other `values` (names that are no fields are left out).

        Raises:
            ParameterError: A value is wrong, or cannot change while the node is configured.
        """
        known, before = declarations(), self.values()
        changes = {
            name: value
            for name, value in values.items()
            if name in known and plain(value) != before[name]
        }
        for name in changes:
            if known[name].change is Change.AT_START:
                raise ParameterError(f'{name} is {Change.AT_START.value}')
            if configured and known[name].change is Change.UNCONFIGURED:
                raise ParameterError(
                    f'{name} cannot change while the node is configured: deactivate and clean up '
                    'first (ros2 lifecycle set <node> deactivate, cleanup)'
                )
        return self.with_values(changes)

    def session_options(self) -> SessionOptions:
        """Return the options of a session; two cameras have no loops, and no frames between."""
        searched = self.loop.enabled and self.mode != 'pair'
        loops = self.loop.options() if searched else None
        return SessionOptions(self.tracker_options(), loops, self.aligns)

    def tracker_options(self) -> TrackerOptions:
        """Return the options of the tracker and of its pose estimate."""
        noise, growth = self.depth.noise
        nearest, farthest = self.depth.range
        metric = dataclasses.replace(
            METRIC,
            depth_range=(nearest, farthest),
            depth_noise=noise,
            depth_noise_growth=growth,
        )
        return dataclasses.replace(
            TRACKER,
            reference=self.reference,
            **vars(self.keyframe),
            two_view=dataclasses.replace(TWO_VIEW, **vars(self.pose)),
            metric=metric,
        )


def _check_gyroscope(values: tuple[float, ...]) -> None:
    """Refuse what is no gyroscope.

    Raises:
        ParameterError: It is not.
    """
    noise, quaternion = values[:2], np.array(values[2:])
    if not all(0 <= value <= MOST_NOISE for value in noise):
        raise ParameterError(
            f'input.gyroscope must begin with a noise density and the random walk of the bias, '
            f'from 0 to {MOST_NOISE:g}, not {list(noise)}'
        )
    if len(quaternion) and not (
        len(quaternion) == 4 and abs(float(np.linalg.norm(quaternion)) - 1.0) < _UNIT
    ):
        raise ParameterError(
            'input.gyroscope must end in a unit quaternion qx qy qz qw, or in nothing, not in '
            f'{quaternion.tolist()}'
        )


def parameter_fields() -> dict[str, dataclasses.Field[Any]]:
    """Return the field of each parameter by its name."""
    found: dict[str, dataclasses.Field[Any]] = {}
    for each in dataclasses.fields(NodeParameters):
        if 'declaration' in each.metadata:
            found[each.name] = each
        else:
            group = dataclasses.fields(cast('Any', each.default_factory))
            found |= {f'{each.name}.{inner.name}': inner for inner in group}
    return found


def declarations() -> dict[str, Declaration]:
    """Return the declaration of each parameter by its name."""
    return {name: each.metadata['declaration'] for name, each in parameter_fields().items()}


def to_yaml(*, basic: bool) -> str:
    """Return the basic or the other parameters as a ROS parameter file.

    Each has its default and its description.
    """
    import textwrap

    import yaml

    title = 'that people set' if basic else 'for experts'
    lines = [f'# Parameters of the node loftr {title}, and their defaults.']
    lines += ['/**:', '  ros__parameters:']
    last = ''
    for name, each in parameter_fields().items():
        declaration: Declaration = each.metadata['declaration']
        if declaration.basic is not basic:
            continue
        group, _, entry = name.rpartition('.')
        if group != last:
            lines += ['', f'    {group}:']
            last = group
        indent = '      ' if group else '    '
        comment = textwrap.wrap(str(declaration), 100 - len(f'{indent}# '))
        default = list(each.default) if isinstance(each.default, tuple) else each.default
        value = yaml.safe_dump(default, default_flow_style=True).partition('\n')[0]
        lines += ['', *(f'{indent}# {line}' for line in comment), f'{indent}{entry}: {value}']
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    import sys

    print(to_yaml(basic='--advanced' not in sys.argv[1:]), end='')
