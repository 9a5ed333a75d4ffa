"""The parameters `input.*`: which messages are taken, and how they belong together."""

from __future__ import annotations

from dataclasses import dataclass

from loftr_ros.settings.declarations import Change, declare_field


@dataclass(frozen=True)
class InputParameters:
    """Values of the parameters `input.*`."""

    image_transport: str = declare_field(
        'raw',
        'raw subscribes to sensor_msgs/Image on <image>, compressed to sensor_msgs/CompressedImage '
        'on <image>/compressed.',
        choices=('raw', 'compressed'),
        basic=True,
    )
    depth_transport: str = declare_field(
        'raw',
        'In mode rgbd, raw subscribes to sensor_msgs/Image on <depth>, compressedDepth and '
        'compressed (PNG of 16 bit) to sensor_msgs/CompressedImage on <depth>/compressedDepth or '
        '<depth>/compressed.',
        choices=('raw', 'compressedDepth', 'compressed'),
        basic=True,
    )
    rectified: bool = declare_field(
        False,
        'The images are rectified (image_rect): use p of camera_info and no distortion.',
        basic=True,
    )
    left_T_right: tuple[float, ...] = declare_field(
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
        'In mode stereo, pose of the right camera in the left one, x y z qx qy qz qw, m. Without a '
        'translation it is taken from p of the calibrations, or else from tf2.',
        pose=True,
        basic=True,
    )
    calibration_file: tuple[str, ...] = declare_field(
        ('',),
        'Calibration where no camera_info is published, which it replaces: YAML of ROS '
        'camera_calibration, of Kalibr (camchain) or EuRoC (sensor.yaml), of the (left) camera or '
        'image0, then of the right camera or image1. Empty for none.',
        lengths=(1, 2),
    )
    masks: tuple[str, ...] = declare_field(
        ('',),
        'Paths of images of the size of the camera images, 0 where nothing may match, such as the '
        'robot itself in view: of the (left) camera or image0, then of the right camera or image1. '
        'Empty for none.',
        lengths=(1, 2),
    )
    gyroscope: tuple[float, ...] = declare_field(
        (0.0, 0.0),
        'Gyroscope of sensor_msgs/Imu on <imu>: noise density, rad/s/sqrt(Hz), and random walk of '
        'the bias, rad/s^2/sqrt(Hz); zeros for none. Four more numbers are camera_R_imu, its '
        'rotation in the (left) optical frame as qx qy qz qw; without them tf2 tells it.',
        lengths=(2, 6),
    )
    reliability: str = declare_field(
        'best_effort',
        'QoS of the subscriptions: best_effort takes from every publisher, reliable only from '
        'reliable ones.',
        choices=('best_effort', 'reliable'),
    )
    queue_size: int = declare_field(
        5,
        'Messages that wait in each subscription, and for their partner of the same time.',
        limits=(1, 1000),
    )
    process_every_frame: bool = declare_field(
        False,
        'Let queue_size frames wait rather than drop all but the newest; for replay.',
    )
    sync_slop: float = declare_field(
        0.02,
        'Stamps of messages that belong together differ by less than this, s; 0 for equal stamps.',
        limits=(0.0, 10.0),
    )
    silent_timeout: float = declare_field(
        2.0,
        'A topic without messages for this long is reported as silent, s. For so long the first '
        'images wait for a calibration.',
        change=Change.ANY_TIME,
        limits=(0.1, 3600.0),
    )
