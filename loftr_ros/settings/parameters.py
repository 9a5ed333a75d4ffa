"""The node's parameters: each declared once, with type, range, unit and meaning.

`python -m loftr_ros.settings.parameters` prints config/loftr.yaml.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from loftr_ros.frontend import SessionOptions, TrackerOptions
from loftr_ros.geometry import MetricOptions, TwoViewOptions
from loftr_ros.settings.declarations import (
    Change,
    Declaration,
    ParameterError,
    declare_field,
    plain,
)
from loftr_ros.settings.loop_parameters import LoopParameters
from loftr_ros.settings.matching_parameters import MatchingParameters

TRACKER = TrackerOptions()
TWO_VIEW = TwoViewOptions()
METRIC = MetricOptions()

MODES = ('mono', 'stereo', 'rgbd', 'pair')


@dataclass(frozen=True)
class NodeParameters(LoopParameters, MatchingParameters):
    """Values of all parameters; the fields are the declarations.

    Raises:
        ParameterError: A value is none of the choices or out of its limits.
    """

    autostart: bool = declare_field(
        True,
        'Configure and activate the node by itself; false leaves that to a lifecycle manager.',
        change=Change.AT_START,
    )
    num_threads: int = declare_field(
        0,
        'Threads that torch computes with on a CPU; 0 for its own choice.',
        change=Change.AT_START,
        limits=(0, 256),
    )
    mode: str = declare_field(
        'mono',
        'mono: match the frames of one moving camera. stereo: the same with the left of two '
        'cameras, metric by the right one. rgbd: the same, metric by depth images. pair: match two '
        'cameras with each other.',
        choices=MODES,
    )
    image_transport: str = declare_field(
        'raw',
        'raw subscribes to sensor_msgs/Image on <image>, compressed to sensor_msgs/CompressedImage '
        'on <image>/compressed.',
        choices=('raw', 'compressed'),
    )
    depth_transport: str = declare_field(
        'raw',
        'In mode rgbd, raw subscribes to sensor_msgs/Image on <depth>, compressedDepth to '
        'sensor_msgs/CompressedImage on <depth>/compressedDepth.',
        choices=('raw', 'compressedDepth'),
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
    rectified: bool = declare_field(
        False, 'The images are rectified (image_rect): use p of camera_info and no distortion.'
    )
    camera_info_sync: str = declare_field(
        'latest',
        'latest takes the last camera_info, whatever its stamp; synchronized waits for the one '
        'whose stamp is that of the image, up to sync_slop (cameras that zoom).',
        choices=('latest', 'synchronized'),
    )
    sync_slop: float = declare_field(
        0.01,
        'Stamps of messages that belong together differ by less than this, s; 0 for equal stamps.',
        limits=(0.0, 10.0),
    )
    left_T_right: tuple[float, ...] = declare_field(
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
        'In mode stereo, pose of the right camera in the left one, x y z qx qy qz qw, m. Without a '
        'translation it is taken from p of the calibrations, or else from tf2.',
        pose=True,
    )
    reference: str = declare_field(
        TRACKER.reference,
        'In all modes but pair: match to the frame before, or to a keyframe that lasts.',
        change=Change.ANY_TIME,
        choices=('previous', 'keyframe'),
    )
    keyframe_min_survival: float = declare_field(
        TRACKER.min_survival,
        'New keyframe when the next frame would have fewer matches than this share of the most.',
        change=Change.ANY_TIME,
        limits=(0.0, 1.0),
    )
    keyframe_min_overlap: float = declare_field(
        TRACKER.min_overlap,
        'New keyframe when less of its image would have matches than this share of the most.',
        change=Change.ANY_TIME,
        limits=(0.0, 1.0),
    )
    keyframe_max_parallax: float = declare_field(
        TRACKER.max_parallax,
        'New keyframe when the median match moved farther, as a share of the image width.',
        change=Change.ANY_TIME,
        limits=(0.001, 10.0),
    )
    keyframe_max_age: float = declare_field(
        0.0,
        'New keyframe when the last one is older than this, s; 0 for no limit.',
        change=Change.ANY_TIME,
        limits=(0.0, 3600.0),
    )
    min_matches: int = declare_field(
        TRACKER.min_matches,
        'With fewer matches no pose is estimated.',
        change=Change.ANY_TIME,
        limits=(8, 100_000),
    )
    pose_estimator: str = declare_field(
        TWO_VIEW.estimator,
        'Robust estimator of the pose; auto is PoseLib where it is installed.',
        change=Change.ANY_TIME,
        choices=('auto', 'poselib', 'opencv'),
    )
    pose_min_support: float = declare_field(
        TWO_VIEW.min_support,
        'With fewer matches than this that agree on a motion beyond chance the pose is LOST.',
        change=Change.ANY_TIME,
        limits=(0.0, 100_000.0),
    )
    pose_max_direction_sigma: float = declare_field(
        TWO_VIEW.max_direction_sigma,
        'With a larger standard deviation the direction of translation is unknown, rad.',
        change=Change.ANY_TIME,
        limits=(0.001, 10.0),
    )
    pose_max_rotation_sigma: float = declare_field(
        TWO_VIEW.max_rotation_sigma,
        'With a larger standard deviation of the rotation the pose is DEGENERATE, rad.',
        change=Change.ANY_TIME,
        limits=(0.0001, 10.0),
    )
    pose_shared_sigma: float = declare_field(
        TWO_VIEW.shared_sigma,
        'Standard deviation of the error that neighbouring matches share, from calibration and '
        'shutter, px. It sets how small a covariance can be.',
        change=Change.ANY_TIME,
        limits=(0.0, 100.0),
    )
    pose_shared_growth: float = declare_field(
        TWO_VIEW.shared_growth,
        'Growth of that error with the distance that the rotation moves a point, as a share.',
        change=Change.ANY_TIME,
        limits=(0.0, 1.0),
    )
    depth_min: float = declare_field(
        METRIC.depth_range[0],
        'In modes rgbd and stereo, nearer depths are not used, m.',
        change=Change.ANY_TIME,
        limits=(0.0, 1000.0),
    )
    depth_max: float = declare_field(
        METRIC.depth_range[1],
        'In mode rgbd, farther depths are not used, m.',
        change=Change.ANY_TIME,
        limits=(0.001, 10_000.0),
    )
    depth_noise: float = declare_field(
        METRIC.depth_noise,
        'In mode rgbd, standard deviation of depths up to 0.4 m, m.',
        change=Change.ANY_TIME,
        limits=(0.0, 10.0),
    )
    depth_noise_growth: float = declare_field(
        METRIC.depth_noise_growth,
        'In mode rgbd, growth of that deviation with the square of the distance beyond, 1/m. The '
        'default is that of a Kinect; 0 for a laser.',
        change=Change.ANY_TIME,
        limits=(0.0, 10.0),
    )
    publish_correspondences: bool = declare_field(
        True, 'Publish ~/correspondences.', change=Change.ANY_TIME
    )
    publish_relative_pose: bool = declare_field(
        True, 'Publish ~/relative_pose.', change=Change.ANY_TIME
    )
    publish_matches_image: bool = declare_field(
        True, 'Draw and publish ~/matches_image while someone subscribes.', change=Change.ANY_TIME
    )
    publish_odometry: bool = declare_field(
        True, 'Publish ~/odometry, where motion is metric.', change=Change.ANY_TIME
    )
    publish_path: bool = declare_field(
        True, 'Publish ~/path twice a second while someone subscribes.', change=Change.ANY_TIME
    )
    publish_tf: bool = declare_field(
        True,
        'Publish the transform odom_frame -> base_frame; needs tf2_ros. False where another node '
        '(robot_localization) publishes it: a frame has one parent.',
        change=Change.ANY_TIME,
    )
    path_length: int = declare_field(
        1000, 'Poses that ~/path holds at most, two for a second.', limits=(2, 100_000)
    )
    odom_frame: str = declare_field('odom', 'Name of the frame that odometry starts in.')
    base_frame: str = declare_field('base_link', 'Name of the frame that odometry is the pose of.')
    extrinsics: str = declare_field(
        'auto',
        'Where the pose of the camera in base_frame comes from: tf for tf2, parameter for '
        'base_T_camera, auto for tf2 where it is installed.',
        choices=('auto', 'tf', 'parameter'),
    )
    base_T_camera: tuple[float, ...] = declare_field(
        (0.0, 0.0, 0.0, -0.5, 0.5, -0.5, 0.5),
        'Pose of the (left) optical frame in base_frame, x y z qx qy qz qw, m. The default looks '
        'along x (REP 103).',
        pose=True,
    )
    odometry_scale: str = declare_field(
        'none',
        'In mode mono, the scale of the motion: odometry takes the speed of nav_msgs/Odometry on '
        '<speed> (wheels), twist that of geometry_msgs/TwistWithCovarianceStamped. With none there '
        'is no odometry, since one camera cannot know metres.',
        choices=('none', 'odometry', 'twist'),
    )
    silent_timeout: float = declare_field(
        2.0,
        'A topic without messages for this long is reported as silent, s. For so long the first '
        'images wait for a calibration.',
        change=Change.ANY_TIME,
        limits=(0.1, 3600.0),
    )

    def __post_init__(self) -> None:
        """Check all values."""
        for name, declaration in declarations().items():
            declaration.check(name, getattr(self, name))
        if not self.depth_min < self.depth_max:
            raise ParameterError(
                f'depth_min must be less than depth_max, not {self.depth_min:g} m and '
                f'{self.depth_max:g} m'
            )

    @property
    def has_odometry(self) -> bool:
        """Whether motion is metric, so that there is odometry to publish."""
        return self.mode in ('stereo', 'rgbd') or (
            self.mode == 'mono' and self.odometry_scale != 'none'
        )

    @property
    def needs_transforms(self) -> bool:
        """Whether transforms of the robot may be asked for."""
        return self.mode == 'stereo' or (self.has_odometry and self.extrinsics != 'parameter')

    def changed(self, values: Mapping[str, Any], *, configured: bool) -> NodeParameters:
        """Return these parameters with other `values` (names that are no fields are left out).

        Raises:
            ParameterError: A value is wrong, or cannot change while the node is configured.
        """
        known = declarations()
        changes = {
            name: plain(value)
            for name, value in values.items()
            if name in known and plain(value) != getattr(self, name)
        }
        for name in changes:
            if known[name].change is Change.AT_START:
                raise ParameterError(f'{name} is {Change.AT_START.value}')
            if configured and known[name].change is Change.UNCONFIGURED:
                raise ParameterError(
                    f'{name} cannot change while the node is configured: deactivate and clean up '
                    'first (ros2 lifecycle set <node> deactivate, cleanup)'
                )
        return dataclasses.replace(self, **changes)

    def session_options(self) -> SessionOptions:
        """Return the options of a session; two cameras have no loops."""
        searched = self.loop_closures and self.mode != 'pair'
        return SessionOptions(self.tracker_options(), self.loop_options() if searched else None)

    def tracker_options(self) -> TrackerOptions:
        """Return the options of the tracker and of its pose estimate."""
        return dataclasses.replace(
            TRACKER,
            reference=self.reference,
            min_survival=self.keyframe_min_survival,
            min_overlap=self.keyframe_min_overlap,
            max_parallax=self.keyframe_max_parallax,
            max_age_s=self.keyframe_max_age or float('inf'),
            min_matches=self.min_matches,
            two_view=dataclasses.replace(
                TWO_VIEW,
                estimator=self.pose_estimator,
                min_matches=self.min_matches,
                min_support=self.pose_min_support,
                max_direction_sigma=self.pose_max_direction_sigma,
                max_rotation_sigma=self.pose_max_rotation_sigma,
                shared_sigma=self.pose_shared_sigma,
                shared_growth=self.pose_shared_growth,
            ),
            metric=dataclasses.replace(
                METRIC,
                depth_noise=self.depth_noise,
                depth_noise_growth=self.depth_noise_growth,
                depth_range=(self.depth_min, self.depth_max),
            ),
        )


def declarations() -> dict[str, Declaration]:
    """Return the declaration of each parameter by its name."""
    return {field.name: field.metadata['declaration'] for field in _FIELDS}


# The fields of a base class come first, but loops are what one reads last.
_FIELDS = sorted(
    dataclasses.fields(NodeParameters), key=lambda field: hasattr(LoopParameters, field.name)
)


def unknown_names(names: Iterable[str]) -> dict[str, str]:
    """Return the `names` that are no parameters, each with the nearest one that is (or '')."""
    known = declarations()
    # rclpy declares these itself, some only when a topic is subscribed.
    own = ('use_sim_time', 'start_type_description_service', 'qos_overrides.')
    unknown = [name for name in names if name not in known and not name.startswith(own)]
    return {
        name: next(iter(difflib.get_close_matches(name, known, 1, 0.5)), '') for name in unknown
    }


def to_yaml() -> str:
    """Return all parameters with their defaults and descriptions as a ROS parameter file."""
    import textwrap

    import yaml

    lines = ['# Parameters of the node loftr and their defaults.', '/**:', '  ros__parameters:']
    for field in _FIELDS:
        comment = textwrap.wrap(str(field.metadata['declaration']), 100 - len('    # '))
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        value = yaml.safe_dump(default, default_flow_style=True).partition('\n')[0]
        lines += ['', *(f'    # {line}' for line in comment), f'    {field.name}: {value}']
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    print(to_yaml(), end='')
