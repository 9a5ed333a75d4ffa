"""Start the LoFTR node and the filter of robot_localization on its odometry.

It takes all arguments of loftr.launch.py, but publish.tf is false, because the filter publishes
odom -> base_link: `ros2 launch loftr_ros robot_localization.launch.py mode:=rgbd depth:=/depth`
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from loftr_ros.settings.topics import output_topic

# Both forms in which a file of the filter may name the odometry of a node that is called loftr.
ODOMETRY = ('/loftr/odometry', 'loftr/odometry')


def generate_launch_description() -> LaunchDescription:
    """Start both nodes."""
    share = Path(get_package_share_directory('loftr_ros'))
    included = PythonLaunchDescriptionSource(str(share / 'launch' / 'loftr.launch.py'))
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'filter_file',
                default_value=str(share / 'config' / 'robot_localization_ekf.yaml'),
                description='YAML file with parameters of the filter',
            ),
            DeclareLaunchArgument(
                'use_sim_time',
                default_value='false',
                description='take the time from /clock, in both nodes: true or false',
            ),
            IncludeLaunchDescription(included, launch_arguments=[('publish.tf', 'false')]),
            OpaqueFunction(function=describe_filter),
        ]
    )


def describe_filter(context: LaunchContext) -> list[Node]:
    """Return the filter, beside the node in its namespace and with its odometry as input."""

    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    odometry = output_topic('odometry', value('node_name'), value('remappings'))
    sim_time = ParameterValue(LaunchConfiguration('use_sim_time'), value_type=bool)
    return [
        Node(
            package='robot_localization',
            executable='ekf_node',
            name='ekf_filter_node',
            namespace=value('namespace'),
            parameters=[value('filter_file'), {'use_sim_time': sim_time}],
            remappings=[(name, odometry) for name in ODOMETRY if name != odometry],
            output='both',
        )
    ]
