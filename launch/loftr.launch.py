"""Start the LoFTR node: `ros2 launch loftr_ros loftr.launch.py --show-args` lists the arguments."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

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
    'speed': ('speed', 'wheel odometry that gives mode mono its scale (odometry_scale)'),
}
PARAMETERS = {
    'mode': (str, 'mono, stereo or rgbd: frames of a moving camera; pair: two cameras'),
    'weights': (str, 'lite, outdoor, indoor, or the path of a .safetensors or .ckpt file'),
    'device': (str, 'auto, cpu, cuda, or cuda with a number as in cuda:1'),
    'image_transport': (str, 'raw or compressed'),
    'depth_transport': (str, 'raw or compressedDepth'),
    'odom_frame': (str, 'frame that odometry starts in'),
    'base_frame': (str, 'frame that odometry is the pose of'),
    'odometry_scale': (str, 'scale of mode mono: none, odometry or twist (on the topic speed)'),
    'publish_tf': (bool, 'publish the transform odom_frame -> base_frame: true or false'),
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
    topics = {topic: value(name) for name, (topic, _) in {**IMAGES, **OTHER_TOPICS}.items()}
    for name, (topic, image) in CAMERA_INFOS.items():
        default = IMAGES[image][0]
        topics[topic] = value(name) or camera_info_beside(value(image), default, topic)
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
        )
    ]


def camera_info_beside(image: str, unmapped: str, default: str) -> str:
    """Return the calibration topic that drivers publish beside a topic of images.

    /camera/image_raw has its calibration on /camera/camera_info, as image_transport expects it; a
    topic that was not remapped keeps the default.
    """
    if image == unmapped:
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
