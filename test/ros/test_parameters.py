"""Parameters: one declaration each, wrong values refused with the reason, the file complete."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
import yaml
from rclpy.node import Node
from rclpy.parameter import Parameter

from loftr_ros.frontend import TrackerOptions
from loftr_ros.ros.descriptors import declare
from loftr_ros.ros.parameters import (
    Change,
    NodeParameters,
    ParameterError,
    declarations,
    to_yaml,
    unknown_names,
)

FILE = Path(__file__).parents[2] / 'config' / 'loftr.yaml'


@pytest.fixture(scope='module')
def context() -> Iterator[rclpy.Context]:
    context = rclpy.Context()
    rclpy.init(context=context)
    yield context
    rclpy.shutdown(context=context)


def make_node(context: rclpy.Context, **overrides: object) -> Node:
    parameters = [Parameter(name, value=value) for name, value in overrides.items()]
    return Node('parameters', context=context, parameter_overrides=parameters)


def test_the_file_holds_all_parameters_with_their_defaults() -> None:
    assert FILE.read_text(encoding='utf-8') == to_yaml(), (
        'run: python -m loftr_ros.ros.parameters > config/loftr.yaml'
    )
    values = yaml.safe_load(FILE.read_text(encoding='utf-8'))['/**']['ros__parameters']
    assert values == dataclasses.asdict(NodeParameters())
    assert [type(value) for value in values.values()] == [
        type(value) for value in dataclasses.asdict(NodeParameters()).values()
    ]


def test_the_defaults_of_the_tracker_are_those_of_the_frontend() -> None:
    options = NodeParameters().tracker_options()
    assert options == TrackerOptions()


def test_parameters_reach_the_options_of_the_tracker() -> None:
    options = NodeParameters(
        reference='previous', keyframe_max_age=3.0, min_matches=33, pose_threshold=0.7
    ).tracker_options()
    assert (options.reference, options.max_age_s) == ('previous', 3.0)
    assert (options.min_matches, options.two_view.min_matches) == (33, 33)
    assert options.two_view.threshold == 0.7


@pytest.mark.parametrize(
    ('values', 'reason'),
    [
        ({'mode': 'stereoscopic'}, "mode must be mono or pair, not 'stereoscopic'"),
        ({'queue_size': 0}, 'queue_size must be between 1 and 1000, not 0'),
        ({'pose_threshold': float('nan')}, 'pose_threshold must be between 0.01 and 100, not nan'),
        ({'keyframe_min_overlap': 1.5}, 'keyframe_min_overlap must be between 0 and 1, not 1.5'),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        NodeParameters(**values)
    with pytest.raises(ParameterError, match=reason):
        NodeParameters().changed(values, configured=False)


def test_what_the_model_depends_on_cannot_change_while_it_is_loaded() -> None:
    parameters = NodeParameters()
    with pytest.raises(ParameterError, match='weights cannot change while the node is configured'):
        parameters.changed({'weights': 'outdoor'}, configured=True)
    assert parameters.changed({'weights': 'outdoor'}, configured=False).weights == 'outdoor'
    assert parameters.changed({'weights': parameters.weights}, configured=True) == parameters


def test_what_holds_for_the_process_never_changes() -> None:
    with pytest.raises(ParameterError, match='num_threads is fixed when the process starts'):
        NodeParameters().changed({'num_threads': 2}, configured=False)


def test_thresholds_change_while_running_and_foreign_names_are_left_alone() -> None:
    changed = NodeParameters().changed(
        {'pose_threshold': 3.0, 'use_sim_time': True}, configured=True
    )
    assert changed == NodeParameters(pose_threshold=3.0)


def test_misspelt_names_come_with_the_nearest_parameter() -> None:
    assert unknown_names(['weigths', 'xyzzy', 'mode', 'use_sim_time', 'qos_overrides./a.b']) == {
        'weigths': 'weights',
        'xyzzy': '',
    }


def test_every_parameter_is_described() -> None:
    for name, declaration in declarations().items():
        assert declaration.description.endswith('.'), name


def test_a_node_declares_all_with_ranges_and_choices(context: rclpy.Context) -> None:
    node = make_node(context)
    assert declare(node) == NodeParameters()
    for name, declaration in declarations().items():
        descriptor = node.describe_parameter(name)
        assert descriptor.description == declaration.description
        assert descriptor.read_only == (declaration.change is Change.AT_START)
        ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
        assert bool(ranges) == (declaration.limits is not None)
    mode = node.describe_parameter('mode').additional_constraints
    assert mode.startswith('mono, pair; can change')
    node.destroy_node()


def test_a_node_takes_the_file(context: rclpy.Context) -> None:
    arguments = ['--ros-args', '--params-file', str(FILE)]
    node = Node('loftr', context=context, cli_args=arguments)
    assert declare(node) == NodeParameters()
    node.destroy_node()


def test_overrides_are_taken(context: rclpy.Context) -> None:
    node = make_node(context, mode='pair', sync_slop=0.0)
    assert declare(node) == NodeParameters(mode='pair', sync_slop=0.0)
    node.destroy_node()


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        ('queue_size', 'many', "'queue_size' to 'many' of type 'STRING', expecting type 'INTEGER'"),
        ('queue_size', 0, 'queue_size out of range'),
        ('reference', 'next', 'reference must be previous or keyframe'),
    ],
)
def test_wrong_overrides_are_refused(
    context: rclpy.Context, name: str, value: object, reason: str
) -> None:
    node = make_node(context, **{name: value})
    with pytest.raises(ParameterError, match=reason):
        declare(node)
    node.destroy_node()
