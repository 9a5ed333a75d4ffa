"""Two cameras, each with a node of its own: a recipe to copy and change.

A group for each keeps the arguments of one from being those of the other: launch hands on to the
next file whatever an included one was given.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

CAMERAS = {
    'front': {'mode': 'rgbd', 'image': 'color/image_raw', 'depth': 'depth/image_raw'},
    'rear': {'image': 'image_raw'},
}
"""Namespace of each camera and its driver -> arguments of loftr.launch.py."""


def generate_launch_description() -> LaunchDescription:
    """Start a node in the namespace of each camera."""
    share = Path(get_package_share_directory('loftr_ros'))
    source = PythonLaunchDescriptionSource(str(share / 'launch' / 'loftr.launch.py'))
    return LaunchDescription(
        [
            GroupAction(
                [
                    IncludeLaunchDescription(
                        source, launch_arguments={'namespace': name, **arguments}.items()
                    )
                ],
                scoped=True,
            )
            for name, arguments in CAMERAS.items()
        ]
    )
