"""A stand-in for RTAB-Map: a node of its graph for every third image, and its service `add_link`.

Each link that it is asked for is printed as a line of JSON. It takes none between nodes that it
does not have, and none longer than 100 m.
"""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import rclpy
from nav_msgs.msg import Odometry
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rtabmap_msgs.msg import Info, MapGraph
from rtabmap_msgs.srv import AddLink

EVERY = 3
LONGEST = 100.0


class GraphNode(Node):
    """Named and connected as the node of rtabmap_slam."""

    def __init__(self) -> None:
        super().__init__('rtabmap')
        self.count = 0
        self.ids: list[int] = []
        self.links: list[Any] = []
        self.graphs = self.create_publisher(MapGraph, 'mapGraph', 10)
        self.infos = self.create_publisher(Info, 'info', 10)
        self.create_service(AddLink, 'rtabmap/add_link', self.add_link)
        self.create_subscription(Odometry, 'odom', self.take, 100)

    def take(self, msg: Odometry) -> None:
        self.count += 1
        if self.count % EVERY == 1:
            self.ids.append(self.count)
        # As where the camera stands: the others are forgotten at once.
        self.infos.publish(Info(header=msg.header, ref_id=self.count))
        self.graphs.publish(MapGraph(header=msg.header, poses_id=self.ids, links=self.links))

    def add_link(self, request: AddLink.Request, response: AddLink.Response) -> AddLink.Response:
        link = request.link
        step = [getattr(link.transform.translation, axis) for axis in 'xyz']
        row = {'from': link.from_id, 'to': link.to_id, 'type': link.type, 'translation': step}
        print(json.dumps({**row, 'information': link.information.tolist()}), flush=True)
        if {link.from_id, link.to_id} <= set(self.ids) and math.hypot(*step) < LONGEST:
            self.links.append(link)
        return response


if __name__ == '__main__':
    rclpy.init()
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(GraphNode())
