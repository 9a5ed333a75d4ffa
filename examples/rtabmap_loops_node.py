#!/usr/bin/env python3
"""Loop closures of loftr_ros for RTAB-Map: `KIND_LOOP` in, the service `add_link` called.

    python examples/rtabmap_loops_node.py --ros-args -r relative_pose:=/loftr/relative_pose \
        -r odometry:=/loftr/odometry

Node files only wire topics; what is computed is in rtabmap_loops.py. Needs rtabmap_msgs.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import numpy as np
from geometry_msgs.msg import Quaternion, Transform, Vector3
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rtabmap_loops import Link, Loop, LoopLinks

from loftr_ros.codecs.conversions import pose_from_msg, pose_to_msg, stamp_from_msg
from loftr_ros.codecs.stamps import Order, StampOrder
from loftr_ros.msg import RelativePose
from loftr_ros.ros.running import run_node
from loftr_ros.settings.declarations import transform_from_pose

QUEUE_SIZE = 100
USER_CLOSURE = 4
"""Link::kUserClosure of RTAB-Map (corelib/include/rtabmap/core/Link.h)."""


class RtabmapLoopsNode(Node):
    """Sends each loop closure as a link, and says whether RTAB-Map took it."""

    def __init__(self) -> None:
        """Declare the parameter, subscribe, and look for the service.

        Raises:
            ValueError: The parameter is no pose.
        """
        from rtabmap_msgs.msg import Info, MapGraph
        from rtabmap_msgs.srv import AddLink

        super().__init__('rtabmap_loops')
        described = ParameterDescriptor(
            description='pose of the optical frame in the base, x y z qx qy qz qw; as loftr_ros'
        )
        looking_ahead = [0.0, 0.0, 0.0, -0.5, 0.5, -0.5, 0.5]
        values = self.declare_parameter('base_T_camera', looking_ahead, described).value
        if len(values) != 7:
            raise ValueError(f'base_T_camera must be 7 numbers, not {list(values)}')
        self._base_T_camera = transform_from_pose(values)
        self._start_over()
        self._request_type = AddLink.Request
        self._client = self.create_client(AddLink, 'rtabmap/add_link')
        self.create_subscription(Odometry, 'odometry', self._on_odometry, QUEUE_SIZE)
        self.create_subscription(RelativePose, 'relative_pose', self._on_pose, QUEUE_SIZE)
        self.create_subscription(Info, 'info', self._on_info, QUEUE_SIZE)
        self.create_subscription(MapGraph, 'mapGraph', self._on_graph, QUEUE_SIZE)

    def _start_over(self) -> None:
        self._links = LoopLinks(self._base_T_camera)
        self._order = StampOrder()

    def _on_odometry(self, msg: Odometry) -> None:
        stamp = stamp_from_msg(msg.header.stamp)
        if self._order.check(stamp) is Order.JUMPED:
            self.get_logger().warning('time went back: nodes and loop closures are forgotten')
            self._start_over()
            self._order.check(stamp)
        self._links.add_odometry(stamp, *pose_from_msg(msg.pose))
        self._send()

    def _on_pose(self, msg: RelativePose) -> None:
        usable = msg.state == RelativePose.STATE_OK and msg.metric
        if msg.kind == RelativePose.KIND_LOOP and usable:
            times = stamp_from_msg(msg.reference_stamp), stamp_from_msg(msg.header.stamp)
            self._links.add_loop(Loop(*times, *pose_from_msg(msg.pose)))
            self._send()

    def _on_info(self, msg: Any) -> None:  # noqa: ANN401 - rtabmap_msgs may be missing
        self._links.add_node(msg.ref_id, stamp_from_msg(msg.header.stamp))

    def _on_graph(self, msg: Any) -> None:  # noqa: ANN401
        log, pairs = self.get_logger(), [(link.from_id, link.to_id) for link in msg.links]
        for link, taken in self._links.add_graph(msg.poses_id, pairs):
            if taken:
                log.info(f'{describe(link)}: taken')
            else:
                reason = 'RTAB-Map says why in its log (RGBD/OptimizeMaxError?)'
                log.warning(f'{describe(link)}: not taken; {reason}')
        self._send()

    def _send(self) -> None:
        if not self._client.service_is_ready():
            if self._links.waiting:
                self.get_logger().warning(
                    f'{self._client.srv_name} is not there: loop closures wait for RTAB-Map',
                    throttle_duration_sec=10.0,
                )
            return
        for link in self._links.take():
            request = self._request_type()
            write_link(link, request.link)
            answer = self._client.call_async(request)
            answer.add_done_callback(lambda _, link=link: self._links.add_answer(link))


def write_link(link: Link, msg: Any) -> None:  # noqa: ANN401
    """Fill in a rtabmap_msgs/Link."""
    msg.from_id, msg.to_id, msg.type = link.from_id, link.to_id, USER_CLOSURE
    pose = pose_to_msg(link.from_T_to, np.zeros((6, 6))).pose
    position, turn = pose.position, pose.orientation
    msg.transform = Transform(
        translation=Vector3(x=position.x, y=position.y, z=position.z),
        rotation=Quaternion(x=turn.x, y=turn.y, z=turn.z, w=turn.w),
    )
    msg.information = link.information.ravel()


def describe(link: Link) -> str:
    """Name the images and the nodes of a link."""
    times = f'{link.loop.query_ns / 1e9:.3f} s -> {link.loop.reference_ns / 1e9:.3f} s'
    return f'loop closure {times} as a link {link.from_id} -> {link.to_id}'


def main() -> int:
    """Run it; returns the exit code."""
    if importlib.util.find_spec('rtabmap_msgs') is None:
        print(
            'rtabmap_msgs is not installed: it comes with RTAB-Map, in the package '
            'ros-<distribution>-rtabmap-msgs; source that workspace',
            file=sys.stderr,
        )
        return 2
    return run_node(lambda _: RtabmapLoopsNode(), 'rtabmap_loops')


if __name__ == '__main__':
    sys.exit(main())
