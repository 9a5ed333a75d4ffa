"""Declare the parameters on a node, and warn of those that it does not know."""

from __future__ import annotations

import dataclasses
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from loftr_ros.settings.declarations import Change, ParameterError
from loftr_ros.settings.names import is_retired, name_problem
from loftr_ros.settings.parameters import NodeParameters, parameter_fields

_FIELDS = parameter_fields()


def declare(node: Node) -> NodeParameters:
    """Declare all parameters and return their values, overrides included.

    Only a node that was created with `automatically_declare_parameters_from_overrides` knows of
    overrides that no parameter takes.

    Raises:
        ParameterError: An override has the wrong type, is none of the choices or out of range, or
            has a name of version 0.1.
    """
    _take_back_overrides(node)
    try:
        declared = node.declare_parameters(
            '', [(name, each.default, describe(name, each)) for name, each in _FIELDS.items()]
        )
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        raise ParameterError(str(error)) from error
    return NodeParameters().with_values({each.name: each.value for each in declared})


def _take_back_overrides(node: Node) -> None:
    """Undeclare what rclpy declared of itself, and report each name that is no parameter."""
    for name in node.get_parameters_by_prefix(''):
        problem = name_problem(name)
        if is_retired(name):
            raise ParameterError(problem)
        if problem:  # most are misspelt
            node.get_logger().warning(f'{problem} (its value is not used)')
        if problem or name in _FIELDS:
            node.undeclare_parameter(name)


def describe(name: str, field: dataclasses.Field[Any]) -> ParameterDescriptor:
    """Return what `ros2 param describe` shows of a parameter."""
    declaration = field.metadata['declaration']
    descriptor = ParameterDescriptor(
        name=name,
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
