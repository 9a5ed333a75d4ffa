"""Start the LoFTR node and RTAB-Map on its odometry, with an RGB-D camera.

It takes all arguments of loftr.launch.py; mode is rgbd, and the covariance of the twist is what
RTAB-Map takes it for: `ros2 launch loftr_ros rtabmap.launch.py image:=/rgb/image depth:=/depth`
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from loftr_ros.settings.topics import camera_info_beside, odometry_topic

GIVEN = {'mode': 'rgbd', 'odometry.twist_covariance': 'displacement'}


def generate_launch_description() -> LaunchDescription:
    """Start both nodes."""
    share = Path(get_package_share_directory('loftr_ros'))
    included = PythonLaunchDescriptionSource(str(share / 'launch' / 'loftr.launch.py'))
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
            IncludeLaunchDescription(included, launch_arguments=GIVEN.items()),
            OpaqueFunction(function=describe_mapper),
        ]
    )


def describe_mapper(context: LaunchContext) -> list[Node]:
    """Return RTAB-Map, beside the node in its namespace, on the same images and its odometry."""

    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    image = value('image')
    camera_info = value('camera_info') or camera_info_beside(
        image, unmapped='image', default='camera_info'
    )
    sim_time = ParameterValue(LaunchConfiguration('use_sim_time'), value_type=bool)
    return [
        Node(
            package='rtabmap_slam',
            executable='rtabmap',
            name='rtabmap',
            namespace=value('namespace'),
            parameters=[value('rtabmap_file'), {'use_sim_time': sim_time}],
            remappings=[
                ('odom', odometry_topic(value('node_name'), value('remappings'))),
                ('rgb/image', image),
                ('rgb/camera_info', camera_info),
                ('depth/image', value('depth')),
            ],
            output='both',
        )
    ]
