"""Odometry of the base as messages and as the transform odom -> base, and its pose in a map."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped, TwistWithCovariance
from nav_msgs.msg import Odometry as OdometryMsg
from nav_msgs.msg import Path

from loftr_ros.codecs.conversions import covariance_to_msg, header_to_msg, pose_to_msg
from loftr_ros.frontend import Localization, OdometryEstimate
from loftr_ros.geometry.transforms import inverse_transform
from loftr_ros.ros import transforms
from loftr_ros.settings.declarations import ParameterError, transform_from_pose
from loftr_ros.settings.parameters import NodeParameters
from loftr_ros.texts import shortened

if TYPE_CHECKING:
    from rclpy.lifecycle import LifecycleNode

    from loftr_ros.frontend import Step, TrackingResult
    from loftr_ros.frontend.base_odometry import FindExtrinsics
    from loftr_ros.ros.frames import Lookup

Array = npt.NDArray[np.float64]

QUEUE_SIZE = 10
NO_TF2 = 'tf2_ros is not installed for Python (apt install ros-<distro>-tf2-ros-py)'
MAP_FRAME = 'map'
PATH_LENGTH = 1000
"""Poses that the path holds at most."""
PATH_PERIOD_NS = 500_000_000
"""A pose is added to the path, and the path published, once in this time of the stamps."""


@dataclass(frozen=True)
class OdometryReport:
    """State of the odometry.

    Attributes:
        published: Estimates so far.
        gaps: How often motion was missing before an estimate.
        deviation: Standard deviation of the last position (root of the summed variances), m.
        missing: Why the last frame had no estimate; '' if it had one.
        problem: What keeps it from working at all; '' for nothing.
    """

    published: int = 0
    gaps: int = 0
    deviation: float = float('nan')
    missing: str = ''
    problem: str = ''


def odometry_to_msg(
    estimate: OdometryEstimate,
    odom_frame: str,
    base_frame: str,
    twist_covariance: Array | None = None,
) -> OdometryMsg:
    """Write an estimate: the pose in the odometry frame, the twist in that of the base.

    Args:
        estimate: What is written.
        odom_frame: Name of the frame of the pose.
        base_frame: Name of the frame whose pose it is.
        twist_covariance: In place of that of the estimate, (6, 6).
    """
    msg = OdometryMsg(child_frame_id=base_frame)
    msg.header = header_to_msg(estimate.stamp_ns, odom_frame)
    msg.pose = pose_to_msg(estimate.odom_T_base, estimate.covariance)
    covariance = estimate.twist_covariance if twist_covariance is None else twist_covariance
    msg.twist = _twist_to_msg(estimate.twist, covariance)
    return msg


def displacement_covariance(estimate: OdometryEstimate, last: OdometryEstimate | None) -> Array:
    """Return the covariance (6, 6) of the motion since the last estimate, in the base, m and rad.

    Over a gap, and at the start, it is what the covariance of the pose has grown by: the motion
    was predicted, and the twist says nothing of that.
    """
    if last is not None and not estimate.gap:
        seconds = (estimate.stamp_ns - last.stamp_ns) / 1e9
        return estimate.twist_covariance * seconds**2
    growth = estimate.covariance - (0 if last is None else last.covariance)
    base_R_odom = estimate.odom_T_base[:3, :3].T
    rotation = np.kron(np.eye(2), base_R_odom)
    values, vectors = np.linalg.eigh(rotation @ growth @ rotation.T)
    grown: Array = (vectors * values.clip(min=0)) @ vectors.T
    return grown


def _twist_to_msg(twist: Array, covariance: Array) -> TwistWithCovariance:
    msg = TwistWithCovariance(covariance=covariance_to_msg(covariance))
    linear, angular = msg.twist.linear, msg.twist.angular
    linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = twist.tolist()
    return msg


def check_extrinsics(parameters: NodeParameters) -> None:
    """Refuse to depend on tf2 where it is not installed.

    Raises:
        ParameterError: The parameters do.
    """
    if parameters.odometry.extrinsics == 'tf' and not transforms.is_available():
        raise ParameterError(
            f'odometry.extrinsics is tf, but {NO_TF2}: set it to parameter, and '
            'odometry.base_T_camera'
        )


def extrinsics_of(parameters: NodeParameters, lookup: Lookup) -> FindExtrinsics:
    """Return what finds base_T_camera by the frame of the camera; `lookup` knows tf2's transforms.

    Raises:
        ParameterError: The parameters depend on tf2, which is not installed.
    """
    check_extrinsics(parameters)
    if missing_extrinsics(parameters):
        return lambda _: None
    if parameters.odometry.extrinsics == 'parameter' or not transforms.is_available():
        base_T_camera = transform_from_pose(parameters.odometry.base_T_camera)
        return lambda _: base_T_camera
    return lambda camera_frame: lookup(parameters.odometry.base_frame, camera_frame)


def missing_extrinsics(parameters: NodeParameters) -> str:
    """Say why it is unknown where the camera stands on the base; '' if something can.

    The default of base_T_camera is no knowledge: odometry by it would be that of another robot.
    """
    odometry = parameters.odometry
    given = odometry.base_T_camera != NodeParameters().odometry.base_T_camera
    if odometry.extrinsics != 'auto' or transforms.is_available() or given:
        return ''
    return (
        f'odometry.extrinsics: there is no odometry, because {NO_TF2} and odometry.base_T_camera '
        'is not set; odometry.extrinsics: parameter takes base_T_camera as it is'
    )


class OdometryOutputs:
    """Publishes odometry, path and transform; for use by one thread, but for `report`."""

    def __init__(self, node: LifecycleNode, parameters: NodeParameters) -> None:
        """Create the publishers."""
        self._node = node
        self._path: deque[PoseStamped] = deque(maxlen=PATH_LENGTH)
        self._path_ns: int | None = None
        self._last_ns: int | None = None
        self._report = OdometryReport()
        self._last: OdometryEstimate | None = None
        create = node.create_lifecycle_publisher
        self._odometry_publisher = create(OdometryMsg, '~/odometry', QUEUE_SIZE)
        self._path_publisher = create(Path, '~/path', QUEUE_SIZE)
        self._map_pose_publisher = create(PoseWithCovarianceStamped, '~/map_pose', QUEUE_SIZE)
        self._sender = transforms.TransformSender(node)
        if problem := missing_extrinsics(parameters):
            node.get_logger().error(problem)
        if parameters.publish.tf and not transforms.is_available():
            frames = parameters.odometry
            node.get_logger().warning(
                'publish.tf: tf2_ros is not installed, so the transform '
                f'{frames.odom_frame} -> {frames.base_frame} is not published'
            )

    @property
    def report(self) -> OdometryReport:
        """The present state."""
        return self._report

    def publish(self, step: Step, parameters: NodeParameters, started: bool) -> None:
        """Publish what the parameters ask for; `started`: whether the extrinsics are known."""
        if step.result is None:
            return
        if not started:
            self._note(problem=_describe_unknown(step.result.query.frame_id, parameters))
            return
        estimate = step.estimate
        if estimate is None or not estimate.metric:
            self._note(missing=_describe_missing(step.result, parameters))
            return
        if self._last_ns is not None and estimate.stamp_ns < self._last_ns:
            return  # frames that came after a matched one were aligned before it was done
        self._last_ns = estimate.stamp_ns
        self._note(estimate)
        parents = parameters.odometry.odom_frame, parameters.odometry.base_frame
        in_metres = parameters.odometry.twist_covariance == 'displacement'
        covariance = displacement_covariance(estimate, self._last) if in_metres else None
        self._odometry_publisher.publish(odometry_to_msg(estimate, *parents, covariance))
        self._last = estimate
        if parameters.publish.tf:
            header = header_to_msg(estimate.stamp_ns, parameters.odometry.odom_frame)
            self._sender.send(header, parameters.odometry.base_frame, estimate.odom_T_base)
        self._extend_path(estimate, parameters)

    def publish_map_pose(self, found: Localization, base_T_camera: Array | None) -> None:
        """Publish where the base is in the map of the saved places, if all of that is known."""
        pose = None if base_T_camera is None else found.in_map(inverse_transform(base_T_camera))
        if pose is not None:
            header = header_to_msg(found.closure.query.stamp_ns, MAP_FRAME)
            msg = PoseWithCovarianceStamped(header=header, pose=pose_to_msg(*pose))
            self._map_pose_publisher.publish(msg)

    def clear_path(self) -> None:
        """Let the path start anew."""
        self._path.clear()
        self._path_ns = self._last_ns = self._last = None

    def close(self) -> None:
        """Take the publishers back."""
        for publisher in (self._odometry_publisher, self._path_publisher, self._map_pose_publisher):
            self._node.destroy_lifecycle_publisher(publisher)
        self._sender.close()

    def _extend_path(self, estimate: OdometryEstimate, parameters: NodeParameters) -> None:
        if self._path_ns is not None and estimate.stamp_ns - self._path_ns < PATH_PERIOD_NS:
            return
        self._path_ns = estimate.stamp_ns
        header = header_to_msg(estimate.stamp_ns, parameters.odometry.odom_frame)
        pose = pose_to_msg(estimate.odom_T_base, estimate.covariance).pose
        self._path.append(PoseStamped(header=header, pose=pose))
        if self._path_publisher.get_subscription_count():
            self._path_publisher.publish(Path(header=header, poses=list(self._path)))

    def _note(
        self, estimate: OdometryEstimate | None = None, missing: str = '', problem: str = ''
    ) -> None:
        published, gaps, deviation = (
            self._report.published,
            self._report.gaps,
            self._report.deviation,
        )
        if estimate is not None:
            published, gaps = published + 1, gaps + estimate.gap
            deviation = float(np.sqrt(np.trace(estimate.covariance[:3, :3])))
        self._report = OdometryReport(published, gaps, deviation, missing, problem)


def _describe_unknown(camera_frame: str, parameters: NodeParameters) -> str:
    base = parameters.odometry.base_frame
    frame = shortened(camera_frame)
    problem = f'{base}: tf2 knows no transform to {frame!r}, so there is no odometry'
    hint = '(odometry.base_frame, odometry.extrinsics)'
    return missing_extrinsics(parameters) or f'{problem} {hint}'


def _describe_missing(result: TrackingResult, parameters: NodeParameters) -> str:
    pose = result.pose
    if not pose.state.has_pose:
        return f'{pose.state.name}: {pose.reason}'
    if parameters.mode == 'mono':
        return 'no motion in metres: no speed of that time has come (odometry.scale)'
    return f'no motion in metres: {result.scale_problem or pose.reason}'
