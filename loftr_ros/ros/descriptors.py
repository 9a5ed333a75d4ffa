"""Declare the parameters on a node, and warn of those that it does not know."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from loftr_ros.settings.declarations import Change, ParameterError, plain
from loftr_ros.settings.parameters import NodeParameters, unknown_names


def declare(node: Node) -> NodeParameters:
    """Declare all parameters and return their values, overrides included.

    Raises:
        ParameterError: An override has the wrong type, is none of the choices or out of range.
    """
    try:
        declared = node.declare_parameters(
            '', [(field.name, field.default, describe(field)) for field in fields()]
        )
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        raise ParameterError(str(error)) from error
    warn_of_unknown(node)
    return NodeParameters(**{each.name: plain(each.value) for each in declared})


def fields() -> tuple[dataclasses.Field[object], ...]:
    """Return the fields of `NodeParameters`, one for each parameter."""
    return dataclasses.fields(NodeParameters)


def describe(field: dataclasses.Field[object]) -> ParameterDescriptor:
    """Return what `ros2 param describe` shows of a parameter."""
    declaration = field.metadata['declaration']
    descriptor = ParameterDescriptor(
        name=field.name,
        description=declaration.description,
        read_only=declaration.change is Change.AT_START,
        additional_constraints='; '.join(
            [*filter(None, [', '.join(declaration.choices)]), declaration.change.value]
        ),
    )
    if declaration.limits is not None:
        low, high = declaration.limits
        if isinstance(field.default, int):
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return descriptor


def overrides(node: Node) -> Collection[str]:
    """Return the names of all parameters that were given a value from outside."""
    # There is no public method to see them without declaring them all.
    names: Collection[str] = getattr(node, '_parameter_overrides', {})
    return names


def warn_of_unknown(node: Node) -> None:
    """Log each override that no parameter takes: most are misspelt."""
    for name, nearest in unknown_names(overrides(node)).items():
        hint = f'; did you mean {nearest}?' if nearest else ''
        node.get_logger().warning(f'there is no parameter {name}: its value is not used{hint}')
