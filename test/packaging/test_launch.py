"""The launch file, run by the real launch; a stand-in for the node reports how it was started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip('launch_ros', reason='launch_ros is not installed (it comes with ROS 2)')

ROOT = Path(__file__).parents[2]

STAND_IN = f"""#!{sys.executable}
import json, os, sys
spaces = [a[6:].strip('/').replace('/', '_') for a in sys.argv if a.startswith('__ns:=')]
files = [open(sys.argv[i + 1]).read() for i, a in enumerate(sys.argv) if a == '--params-file']
name = os.path.basename(sys.argv[0]) + ''.join(spaces)
with open(os.path.join(os.environ['REPORTS'], name), 'w') as report:
    json.dump({{'argv': sys.argv[1:], 'files': files}}, report)
"""

LAUNCHER = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource
source = AnyLaunchDescriptionSource(sys.argv[1])
arguments = [tuple(argument.split(':=', 1)) for argument in sys.argv[2:]]
service = LaunchService(argv=sys.argv[2:], noninteractive=True)
included = IncludeLaunchDescription(source, launch_arguments=arguments)
service.include_launch_description(LaunchDescription([included]))
sys.exit(service.run())
"""


class Launch:
    """A package prefix with the stand-in, and `launch_ros` to start it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        share = folder / 'share' / 'loftr_ros'
        share.mkdir(parents=True)
        for name in ('config', 'launch'):
            (share / name).symlink_to(ROOT / name)
        self.add_program('loftr_ros', 'loftr_node')
        prefixes = [str(folder), *os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)]
        self.environment = {
            **os.environ,
            'AMENT_PREFIX_PATH': os.pathsep.join(filter(None, prefixes)),
            'REPORTS': str(folder),
            'ROS_LOG_DIR': str(folder / 'log'),
        }
        self.file = share / 'launch' / 'loftr.launch.py'

    def add_program(self, package: str, name: str) -> None:
        """Put a stand-in where a package has a program."""
        index = self.folder / 'share' / 'ament_index' / 'resource_index' / 'packages'
        index.mkdir(parents=True, exist_ok=True)
        (index / package).touch()
        program = self.folder / 'lib' / package / name
        program.parent.mkdir(parents=True)
        program.write_text(STAND_IN)
        program.chmod(0o755)

    @property
    def report(self) -> Path:
        """What the stand-in of the node leaves."""
        return next(iter(self.folder.glob('loftr_node*')), self.folder / 'loftr_node')

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Launch with arguments as on the command line."""
        return subprocess.run(
            [sys.executable, '-c', LAUNCHER, self.file, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def started_with(self, *arguments: str) -> tuple[list[str], dict[str, Any]]:
        """Return the arguments and the last parameter file that the node was started with."""
        result = self.run(*arguments)
        assert self.report.exists(), result.stdout + result.stderr
        return self.read(self.report)

    @staticmethod
    def read(report: Path) -> tuple[list[str], dict[str, Any]]:
        """Return the arguments and the last parameter file of a stand-in."""
        found = json.loads(report.read_text())
        return found['argv'], yaml.safe_load(found['files'][-1])


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    return Launch(tmp_path)


def test_without_arguments_the_parameter_file_of_the_package_decides(launch: Launch) -> None:
    argv, parameters = launch.started_with()
    assert '__node:=loftr' in argv
    assert parameters == yaml.safe_load((ROOT / 'config' / 'loftr.yaml').read_text())


def test_arguments_become_parameters_of_their_type_for_the_named_node(launch: Launch) -> None:
    argv, parameters = launch.started_with(
        'namespace:=robot',
        'node_name:=eye',
        'mode:=pair',
        'matcher.weights:=1234',
        'matcher.device:=cuda:1',
        'use_sim_time:=true',
        'autostart:=false',
    )
    assert {'__node:=eye', '__ns:=/robot'} <= set(argv)
    assert parameters['/robot/eye']['ros__parameters'] == {
        'mode': 'pair',
        'matcher.weights': '1234',
        'matcher.device': 'cuda:1',
        'use_sim_time': True,
        'autostart': False,
    }


def rules_of(argv: list[str]) -> set[str]:
    """Return the remapping rules among the arguments of a node."""
    return {argv[i + 1] for i, argument in enumerate(argv) if argument == '-r'}


def test_topics_and_remappings_become_rules(launch: Launch) -> None:
    argv, _ = launch.started_with('image:=/cam', 'remappings:=~/odometry:=/odom /tf:=/robot/tf')
    assert {'image:=/cam', '~/odometry:=/odom', '/tf:=/robot/tf'} <= rules_of(argv)
    assert not any(rule.startswith(('image0', 'camera_info0')) for rule in rules_of(argv))


@pytest.mark.parametrize(
    ('image', 'camera_info'),
    [
        ('/cam/image_raw', '/cam/camera_info'),
        ('left/image', 'left/camera_info'),
        ('/picture', '/camera_info'),
        ('/cam/image_raw/compressed', '/cam/camera_info'),
        ('cam/image_raw/compressed', 'cam/camera_info'),
        ('/compressed', '/camera_info'),
    ],
)
def test_calibration_is_expected_beside_the_images(
    launch: Launch, image: str, camera_info: str
) -> None:
    argv, _ = launch.started_with(f'image0:={image}')
    assert rules_of(argv) >= {f'image0:={image}', f'camera_info0:={camera_info}'}


def test_the_topics_of_a_stereo_pair_are_arguments(launch: Launch) -> None:
    argv, parameters = launch.started_with(
        'mode:=stereo', 'left_image:=/cam/left/image_rect', 'right_image:=/cam/right/image_rect'
    )
    expected = {f'{side}/image:=/cam/{side}/image_rect' for side in ('left', 'right')}
    expected |= {f'{side}/camera_info:=/cam/{side}/camera_info' for side in ('left', 'right')}
    assert expected <= rules_of(argv)
    assert parameters['/loftr']['ros__parameters'] == {'mode': 'stereo'}


def test_depth_and_its_transport_are_arguments(launch: Launch) -> None:
    argv, parameters = launch.started_with(
        'mode:=rgbd',
        'image:=/cam/color/image_raw',
        'depth:=/cam/aligned_depth_to_color/image_raw',
        'input.depth_transport:=compressedDepth',
        'odometry.base_frame:=robot',
        'publish.tf:=false',
    )
    assert rules_of(argv) >= {
        'image:=/cam/color/image_raw',
        'camera_info:=/cam/color/camera_info',
        'depth:=/cam/aligned_depth_to_color/image_raw',
    }
    assert parameters['/loftr']['ros__parameters'] == {
        'mode': 'rgbd',
        'input.depth_transport': 'compressedDepth',
        'odometry.base_frame': 'robot',
        'publish.tf': False,
    }


def test_calibration_may_come_from_anywhere(launch: Launch) -> None:
    argv, _ = launch.started_with('image:=/cam/image_raw', 'camera_info:=/calibration')
    assert rules_of(argv) >= {'image:=/cam/image_raw', 'camera_info:=/calibration'}


def test_a_parameter_file_of_ones_own_replaces_the_default(launch: Launch, tmp_path: Path) -> None:
    own = tmp_path / 'own.yaml'
    own.write_text('/**:\n  ros__parameters:\n    mode: pair\n')
    _, parameters = launch.started_with(f'parameters:={own}')
    assert parameters == {'/**': {'ros__parameters': {'mode': 'pair'}}}


@pytest.mark.parametrize(
    ('argument', 'complaint'),
    [
        ('remappings:=image', "remappings: 'image' is not of the form from:=to"),
        ('longer_side:=320', 'longer_side is called matcher.longer_side since version 0.2'),
        ('parameters:=/nowhere.yaml', 'parameters: there is no file /nowhere.yaml'),
        ('log_level:=loud', "log_level: 'loud' is none of debug, info, warn, error, fatal"),
        ('respawn:=perhaps', "respawn: 'perhaps' is neither true nor false"),
        ('autostart:=perhaps', "autostart: 'perhaps' is neither true nor false"),
        ('node_name:=two words', 'two words'),
    ],
)
def test_a_wrong_argument_is_named(launch: Launch, argument: str, complaint: str) -> None:
    result = launch.run(argument)
    assert result.returncode != 0
    assert complaint in result.stdout + result.stderr
    assert 'Traceback' not in result.stdout + result.stderr
    assert not launch.report.exists()


def test_every_parameter_is_an_argument_of_its_type(launch: Launch) -> None:
    values = {'pose.min_support': 5, 'input.queue_size': 7, 'depth.range': [0.2, 9.0]}
    values |= {'matcher.try_views': True, 'input.masks': ['a.png', 'b.png']}
    _, parameters = launch.started_with(*(f'{name}:={value}' for name, value in values.items()))
    assert parameters['/loftr']['ros__parameters'] == values


def test_a_misspelt_argument_is_named_with_its_like(launch: Launch) -> None:
    result = launch.run('pose.min_suport:=5', 'camera_inf:=/info', 'rviz:=true')
    said = result.stdout + result.stderr
    assert 'there is no pose.min_suport; did you mean pose.min_support?' in said
    assert 'there is no camera_inf; did you mean camera_info?' in said
    assert 'rviz' not in said  # it may belong to a file that includes this one
    assert launch.report.exists()


def test_a_file_that_has_an_argument_of_an_old_name_can_include_this_one(launch: Launch) -> None:
    _, parameters = launch.started_with('base_frame:=other', 'odometry.base_frame:=robot')
    assert parameters['/loftr']['ros__parameters'] == {'odometry.base_frame': 'robot'}


def test_every_argument_is_described(launch: Launch) -> None:
    from launch.launch_description_sources import get_launch_description_from_any_launch_file

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('AMENT_PREFIX_PATH', launch.environment['AMENT_PREFIX_PATH'])
        description = get_launch_description_from_any_launch_file(str(launch.file))
    described = {
        argument.name: argument.description for argument in description.get_launch_arguments()
    }
    wanted = {'mode', 'image', 'camera_info', 'image0', 'image1', 'camera_info0', 'camera_info1'}
    wanted |= {'namespace', 'node_name', 'parameters', 'matcher.weights', 'use_sim_time'}
    wanted |= {'autostart', 'remappings', 'left_image', 'right_image', 'depth', 'speed', 'imu'}
    assert wanted <= described.keys()
    assert all(described.values())


def test_the_filter_starts_beside_the_node_and_publishes_its_transform(launch: Launch) -> None:
    launch.add_program('robot_localization', 'ekf_node')
    launch.file = launch.file.with_name('robot_localization.launch.py')
    argv, parameters = launch.started_with('mode:=rgbd', 'depth:=/d', 'use_sim_time:=true')
    assert 'depth:=/d' in rules_of(argv)
    assert parameters['/loftr']['ros__parameters'] == {
        'mode': 'rgbd',
        'publish.tf': False,
        'use_sim_time': True,
    }
    report = launch.folder / 'ekf_node'
    argv, parameters = launch.read(report)
    assert '__node:=ekf_filter_node' in argv
    assert parameters == {'/ekf_filter_node': {'ros__parameters': {'use_sim_time': True}}}
    first = yaml.safe_load(json.loads(report.read_text())['files'][0])
    file = ROOT / 'config' / 'robot_localization_ekf.yaml'
    assert first == yaml.safe_load(file.read_text())


@pytest.mark.parametrize(
    ('arguments', 'odometry'),
    [
        (['namespace:=robot', 'node_name:=eye'], 'eye/odometry'),
        (['node_name:=eye'], 'eye/odometry'),
        (['remappings:=~/odometry:=/odom'], '/odom'),
    ],
)
def test_the_filter_receives_the_odometry_wherever_the_node_publishes_it(
    launch: Launch, arguments: list[str], odometry: str
) -> None:
    launch.add_program('robot_localization', 'ekf_node')
    launch.file = launch.file.with_name('robot_localization.launch.py')
    node, _ = launch.started_with('mode:=rgbd', *arguments)
    argv, _ = launch.read(next(launch.folder.glob('ekf_node*')))
    namespaces = [{each for each in words if each.startswith('__ns:=')} for words in (node, argv)]
    assert namespaces[0] == namespaces[1]
    rules = rules_of(argv)
    assert {f'/loftr/odometry:={odometry}', f'loftr/odometry:={odometry}'} <= rules


def test_rtabmap_starts_on_the_same_images_and_the_odometry(launch: Launch) -> None:
    launch.add_program('rtabmap_slam', 'rtabmap')
    launch.file = launch.file.with_name('rtabmap.launch.py')
    argv, parameters = launch.started_with(
        'image:=/cam/color/image_raw', 'depth:=/cam/depth', 'namespace:=robot', 'node_name:=eye'
    )
    assert parameters['/robot/eye']['ros__parameters'] == {
        'mode': 'rgbd',
        'odometry.twist_covariance': 'displacement',
        'use_sim_time': False,
    }
    argv, _ = launch.read(next(launch.folder.glob('rtabmap*')))
    assert '__ns:=/robot' in argv
    assert rules_of(argv) == {
        'odom:=eye/odometry',
        'rgb/image:=/cam/color/image_raw',
        'rgb/camera_info:=/cam/color/camera_info',
        'depth/image:=/cam/depth',
    } | {rule for rule in rules_of(argv) if rule.startswith('__')}


def test_rtabmap_gets_loop_closures_where_they_are_asked_for(launch: Launch) -> None:
    launch.add_program('rtabmap_slam', 'rtabmap')
    examples = launch.file.parents[1] / 'examples'
    examples.mkdir()
    program = examples / 'rtabmap_loops_node.py'
    assert (ROOT / 'examples' / program.name).stat().st_mode & 0o100
    program.write_text(STAND_IN)
    program.chmod(0o755)
    launch.file = launch.file.with_name('rtabmap.launch.py')
    arguments = ('namespace:=robot', 'node_name:=eye', 'depth:=/cam/depth', 'loops:=true')
    _, parameters = launch.started_with(*arguments)
    assert parameters['/robot/eye']['ros__parameters']['loop.enabled'] is True
    argv, _ = launch.read(next(launch.folder.glob('rtabmap_loops_node*')))
    assert '__ns:=/robot' in argv
    rules = {'odometry:=eye/odometry', 'relative_pose:=eye/relative_pose'}
    assert rules <= rules_of(argv)


@pytest.mark.parametrize('namespace', ['/', '/robot'])
def test_the_filter_takes_its_file_in_each_namespace(namespace: str) -> None:
    rclpy = pytest.importorskip('rclpy')
    file = ROOT / 'config' / 'robot_localization_ekf.yaml'
    context = rclpy.Context()
    arguments = ['--ros-args', '--params-file', str(file), '-r', f'__ns:={namespace}']
    rclpy.init(args=arguments, context=context)
    node = rclpy.create_node(
        'ekf_filter_node', context=context, automatically_declare_parameters_from_overrides=True
    )
    assert node.get_parameter('odom0').value == '/loftr/odometry'
    node.destroy_node()
    rclpy.shutdown(context=context)


DYING = f"""#!{sys.executable}
import os, signal, sys
starts = os.path.join(os.environ['REPORTS'], 'starts')
with open(starts, 'a') as file:
    file.write('x')
if os.path.getsize(starts) == 2:
    os.kill(os.getppid(), signal.SIGINT)
sys.exit(1)
"""


@pytest.mark.parametrize(('respawn', 'starts'), [('true', 2), ('false', 1)])
def test_a_node_that_dies_is_started_again_where_that_is_wanted(
    launch: Launch, respawn: str, starts: int
) -> None:
    (launch.folder / 'lib' / 'loftr_ros' / 'loftr_node').write_text(DYING)
    launch.run(f'respawn:={respawn}')
    assert (launch.folder / 'starts').stat().st_size == starts


def test_two_cameras_share_no_arguments(launch: Launch) -> None:
    launch.file = launch.file.with_name('two_cameras.launch.py')
    result = launch.run()
    reports = {name: launch.folder / f'loftr_node{name}' for name in ('front', 'rear')}
    assert all(report.exists() for report in reports.values()), result.stdout + result.stderr
    argv, parameters = launch.read(reports['front'])
    assert parameters['/front/loftr']['ros__parameters'] == {'mode': 'rgbd'}
    assert 'depth:=depth/image_raw' in rules_of(argv)
    argv, parameters = launch.read(reports['rear'])
    assert '/rear/loftr' not in parameters, 'the mode of the other camera'
    assert 'image:=image_raw' in rules_of(argv)
    assert not any(rule.startswith('depth:=') for rule in rules_of(argv))
