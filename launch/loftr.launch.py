"""Start the LoFTR node: `ros2 launch loftr_ros loftr.launch.py --show-args` lists the arguments."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from loftr_ros.settings.names import REMOVED, RENAMED, name_problem
from loftr_ros.settings.parameters import parameter_fields
from loftr_ros.settings.topics import camera_info_beside

IMAGES = {
    'image': ('image', 'images of the camera (modes mono and rgbd)'),
    'depth': ('depth', 'depth registered to the images (mode rgbd)'),
    'left_image': ('left/image', 'images of the left camera (mode stereo)'),
    'right_image': ('right/image', 'images of the right camera (mode stereo)'),
    'image0': ('image0', 'images of the reference camera (mode pair)'),
    'image1': ('image1', 'images of the query camera (mode pair)'),
}
CAMERA_INFOS = {
    'camera_info': ('camera_info', 'image'),
    'left_camera_info': ('left/camera_info', 'left_image'),
    'right_camera_info': ('right/camera_info', 'right_image'),
    'camera_info0': ('camera_info0', 'image0'),
    'camera_info1': ('camera_info1', 'image1'),
}
OTHER_TOPICS = {
    'speed': ('speed', 'wheel odometry that gives mode mono its scale (odometry.scale)'),
    'imu': ('imu', 'gyroscope that bridges dark frames (input.gyroscope)'),
}
PARAMETERS = {
    'mode': 'mono, stereo or rgbd: frames of a moving camera; pair: two cameras',
    'reference': 'keyframe or previous: the frame that others are matched to',
    'matcher.weights': 'lite, outdoor, indoor, or the path of a .safetensors or .ckpt file',
    'matcher.device': 'auto, cpu, cuda, or cuda with a number as in cuda:1',
    'matcher.longer_side': 'size at which images are matched, px',
    'input.image_transport': 'raw or compressed',
    'input.depth_transport': 'raw, compressedDepth or compressed',
    'input.rectified': 'the images are rectified (image_rect): true or false',
    'odometry.odom_frame': 'frame that odometry starts in',
    'odometry.base_frame': 'frame that odometry is the pose of',
    'odometry.scale': 'scale of mode mono: none, odometry or twist (on the topic speed)',
    'loop.enabled': 'find places again: true or false',
    'publish.tf': 'publish the transform odom_frame -> base_frame: true or false',
    'autostart': 'the node starts itself; false under a lifecycle manager: true or false',
    'use_sim_time': 'take the time from /clock: true or false',
}
"""The usual ones, for --show-args; every other parameter of the node is an argument as well."""
LOG_LEVELS = 'debug', 'info', 'warn', 'error', 'fatal'


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node with them."""
    default_file = Path(get_package_share_directory('loftr_ros'), 'config', 'loftr.yaml')
    arguments = {
        'namespace': ('', 'namespace of the node and of its relative topics'),
        'node_name': ('loftr', 'name of the node'),
        'parameters': (str(default_file), 'YAML file with parameters of the node'),
        **{
            name: ('', f'{description}; when empty the file of parameters decides')
            for name, description in PARAMETERS.items()
        },
        **{
            name: (topic, f'topic: {description}')
            for name, (topic, description) in {**IMAGES, **OTHER_TOPICS}.items()
        },
        **{
            name: ('', f'topic: calibration for {image}; when empty the one beside its topic')
            for name, (_, image) in CAMERA_INFOS.items()
        },
        'remappings': ('', "more remappings, as in '~/odometry:=/odom /tf:=/tf_loftr'"),
        'log_level': ('info', 'debug, info, warn, error or fatal'),
        'respawn': ('false', 'start the node again when it ends by itself: true or false'),
    }
    declarations = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in arguments.items()
    ]
    return LaunchDescription(
        [*declarations, OpaqueFunction(function=describe_node, args=[[*arguments]])]
    )


def describe_node(context: LaunchContext, declared: list[str]) -> list[Node]:
    """Return the node as the values of the arguments have it, those `declared` and parameters.

    Raises:
        ValueError: an argument has a value that it cannot have, or a name of version 0.1.
    """

    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    types = parameter_types()
    check_names(context, [*declared, *types])
    # Arguments that were not given stay out, so that they never overrule the file of parameters.
    given = {
        name: truth(name, value(name))
        if kind is bool
        else ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, kind in types.items()
        if context.launch_configurations.get(name)
    }
    parameter_file = Path(value('parameters')).expanduser()
    if not parameter_file.is_file():
        raise ValueError(f'parameters: there is no file {parameter_file}')
    if value('log_level').lower() not in LOG_LEVELS:
        raise ValueError(f'log_level: {value("log_level")!r} is none of {", ".join(LOG_LEVELS)}')
    topics = {topic: value(name) for name, (topic, _) in {**IMAGES, **OTHER_TOPICS}.items()}
    for name, (topic, image) in CAMERA_INFOS.items():
        default = IMAGES[image][0]
        topics[topic] = value(name) or camera_info_beside(
            value(image), unmapped=default, default=topic
        )
    remapped = [(topic, other) for topic, other in topics.items() if other != topic]
    return [
        Node(
            package='loftr_ros',
            executable='loftr_node',
            name=value('node_name'),
            namespace=value('namespace'),
            parameters=[str(parameter_file), *([given] if given else [])],
            remappings=[*remapped, *split_remappings(value('remappings'))],
            arguments=['--ros-args', '--log-level', value('log_level')],
            output='both',
            emulate_tty=True,
            respawn=truth('respawn', value('respawn')),
            respawn_delay=2.0,
        )
    ]


def truth(name: str, text: str) -> bool:
    """Read true or false.

    Raises:
        ValueError: it is neither.
    """
    if text.lower() not in ('true', 'false'):
        raise ValueError(f'{name}: {text!r} is neither true nor false')
    return text.lower() == 'true'


def parameter_types() -> dict[str, Any]:
    """Return the type of each parameter of the node by its name."""
    types: dict[str, Any] = {'use_sim_time': bool}
    for name, field in parameter_fields().items():
        default = field.default
        types[name] = list[type(default[0])] if isinstance(default, tuple) else type(default)
    return types


def check_names(context: LaunchContext, declared: Iterable[str]) -> None:
    """Warn of arguments of the command line that look misspelt.

    Raises:
        ValueError: an argument has a name of version 0.1, and the one of now is not given.
    """
    given = context.launch_configurations
    for name, successor in RENAMED.items():
        if name in given and name not in declared and not given.get(successor):
            raise ValueError(f'launch argument: {name_problem(name)}')
    # Others may belong to a file that includes this one.
    for name in (argument.partition(':=')[0] for argument in context.argv):
        if name not in declared and name_problem(name):
            nearest = difflib.get_close_matches(name, declared, 1, 0.75)
            if name in REMOVED or nearest:
                hint = f'; did you mean {nearest[0]}?' if nearest else ''
                problem = name_problem(name) if name in REMOVED else f'there is no {name}{hint}'
                get_logger('loftr.launch').warning(f'launch argument: {problem}')


def split_remappings(text: str) -> list[tuple[str, str]]:
    """Split 'from:=to from:=to' into pairs.

    Raises:
        ValueError: a part is not of that form.
    """
    pairs = []
    for part in text.split():
        source, separator, target = part.partition(':=')
        if not (source and separator and target):
            raise ValueError(f'remappings: {part!r} is not of the form from:=to')
        pairs.append((source, target))
    return pairs
