#!/usr/bin/env python3
"""A back-end for loftr_ros: keyframe poses and loop closures in, a corrected path out.

    python examples/pose_graph_node.py --ros-args -r relative_pose:=/loftr/relative_pose \
        -r odometry:=/loftr/odometry -p output:=graph

Node files only wire topics; what is computed is in pose_graph.py and pose_graph_report.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path as PathMsg
from pose_graph import GraphOptions, Motion, PoseGraph
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from std_srvs.srv import Trigger

from loftr_ros.codecs.conversions import header_to_msg, pose_from_msg, pose_to_msg, stamp_from_msg
from loftr_ros.codecs.stamps import Order, StampOrder
from loftr_ros.geometry.transforms import inverse_transform
from loftr_ros.msg import RelativePose
from loftr_ros.ros.running import run_node
from loftr_ros.ros.transforms import TransformSender
from loftr_ros.settings.declarations import transform_from_pose

Array = npt.NDArray[np.float64]

QUEUE_SIZE = 100
KEPT_ODOMETRY = 1000
PARAMETERS = {
    'map_frame': ('map', 'frame of the optimised poses'),
    'odom_frame': ('odom', 'frame of the odometry'),
    'base_T_camera': (
        [0.0, 0.0, 0.0, -0.5, 0.5, -0.5, 0.5],
        'pose of the optical frame in the base, x y z qx qy qz qw; as that of loftr_ros',
    ),
    'publish_tf': (True, 'publish map_frame -> odom_frame; needs tf2_ros and the odometry'),
    'sigma_factor': (1.0, 'standard deviations of all poses are multiplied by this'),
    'loop_kernel': (3.0, 'width of the robust kernel on loop closures, sigmas; 0 for none'),
    'output': ('', 'folder for picture and trajectories, at the end and on ~/save; "" for none'),
    'ground_truth': ('', 'true poses of the camera, a file in the format of TUM; "" for none'),
}


class PoseGraphNode(Node):
    """Builds a pose graph of what loftr_ros says, and publishes what comes out."""

    def __init__(self) -> None:
        """Declare the parameters, subscribe and publish.

        Raises:
            ValueError: A parameter has a value that it cannot have.
        """
        super().__init__('pose_graph')
        for name, (default, description) in PARAMETERS.items():
            self.declare_parameter(name, default, ParameterDescriptor(description=description))
        self._base_T_camera = self._pose_parameter('base_T_camera')
        self._options = GraphOptions(
            sigma_factor=self._value('sigma_factor'), loop_kernel=self._value('loop_kernel')
        )
        self._start_over()
        self._sender = TransformSender(self)
        self._path_publisher = self.create_publisher(PathMsg, '~/path', 10)
        self._pose_publisher = self.create_publisher(PoseStamped, '~/pose', 10)
        self.create_subscription(RelativePose, 'relative_pose', self._on_pose, QUEUE_SIZE)
        self.create_subscription(Odometry, 'odometry', self._on_odometry, QUEUE_SIZE)
        self.create_service(Trigger, '~/save', self._on_save)
        self._listeners = 0
        self.create_timer(0.5, self._greet)

    def save(self) -> str:
        """Write the report and say what it holds.

        Raises:
            ValueError: There is no folder or no keyframe, or the truth cannot be used.
            OSError: The folder cannot be written to.
        """
        from pose_graph_report import write_report  # evo takes seconds

        if not self._value('output'):
            raise ValueError('output names no folder')
        truth = self._value('ground_truth')
        folder = Path(self._value('output'))
        return f'{folder}: {write_report(self._graph, folder, Path(truth) if truth else None)}'

    def destroy_node(self) -> None:
        """Write the report where one is wanted, and log what it says or why there is none."""
        if self._value('output'):
            try:
                print(self.save(), flush=True)  # the context of the logger may be gone
            except (ValueError, OSError) as error:
                print(f'no report: {error}', file=sys.stderr)
        super().destroy_node()

    def _start_over(self) -> None:
        # The base is at the origin of the map as the first keyframe is taken.
        self._graph = PoseGraph(self._base_T_camera, self._options)
        self._order = StampOrder()
        self._map_T_odom = np.eye(4)
        self._odometry: dict[int, Array] = {}

    def _value(self, name: str) -> Any:  # noqa: ANN401 - of the parameter's own type
        return self.get_parameter(name).value

    def _pose_parameter(self, name: str) -> Array:
        values = self._value(name)
        if len(values) != 7:
            raise ValueError(f'{name} must be 7 numbers x y z qx qy qz qw, not {list(values)}')
        return transform_from_pose(values)

    def _on_pose(self, msg: RelativePose) -> None:
        if msg.state != RelativePose.STATE_OK or not msg.metric:
            return
        try:
            motion = motion_from_msg(msg)
        except ValueError as error:
            self.get_logger().warning(f'a relative pose is not used: {error}')
            return
        known = len(self._graph)
        if msg.kind == RelativePose.KIND_LOOP:
            closed = self._graph.add_loop(motion)
        elif msg.kind in (RelativePose.KIND_PREVIOUS, RelativePose.KIND_KEYFRAME):
            closed = self._add_motion(motion)
        else:
            return
        if closed:
            self._log_loop()
        if closed or len(self._graph) != known:
            self._correct()
            self._publish_path()

    def _add_motion(self, motion: Motion) -> bool:
        order = self._order.check(motion.query_ns)
        if order is Order.JUMPED:
            self.get_logger().warning('time went back: the graph starts over')
            self._start_over()
        return order is not Order.LATE and self._graph.add_motion(motion)

    def _log_loop(self) -> None:
        loop = self._graph.loops[-1]
        self.get_logger().info(
            f'loop closure {loop.query_ns / 1e9:.3f} s -> {loop.reference_ns / 1e9:.3f} s: '
            f'{loop.before:.1f} sigma before, {loop.after:.1f} after, weight {loop.weight:.2f}'
        )

    def _correct(self) -> None:
        """Find where odom is in the map by the newest keyframe that has an odometry."""
        for stamp in reversed(self._graph.stamps):
            map_T_camera, odom_T_base = self._graph.pose(stamp), self._odometry.get(stamp)
            if map_T_camera is not None and odom_T_base is not None:
                map_T_base = map_T_camera @ inverse_transform(self._base_T_camera)
                self._map_T_odom = map_T_base @ inverse_transform(odom_T_base)
                return

    def _greet(self) -> None:
        """Publish the path for those who have come since it last changed."""
        listeners = self._path_publisher.get_subscription_count()
        if listeners > self._listeners:
            self._publish_path()
        self._listeners = listeners

    def _publish_path(self) -> None:
        if not len(self._graph) or not self._path_publisher.get_subscription_count():
            return
        frame, graph = self._value('map_frame'), self._graph
        camera_T_base = inverse_transform(self._base_T_camera)
        poses = [
            pose_stamped(stamp, frame, map_T_camera @ camera_T_base)
            for stamp, map_T_camera in zip(graph.stamps, graph.poses, strict=True)
        ]
        self._path_publisher.publish(PathMsg(header=poses[-1].header, poses=poses))

    def _on_odometry(self, msg: Odometry) -> None:
        odom_T_base, _ = pose_from_msg(msg.pose)
        stamp = stamp_from_msg(msg.header.stamp)
        self._odometry[stamp] = odom_T_base
        if len(self._odometry) > KEPT_ODOMETRY:
            del self._odometry[next(iter(self._odometry))]
        frame = self._value('map_frame')
        self._pose_publisher.publish(pose_stamped(stamp, frame, self._map_T_odom @ odom_T_base))
        if self._value('publish_tf'):
            header = header_to_msg(stamp, frame)
            self._sender.send(header, self._value('odom_frame'), self._map_T_odom)

    def _on_save(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            response.message, response.success = self.save(), True
        except (ValueError, OSError) as error:
            response.message = str(error)
        return response


def motion_from_msg(msg: RelativePose) -> Motion:
    """Read a pose that has a scale.

    Raises:
        ValueError: Its numbers are none of a pose with covariance.
    """
    times = stamp_from_msg(msg.reference_stamp), stamp_from_msg(msg.header.stamp)
    return Motion(*times, *pose_from_msg(msg.pose))


def pose_stamped(stamp_ns: int, frame: str, pose: Array) -> PoseStamped:
    """Write a pose (4, 4) in a frame."""
    written = pose_to_msg(pose, np.zeros((6, 6))).pose
    return PoseStamped(header=header_to_msg(stamp_ns, frame), pose=written)


if __name__ == '__main__':
    sys.exit(run_node(lambda _: PoseGraphNode(), 'pose_graph'))
