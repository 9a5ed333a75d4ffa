"""What a declaration of a parameter holds: meaning, unit, range and when it can change."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.quaternions import rotation_from_quaternion


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
        lengths: Smallest and largest number of entries; None for no array.
        pose: Whether it is a pose: x y z (m) and the quaternion qx qy qz qw.
        basic: Whether it is one of the few that people set; the others are for experts.
    """

    description: str
    change: Change = Change.UNCONFIGURED
    choices: tuple[str, ...] = ()
    limits: tuple[float, float] | None = None
    lengths: tuple[int, int] | None = None
    pose: bool = False
    basic: bool = False

    def check(self, name: str, value: Any) -> None:  # noqa: ANN401 - of the parameter's own type
        """Refuse a value that is none of the choices, outside the limits, too long or no pose.

        Raises:
            ParameterError: It is.
        """
        if self.choices and value not in self.choices:
            raise ParameterError(f'{name} must be {_either(self.choices)}, not {value!r}')
        if self.limits and not self.limits[0] <= value <= self.limits[1]:
            low, high = self.limits
            raise ParameterError(f'{name} must be between {low:g} and {high:g}, not {value!r}')
        if self.lengths and not self.lengths[0] <= len(value) <= self.lengths[1]:
            fewest, most = self.lengths
            expected = f'{fewest}' if fewest == most else f'{fewest} to {most}'
            raise ParameterError(f'{name} must have {expected} entries, not {list(value)}')
        if self.pose:
            _check_pose(name, value)

    def __str__(self) -> str:
        """Describe the parameter in one paragraph."""
        parts = [self.description]
        if self.choices:
            parts.append(f'One of: {", ".join(self.choices)}.')
        if self.limits:
            parts.append(f'From {self.limits[0]:g} to {self.limits[1]:g}.')
        return ' '.join([*parts, f'{self.change.value.capitalize()}.'])


def declare_field(default: Any, description: str, **details: Any) -> Any:  # noqa: ANN401
    """Return a field of a dataclass that is a parameter; for `details` see `Declaration`."""
    return dataclasses.field(
        default=default, metadata={'declaration': Declaration(description, **details)}
    )


def plain(value: Any) -> Any:  # noqa: ANN401 - of the parameter's own type
    """Return a value of rclpy as the dataclass holds it: an array as a tuple."""
    is_array = isinstance(value, Iterable) and not isinstance(value, str)
    return tuple(value) if is_array else value


def transform_from_pose(values: Iterable[float]) -> npt.NDArray[np.float64]:
    """Return the transform (4, 4) of a parameter that is a pose: x y z qx qy qz qw."""
    x, y, z, *quaternion = values
    transform = np.eye(4)
    transform[:3, :3] = rotation_from_quaternion(np.array(quaternion))
    transform[:3, 3] = x, y, z
    return transform


def _check_pose(name: str, values: tuple[float, ...]) -> None:
    if len(values) != 7 or not np.isfinite(values).all():
        raise ParameterError(f'{name} must be 7 numbers x y z qx qy qz qw, not {list(values)}')
    length = float(np.linalg.norm(values[3:]))
    if not abs(length - 1) < 1e-3:
        raise ParameterError(
            f'{name} must end in a unit quaternion qx qy qz qw, not one of length {length:g}'
        )


def _either(choices: tuple[str, ...]) -> str:
    return ' or '.join(choices)
