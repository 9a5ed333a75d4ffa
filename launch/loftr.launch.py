"""Start the LoFTR node: `ros2 launch loftr_ros loftr.launch.py --show-args` lists the arguments."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

IMAGES = {
    'image': 'images of the camera (mode mono)',
    'image0': 'images of the reference camera (mode pair)',
    'image1': 'images of the query camera (mode pair)',
}
CAMERA_INFOS = {
    'camera_info': 'image',
    'camera_info0': 'image0',
    'camera_info1': 'image1',
}
PARAMETERS = {
    'mode': (str, 'mono: frames of one moving camera; pair: two cameras'),
    'weights': (str, 'lite, outdoor, indoor, or the path of a .safetensors or .ckpt file'),
    'device': (str, 'auto, cpu, cuda, or cuda with a number as in cuda:1'),
    'image_transport': (str, 'raw or compressed'),
    'autostart': (bool, 'configure and activate the node by itself: true or false'),
    'use_sim_time': (bool, 'take the time from /clock: true or false'),
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node with them."""
    default_file = Path(get_package_share_directory('loftr_ros'), 'config', 'loftr.yaml')
    arguments = {
        'namespace': ('', 'namespace of the node and of its relative topics'),
        'node_name': ('loftr', 'name of the node'),
        'parameter_file': (str(default_file), 'YAML file with parameters of the node'),
        **{
            name: ('', f'{description}; when empty the parameter file decides')
            for name, (_, description) in PARAMETERS.items()
        },
        **{name: (name, f'topic: {description}') for name, description in IMAGES.items()},
        **{
            name: ('', f'topic: calibration for {image}; when empty the one beside its topic')
            for name, image in CAMERA_INFOS.items()
        },
        'remappings': ('', "more remappings, as in '~/odometry:=/odom /tf:=/tf_loftr'"),
        'log_level': ('info', 'debug, info, warn, error or fatal'),
    }
    declarations = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in arguments.items()
    ]
    return LaunchDescription([*declarations, OpaqueFunction(function=describe_node)])


def describe_node(context: LaunchContext) -> list[Node]:
    """Return the node as the values of the arguments have it.

    Raises:
        ValueError: a remapping is not of the form from:=to, or the parameter file does not exist.
    """

    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    # Arguments that were not given stay out, so that they never overrule the parameter file.
    given = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, (kind, _) in PARAMETERS.items()
        if value(name)
    }
    parameter_file = Path(value('parameter_file')).expanduser()
    if not parameter_file.is_file():
        raise ValueError(f'parameter_file: there is no file {parameter_file}')
    images = {name: value(name) for name in IMAGES}
    infos = {
        name: value(name) or camera_info_beside(images[image], name)
        for name, image in CAMERA_INFOS.items()
    }
    topics = [(name, topic) for name, topic in {**images, **infos}.items() if topic != name]
    return [
        Node(
            package='loftr_ros',
            executable='loftr_node',
            name=value('node_name'),
            namespace=value('namespace'),
            parameters=[str(parameter_file), *([given] if given else [])],
            remappings=[*topics, *split_remappings(value('remappings'))],
            arguments=['--ros-args', '--log-level', value('log_level')],
            output='both',
            emulate_tty=True,
        )
    ]


def camera_info_beside(image: str, default: str) -> str:
    """Return the calibration topic that drivers publish beside a topic of images.

    /camera/image_raw has its calibration on /camera/camera_info, as image_transport expects it; a
    topic that was not remapped keeps the default.
    """
    if image in IMAGES:
        return default
    namespace, slash, _ = image.rpartition('/')
    return f'{namespace}{slash}camera_info'


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
