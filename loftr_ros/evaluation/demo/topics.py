"""Topics of the demo and their types, besides those of the node."""

from __future__ import annotations

IMAGE = '/camera/image_raw'
CAMERA_INFO = '/camera/camera_info'
TRUE_POSE = '/ground_truth/pose'
ESTIMATED_POSE = '/demo/estimated_pose'
"""The chained relative poses; they join the recording when it is evaluated."""

INPUTS = {
    IMAGE: 'sensor_msgs/msg/Image',
    CAMERA_INFO: 'sensor_msgs/msg/CameraInfo',
    TRUE_POSE: 'geometry_msgs/msg/PoseStamped',
}
