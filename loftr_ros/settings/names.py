"""Names that are no parameters: those of version 0.1, and misspelt ones."""

from __future__ import annotations

import difflib

from loftr_ros.settings.parameters import declarations

RENAMED = {
    'weights': 'matcher.weights',
    'device': 'matcher.device',
    'longer_side': 'matcher.longer_side',
    'precision': 'matcher.precision',
    'providers': 'matcher.providers',
    'num_threads': 'matcher.num_threads',
    'confidence_threshold': 'matcher.confidence_threshold',
    'max_matches': 'matcher.max_matches',
    'try_rotations': 'matcher.try_views',
    'image_transport': 'input.image_transport',
    'depth_transport': 'input.depth_transport',
    'rectified': 'input.rectified',
    'left_T_right': 'input.left_T_right',
    'mask': 'input.masks',
    'second_mask': 'input.masks',
    'reliability': 'input.reliability',
    'queue_size': 'input.queue_size',
    'process_every_frame': 'input.process_every_frame',
    'sync_slop': 'input.sync_slop',
    'silent_timeout': 'input.silent_timeout',
    'keyframe_min_survival': 'keyframe.min_survival',
    'keyframe_min_overlap': 'keyframe.min_overlap',
    'keyframe_max_parallax': 'keyframe.max_parallax',
    'pose_min_support': 'pose.min_support',
    'pose_max_direction_sigma': 'pose.max_direction_sigma',
    'pose_shared_growth': 'pose.shared_growth',
    'depth_min': 'depth.range',
    'depth_max': 'depth.range',
    'depth_noise': 'depth.noise',
    'depth_noise_growth': 'depth.noise',
    'odom_frame': 'odometry.odom_frame',
    'base_frame': 'odometry.base_frame',
    'odometry_scale': 'odometry.scale',
    'extrinsics': 'odometry.extrinsics',
    'base_T_camera': 'odometry.base_T_camera',
    'loop_closures': 'loop.enabled',
    'loop_memory': 'loop.memory',
    'loop_min_age': 'loop.min_age',
    'loop_interval': 'loop.interval',
    'publish_tf': 'publish.tf',
}
"""Names of version 0.1 and those of now. Version 0.3 no longer knows them."""

REMOVED = {
    'backend': 'the folder of an export as matcher.weights is computed by ONNX Runtime',
    'cuda_graphs': 'it is an argument of Matcher in Python',
    'max_pixels': 'matcher.longer_side limits the size of images',
    'max_memory': 'matcher.longer_side limits the size of images',
    'camera_info_sync': 'the last camera_info counts',
    'keyframe_max_age': 'keyframe.min_survival and keyframe.min_overlap end a keyframe',
    'min_matches': 'pose.min_support decides',
    'pose_estimator': 'PoseLib is taken where it is installed',
    'pose_max_rotation_sigma': 'the covariance of the pose states it',
    'pose_shared_sigma': 'pose.shared_growth sets how small a covariance can be',
    'loop_min_inliers': 'a loop is checked as any pose',
    'loop_min_inlier_ratio': 'a loop is checked as any pose',
    'loop_max_steps': 'it is a field of LoopOptions in Python',
    'publish_odometry': '~/odometry is always published where motion is metric',
    'publish_correspondences': '~/correspondences is always published',
    'publish_relative_pose': '~/relative_pose is always published',
    'publish_matches_image': '~/matches_image is drawn while someone subscribes',
    'publish_path': '~/path is published while someone subscribes',
    'path_length': '~/path holds 1000 poses',
}
"""Parameters of version 0.1 that are gone, and what holds instead. Version 0.3 forgets them."""

# rclpy declares these itself, some only when a topic is subscribed.
_OF_RCLPY = ('use_sim_time', 'start_type_description_service', 'qos_overrides.')


def is_retired(name: str) -> bool:
    """Return whether a parameter had this name in version 0.1, and has it no longer."""
    return name in RENAMED or name in REMOVED


def name_problem(name: str) -> str:
    """Say why a name is no parameter, and which one may be meant; '' for a parameter."""
    if name in declarations() or name.startswith(_OF_RCLPY):
        return ''
    if name in RENAMED:
        return f'{name} is called {RENAMED[name]} since version 0.2'
    if name in REMOVED:
        return f'{name} is no parameter since version 0.2: {REMOVED[name]}'
    # Many forget the group, or take another: what follows the point is compared as well.
    known = {full.rpartition('.')[2]: full for full in declarations()}
    entry = name.rpartition('.')[2]
    known |= {full: full for full in declarations()}
    nearest = [entry] if entry in known else difflib.get_close_matches(name, known, 1)
    hint = f'; did you mean {known[nearest[0]]}?' if nearest else ''
    return f'there is no parameter {name}{hint}'
