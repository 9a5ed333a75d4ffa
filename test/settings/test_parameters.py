"""Parameters: one declaration each, wrong values refused with the reason, the file complete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from loftr_ros.settings.groups.outputs import OdometryParameters
from loftr_ros.settings.groups.tracking import PoseParameters
from loftr_ros.settings.parameters import (
    NodeParameters,
    declarations,
    to_yaml,
)

CONFIG = Path(__file__).parents[2] / 'config'
BASIC, ADVANCED = CONFIG / 'loftr.yaml', CONFIG / 'loftr_advanced.yaml'


@pytest.fixture(scope='module')
def context() -> Iterator[rclpy.Context]:
    context = rclpy.Context()
    rclpy.init(context=context)
    yield context
    rclpy.shutdown(context=context)


def make_node(context: rclpy.Context, values: Mapping[str, object] | None = None) -> Node:
    return Node(
        'parameters',
        context=context,
        parameter_overrides=[Parameter(name, value=v) for name, v in (values or {}).items()],
        automatically_declare_parameters_from_overrides=True,
    )


def test_the_files_hold_all_parameters_with_their_defaults() -> None:
    for file, option, basic in ((BASIC, '', True), (ADVANCED, ' --advanced', False)):
        assert file.read_text(encoding='utf-8') == to_yaml(basic=basic), (
            f'run: python -m loftr_ros.settings.parameters{option} > config/{file.name}'
        )
    found: dict[str, Any] = {}
    for file in (BASIC, ADVANCED):
        content = yaml.safe_load(file.read_text(encoding='utf-8'))['/**']['ros__parameters']
        for name, value in content.items():
            entries = value.items() if isinstance(value, dict) else [('', value)]
            found |= {f'{name}.{key}'.rstrip('.'): plain(entry) for key, entry in entries}
    assert found == NodeParameters().values()
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in NodeParameters().values().items()
    }


def test_there_are_few_enough_to_read() -> None:
    known = declarations()
    assert len(known) <= 45
    assert sum(each.basic for each in known.values()) <= 15
    assert sum(name.startswith('pose.') for name in known) <= 10


def test_the_defaults_of_the_tracker_are_those_of_the_frontend() -> None:
    options = NodeParameters().tracker_options()
    assert options == TrackerOptions()


def test_the_defaults_of_loops_are_those_of_the_frontend_but_they_are_off() -> None:
    assert NodeParameters().loop.options() == LoopOptions()
    assert NodeParameters().session_options().loops is None


def test_two_cameras_have_no_loops() -> None:
    parameters = NodeParameters().with_values({'loop.enabled': True})
    assert parameters.session_options().loops is not None
    assert parameters.with_values({'mode': 'pair'}).session_options().loops is None


@pytest.mark.parametrize(
    ('values', 'reason'),
    [
        (
            {'mode': 'stereoscopic'},
            "mode must be mono or stereo or rgbd or pair, not 'stereoscopic'",
        ),
        ({'input.queue_size': 0}, 'input.queue_size must be between 1 and 1000, not 0'),
        (
            {'pose.min_support': float('nan')},
            'pose.min_support must be between 0 and 100000, not nan',
        ),
        ({'depth.range': (0.1, 0.05)}, r'depth.range must be two rising depths.* \[0.1, 0.05\]'),
        ({'depth.noise': (0.1, -1.0)}, r'depth.noise must be two numbers from 0 to 10'),
        ({'input.gyroscope': (0.1,)}, r'input.gyroscope must have 2 to 6 entries'),
        ({'input.gyroscope': (-0.1, 0.0)}, r'must begin with a noise density .* \[-0.1, 0.0\]'),
        ({'input.gyroscope': (0.1, 0.0, 1.0, 0.0)}, r'must end in a unit quaternion .* \[1.0'),
        ({'input.gyroscope': (0.1, 0.0, *[1.0] * 4)}, 'must end in a unit quaternion'),
        ({'depth.range': (0.1,)}, r'depth.range must have 2 entries, not \[0.1\]'),
        ({'input.masks': ('a', 'b', 'c')}, r'input.masks must have 1 to 2 entries, not .*c'),
        (
            {'odometry.base_T_camera': (0.0, 1.0)},
            r'odometry.base_T_camera must be 7 numbers .* not \[0.0, 1.0\]',
        ),
        (
            {'input.left_T_right': (1.0,) * 7},
            'input.left_T_right must end in a unit quaternion .* length 2',
        ),
        ({'keyframe.min_overlap': 1.5}, 'keyframe.min_overlap must be between 0 and 1, not 1.5'),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        NodeParameters().with_values(values)
    with pytest.raises(ParameterError, match=reason):
        NodeParameters().changed(values, configured=False)


def test_what_the_model_depends_on_cannot_change_while_it_is_loaded() -> None:
    parameters = NodeParameters()
    with pytest.raises(
        ParameterError, match=r'matcher\.weights cannot change while the node is configured'
    ):
        parameters.changed({'matcher.weights': 'outdoor'}, configured=True)
    changed = parameters.changed({'matcher.weights': 'outdoor'}, configured=False)
    assert changed.matcher.weights == 'outdoor'
    assert parameters.changed({'matcher.weights': 'lite'}, configured=True) == parameters


def test_what_holds_for_the_process_never_changes() -> None:
    with pytest.raises(
        ParameterError, match=r'matcher\.num_threads is fixed when the process starts'
    ):
        NodeParameters().changed({'matcher.num_threads': 2}, configured=False)


def test_thresholds_change_while_running_and_foreign_names_are_left_alone() -> None:
    changed = NodeParameters().changed(
        {'pose.min_support': 3.0, 'use_sim_time': True}, configured=True
    )
    assert changed == NodeParameters(pose=PoseParameters(min_support=3.0))


def test_a_pose_is_given_as_position_and_quaternion() -> None:
    base_T_camera = transform_from_pose(NodeParameters().odometry.base_T_camera)
    # The default looks ahead: the optical z is the x of the base, the optical x its -y (REP 103).
    np.testing.assert_allclose(base_T_camera[:3, :3] @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(base_T_camera[:3, :3] @ [1, 0, 0], [0, -1, 0], atol=1e-12)
    moved = transform_from_pose((1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 1.0))
    np.testing.assert_array_equal(moved[:3, 3], [1, 2, 3])


@pytest.mark.parametrize(
    ('parameters', 'expected'),
    [
        (NodeParameters(mode='mono'), False),
        (NodeParameters(mode='mono', odometry=OdometryParameters(scale='twist')), True),
        (NodeParameters(mode='stereo'), True),
        (NodeParameters(mode='rgbd'), True),
        (NodeParameters(mode='pair', odometry=OdometryParameters(scale='twist')), False),
    ],
)
def test_there_is_odometry_only_where_metres_are_known(
    parameters: NodeParameters, expected: bool
) -> None:
    assert parameters.has_odometry is expected


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


def test_a_node_takes_the_files(context: rclpy.Context) -> None:
    arguments = ['--ros-args', '--params-file', str(BASIC), '--params-file', str(ADVANCED)]
    arguments += ['-p', 'pose.min_support:=3.0']
    node = Node(
        'loftr',
        context=context,
        cli_args=arguments,
        automatically_declare_parameters_from_overrides=True,
    )
    assert declare(node) == NodeParameters(pose=PoseParameters(min_support=3.0))
    node.destroy_node()


def test_overrides_are_taken(context: rclpy.Context) -> None:
    pose = (0.1, 0.0, 0.3, 0.0, 0.0, 0.0, 1.0)
    values = {'mode': 'pair', 'input.sync_slop': 0.0, 'odometry.base_T_camera': list(pose)}
    values |= {'input.masks': ['a.png', 'b.png']}
    node = make_node(context, values)
    assert declare(node) == NodeParameters().with_values(values)
    node.destroy_node()


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        (
            'input.queue_size',
            'many',
            "'input.queue_size' to 'many' of type 'STRING', expecting type 'INTEGER'",
        ),
        ('input.queue_size', 0, 'input.queue_size out of range'),
        ('reference', 'next', 'reference must be previous or keyframe'),
        ('queue_size', 7, 'queue_size is called input.queue_size since version 0.2'),
        ('path_length', 7, 'path_length is no parameter since version 0.2: ~/path holds 1000'),
    ],
)
def test_wrong_overrides_are_refused(
    context: rclpy.Context, name: str, value: object, reason: str
) -> None:
    node = make_node(context, {name: value})
    with pytest.raises(ParameterError, match=reason):
        declare(node)
    node.destroy_node()


def test_a_name_that_no_parameter_has_is_reported_and_not_declared(
    context: rclpy.Context, capfd: pytest.CaptureFixture[str]
) -> None:
    node = make_node(context, {'pose.min_suport': 3.0, 'qos_overrides./image.x': 'reliable'})
    assert declare(node) == NodeParameters()
    assert not node.has_parameter('pose.min_suport')
    assert node.has_parameter('qos_overrides./image.x')
    node.destroy_node()
    said = capfd.readouterr().err
    assert 'there is no parameter pose.min_suport; did you mean pose.min_support?' in said
    assert 'qos_overrides' not in said


def test_a_gyroscope_is_there_where_its_noise_is_given_and_one_camera_moves() -> None:
    parameters = NodeParameters()
    assert parameters.make_gyroscope() is None
    given = parameters.with_values({'input.gyroscope': (1e-3, 1e-5)})
    gyroscope = given.make_gyroscope()
    assert gyroscope is not None
    assert gyroscope.camera_R_imu is None
    assert given.needs_transforms
    assert given.with_values({'mode': 'pair'}).make_gyroscope() is None
    mounted = given.with_values({'input.gyroscope': (1e-3, 1e-5, 0.0, 0.0, 1.0, 0.0)})
    assert not mounted.needs_transforms
    gyroscope = mounted.make_gyroscope()
    assert gyroscope is not None
    assert gyroscope.camera_R_imu is not None
    np.testing.assert_allclose(gyroscope.camera_R_imu, np.diag([-1.0, -1.0, 1.0]), atol=1e-12)
