"""Start the LoFTR node: `ros2 launch loftr_ros loftr.launch.py`."""

from launch import LaunchDescription
from launch_ros.actions import Node


def generate_launch_description() -> LaunchDescription:
    """Describe the node with its default parameters."""
    return LaunchDescription([Node(package='loftr_ros', executable='loftr_node', name='loftr')])
