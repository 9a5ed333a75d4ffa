"""Topics of the demo and their types."""

from __future__ import annotations

IMAGE = '/camera/image_raw'
CAMERA_INFO = '/camera/camera_info'
TRUE_POSE = '/ground_truth/pose'
CORRESPONDENCES = '/loftr/correspondences'
RELATIVE_POSE = '/loftr/relative_pose'
DIAGNOSTICS = '/diagnostics'
ESTIMATED_POSE = '/demo/estimated_pose'
"""The chained relative poses; they join the recording when it is evaluated."""

INPUTS = {
    IMAGE: 'sensor_msgs/msg/Image',
    CAMERA_INFO: 'sensor_msgs/msg/CameraInfo',
    TRUE_POSE: 'geometry_msgs/msg/PoseStamped',
}
OUTPUTS = {
    CORRESPONDENCES: 'loftr_ros/msg/Correspondences',
    RELATIVE_POSE: 'loftr_ros/msg/RelativePose',
    DIAGNOSTICS: 'diagnostic_msgs/msg/DiagnosticArray',
}
