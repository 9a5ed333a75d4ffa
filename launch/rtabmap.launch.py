"""Start the LoFTR node and RTAB-Map on its odometry, with an RGB-D camera.

It takes all arguments of loftr.launch.py; mode is rgbd, and the covariance of the twist is what
RTAB-Map takes it for: `ros2 launch loftr_ros rtabmap.launch.py image:=/rgb/image depth:=/depth`
With `loops:=true` the node looks for loop closures, and RTAB-Map gets them as links of its graph.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from loftr_ros.settings.topics import camera_info_beside, output_topic

GIVEN = {'mode': 'rgbd', 'odometry.twist_covariance': 'displacement'}


def generate_launch_description() -> LaunchDescription:
    """Start both nodes."""
    share = Path(get_package_share_directory('loftr_ros'))
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'rtabmap_file',
                default_value=str(share / 'config' / 'rtabmap_odometry.yaml'),
                description='YAML file with parameters of RTAB-Map',
            ),
            DeclareLaunchArgument(
                'use_sim_time',
                default_value='false',
                description='take the time from /clock, in both nodes: true or false',
            ),
            DeclareLaunchArgument(
                'loops',
                default_value='false',
                choices=['true', 'false'],
                description='send loop closures to RTAB-Map as links of its graph: true or false',
            ),
            OpaqueFunction(function=describe_node),
            OpaqueFunction(function=describe_mapper),
            OpaqueFunction(
                function=describe_loops, condition=IfCondition(LaunchConfiguration('loops'))
            ),
        ]
    )


def describe_node(context: LaunchContext) -> list[IncludeLaunchDescription]:
    """Return the LoFTR node as loftr.launch.py starts it."""
    share = Path(get_package_share_directory('loftr_ros'))
    included = PythonLaunchDescriptionSource(str(share / 'launch' / 'loftr.launch.py'))
    loops = LaunchConfiguration('loops').perform(context) == 'true'
    given = {**GIVEN, 'loop.enabled': 'true'} if loops else GIVEN
    return [IncludeLaunchDescription(included, launch_arguments=given.items())]


def describe_mapper(context: LaunchContext) -> list[Node]:
    """Return RTAB-Map, beside the node in its namespace, on the same images and its odometry."""

    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    image = value('image')
    camera_info = value('camera_info') or camera_info_beside(image, 'image', 'camera_info')
    sim_time = ParameterValue(LaunchConfiguration('use_sim_time'), value_type=bool)
    return [
        Node(
            package='rtabmap_slam',
            executable='rtabmap',
            name='rtabmap',
            namespace=value('namespace'),
            parameters=[value('rtabmap_file'), {'use_sim_time': sim_time}],
            remappings=[
                ('odom', output_topic('odometry', value('node_name'), value('remappings'))),
                ('rgb/image', image),
                ('rgb/camera_info', camera_info),
                ('depth/image', value('depth')),
            ],
            output='both',
        )
    ]


def describe_loops(context: LaunchContext) -> list[Node]:
    """Return the example that sends loop closures, in the namespace of both others."""

    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    examples = Path(get_package_share_directory('loftr_ros')) / 'examples'
    sim_time = ParameterValue(LaunchConfiguration('use_sim_time'), value_type=bool)
    topics = 'odometry', 'relative_pose'
    return [
        Node(
            executable=str(examples / 'rtabmap_loops_node.py'),
            namespace=value('namespace'),
            parameters=[{'use_sim_time': sim_time}],
            remappings=[
                (topic, output_topic(topic, value('node_name'), value('remappings')))
                for topic in topics
            ],
            output='both',
        )
    ]
