"""Cameras and two-view geometry: numpy, OpenCV and PoseLib; knows no torch and no ROS."""

from loftr_ros.geometry.camera import Camera
from loftr_ros.geometry.focal import FocalError
from loftr_ros.geometry.known_rotation import KnownRotation
from loftr_ros.geometry.metric import estimate_metric_pose, follow_metric_pose
from loftr_ros.geometry.metric_options import MetricOptions
from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.pose import PoseState, RelativePose
from loftr_ros.geometry.two_view import estimate_relative_pose, follow_relative_pose

__all__ = [
    'Camera',
    'FocalError',
    'KnownRotation',
    'MetricOptions',
    'PoseState',
    'RelativePose',
    'TwoViewOptions',
    'estimate_metric_pose',
    'estimate_relative_pose',
    'follow_metric_pose',
    'follow_relative_pose',
]
