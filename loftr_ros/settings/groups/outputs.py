"""The parameters `odometry.*` and `publish.*`: what comes out of the node, and in which frames."""

from __future__ import annotations

from dataclasses import dataclass

from loftr_ros.settings.declarations import Change, declare_field


@dataclass(frozen=True)
class OdometryParameters:
    """Values of the parameters `odometry.*`."""

    odom_frame: str = declare_field(
        'odom', 'Name of the frame that odometry starts in.', basic=True
    )
    base_frame: str = declare_field(
        'base_link', 'Name of the frame that odometry is the pose of.', basic=True
    )
    scale: str = declare_field(
        'none',
        'In mode mono, the scale of the motion: odometry takes the speed of nav_msgs/Odometry on '
        '<speed> (wheels), twist that of geometry_msgs/TwistWithCovarianceStamped. With none there '
        'is no odometry, since one camera cannot know metres.',
        choices=('none', 'odometry', 'twist'),
        basic=True,
    )
    extrinsics: str = declare_field(
        'auto',
        'Where the pose of the camera in base_frame comes from: tf for tf2, parameter for '
        'odometry.base_T_camera, auto for tf2 where it is installed, else for a base_T_camera '
        'that is set; where neither is there is no odometry.',
        choices=('auto', 'tf', 'parameter'),
    )
    base_T_camera: tuple[float, ...] = declare_field(
        (0.0, 0.0, 0.0, -0.5, 0.5, -0.5, 0.5),
        'Pose of the (left) optical frame in base_frame, x y z qx qy qz qw, m. The default looks '
        'along x (REP 103).',
        pose=True,
    )
    twist_covariance: str = declare_field(
        'velocity',
        'What the covariance of the twist in ~/odometry is that of: velocity as ROS has it, in '
        '(m/s)^2; displacement, in m^2, of the motion since the message before, as RTAB-Map takes '
        'it.',
        choices=('velocity', 'displacement'),
        change=Change.ANY_TIME,
    )


@dataclass(frozen=True)
class PublishParameters:
    """Values of the parameters `publish.*`."""

    tf: bool = declare_field(
        True,
        'Publish the transform odom_frame -> base_frame; needs tf2_ros. False where another node '
        '(robot_localization) publishes it: a frame has one parent.',
        change=Change.ANY_TIME,
        basic=True,
    )
