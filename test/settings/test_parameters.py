"""Parameters: one declaration each, wrong values refused with the reason, the file complete."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
import yaml
from rclpy.node import Node
from rclpy.parameter import Parameter

from loftr_ros.frontend import LoopOptions, TrackerOptions
from loftr_ros.ros.descriptors import declare
from loftr_ros.settings.declarations import Change, ParameterError, plain, transform_from_pose
from loftr_ros.settings.parameters import (
    NodeParameters,
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
        'run: python -m loftr_ros.settings.parameters > config/loftr.yaml'
    )
    values = yaml.safe_load(FILE.read_text(encoding='utf-8'))['/**']['ros__parameters']
    values = {name: plain(value) for name, value in values.items()}
    assert values == dataclasses.asdict(NodeParameters())
    assert {name: type(value) for name, value in values.items()} == {
        name: type(value) for name, value in dataclasses.asdict(NodeParameters()).items()
    }


def test_the_defaults_of_the_tracker_are_those_of_the_frontend() -> None:
    options = NodeParameters().tracker_options()
    assert options == TrackerOptions()


def test_the_defaults_of_loops_are_those_of_the_frontend_but_they_are_off() -> None:
    assert NodeParameters().loop_options() == LoopOptions()
    assert not NodeParameters().loop_closures


def test_parameters_reach_the_options_of_loops() -> None:
    options = NodeParameters(
        loop_memory=7, loop_min_age=3.0, loop_interval=0.1, loop_max_steps=4.0, loop_min_inliers=30
    ).loop_options()
    assert options.capacity == 7
    assert options.min_age_s == 3.0
    assert options.interval_s == 0.1
    assert options.max_steps == 4.0
    assert options.min_inliers == 30


def test_parameters_reach_the_options_of_the_tracker() -> None:
    options = NodeParameters(
        reference='previous', keyframe_max_age=3.0, min_matches=33, pose_min_support=7.0
    ).tracker_options()
    assert (options.reference, options.max_age_s) == ('previous', 3.0)
    assert (options.min_matches, options.two_view.min_matches) == (33, 33)
    assert options.two_view.min_support == 7.0
    depths = NodeParameters(depth_max=8.0, depth_noise_growth=0.0).tracker_options().metric
    assert (depths.depth_range, depths.depth_noise_growth) == ((0.1, 8.0), 0.0)


@pytest.mark.parametrize(
    ('values', 'reason'),
    [
        (
            {'mode': 'stereoscopic'},
            "mode must be mono or stereo or rgbd or pair, not 'stereoscopic'",
        ),
        ({'queue_size': 0}, 'queue_size must be between 1 and 1000, not 0'),
        (
            {'pose_min_support': float('nan')},
            'pose_min_support must be between 0 and 100000, not nan',
        ),
        ({'depth_max': 0.05}, 'depth_min must be less than depth_max, not 0.1 m and 0.05 m'),
        ({'base_T_camera': (0.0, 1.0)}, r'base_T_camera must be 7 numbers .* not \[0.0, 1.0\]'),
        ({'left_T_right': (1.0,) * 7}, 'left_T_right must end in a unit quaternion .* length 2'),
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
        {'pose_min_support': 3.0, 'use_sim_time': True}, configured=True
    )
    assert changed == NodeParameters(pose_min_support=3.0)


def test_a_pose_is_given_as_position_and_quaternion() -> None:
    base_T_camera = transform_from_pose(NodeParameters().base_T_camera)
    # The default looks ahead: the optical z is the x of the base, the optical x its -y (REP 103).
    np.testing.assert_allclose(base_T_camera[:3, :3] @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(base_T_camera[:3, :3] @ [1, 0, 0], [0, -1, 0], atol=1e-12)
    moved = transform_from_pose((1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 1.0))
    np.testing.assert_array_equal(moved[:3, 3], [1, 2, 3])


@pytest.mark.parametrize(
    ('parameters', 'expected'),
    [
        (NodeParameters(mode='mono'), False),
        (NodeParameters(mode='mono', odometry_scale='twist'), True),
        (NodeParameters(mode='stereo'), True),
        (NodeParameters(mode='rgbd'), True),
        (NodeParameters(mode='pair', odometry_scale='twist'), False),
    ],
)
def test_there_is_odometry_only_where_metres_are_known(
    parameters: NodeParameters, expected: bool
) -> None:
    assert parameters.has_odometry is expected


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
    assert mode.startswith('mono, stereo, rgbd, pair; can change')
    node.destroy_node()


def test_a_node_takes_the_file(context: rclpy.Context) -> None:
    arguments = ['--ros-args', '--params-file', str(FILE)]
    node = Node('loftr', context=context, cli_args=arguments)
    assert declare(node) == NodeParameters()
    node.destroy_node()


def test_overrides_are_taken(context: rclpy.Context) -> None:
    pose = (0.1, 0.0, 0.3, 0.0, 0.0, 0.0, 1.0)
    node = make_node(context, mode='pair', sync_slop=0.0, base_T_camera=list(pose))
    expected = NodeParameters(mode='pair', sync_slop=0.0, base_T_camera=pose)
    assert declare(node) == expected
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
