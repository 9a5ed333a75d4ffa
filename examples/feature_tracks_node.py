#!/usr/bin/env python3
"""A front-end for VINS on loftr_ros: correspondences in, feature tracks out.

    python examples/feature_tracks_node.py --ros-args -r correspondences:=/loftr/correspondences \
        -r feature:=/feature_tracker/feature -r restart:=/feature_tracker/restart

Node files only wire topics; what is computed is in feature_tracks.py.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from feature_tracks import FeatureOptions, Features, FeatureTracks
from geometry_msgs.msg import Point32
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from sensor_msgs.msg import ChannelFloat32, PointCloud
from std_msgs.msg import Bool

from loftr_ros.codecs.conversions import correspondences_from_msg, header_to_msg, stamp_from_msg
from loftr_ros.msg import Correspondences
from loftr_ros.ros.running import run_node

QUEUE_SIZE = 10
FRAME = 'world'
"""What VINS-Mono's own tracker names, and its estimator goes on with."""

CHANNELS = {
    'mono': ('id', 'u', 'v', 'velocity_x', 'velocity_y'),
    # VINS-Fusion reads a true position from channels 6 to 8 wherever there are more than five.
    'fusion': ('id', 'camera', 'u', 'v', 'velocity_x', 'velocity_y', 'x', 'y', 'z'),
}
PARAMETERS = {
    'layout': ('mono', 'channels of the message: mono (VINS-Mono) or fusion (VINS-Fusion)'),
    'max_features': (150, 'greatest number of features of a frame'),
    'min_distance': (20.0, 'least distance between two features of a frame, px'),
    'max_sigma': (3.0, 'matches of a larger standard deviation are left out, px'),
    'max_gap': (1.0, 'after so long without features the estimator is restarted, s'),
}


class FeatureTracksNode(Node):
    """Subscribes to Correspondences and publishes PointCloud as VINS reads it."""

    def __init__(self) -> None:
        """Declare the parameters, subscribe and publish.

        Raises:
            ValueError: A parameter has a value that it cannot have.
        """
        super().__init__('feature_tracker')
        for name, (default, description) in PARAMETERS.items():
            self.declare_parameter(name, default, ParameterDescriptor(description=description))
        self._layout = self._value('layout')
        if self._layout not in CHANNELS:
            raise ValueError(f'layout must be {" or ".join(CHANNELS)}, not {self._layout!r}')
        self._tracks = FeatureTracks(
            FeatureOptions(
                self._value('max_features'),
                self._value('min_distance'),
                self._value('max_sigma'),
                self._value('max_gap'),
            )
        )
        self._features = self.create_publisher(PointCloud, 'feature', QUEUE_SIZE)
        self._restart = self.create_publisher(Bool, 'restart', QUEUE_SIZE)
        self.create_subscription(Correspondences, 'correspondences', self._on_message, QUEUE_SIZE)

    def _value(self, name: str) -> Any:  # noqa: ANN401 - of the parameter's own type
        return self.get_parameter(name).value

    def _on_message(self, msg: Correspondences) -> None:
        if self._tracks.breaks(stamp_from_msg(msg.header.stamp)):
            self.get_logger().warning('the frames do not go on: the estimator is restarted')
            self._tracks.reset()
            self._restart.publish(Bool(data=True))
        try:
            features = self._tracks.update(correspondences_from_msg(msg))
        except ValueError as error:
            self.get_logger().warning(f'correspondences are not used: {error}')
            return
        if features is not None:
            self._features.publish(features_to_msg(features, self._layout))


def features_to_msg(features: Features, layout: str) -> PointCloud:
    """Write features as a message of one of the layouts of CHANNELS."""
    none = np.zeros(len(features.ids))
    values = {
        'id': features.ids,
        'camera': none,
        'u': features.points[:, 0],
        'v': features.points[:, 1],
        'velocity_x': features.velocities[:, 0],
        'velocity_y': features.velocities[:, 1],
        'x': none,
        'y': none,
        'z': none,
    }
    return PointCloud(
        header=header_to_msg(features.stamp_ns, FRAME),
        points=[Point32(x=x, y=y, z=1.0) for x, y in features.rays.tolist()],
        channels=[channel(name, values[name]) for name in CHANNELS[layout]],
    )


def channel(name: str, values: Sequence[float] | npt.NDArray[Any]) -> ChannelFloat32:
    """Write numbers as a channel."""
    return ChannelFloat32(name=name, values=np.asarray(values, np.float32).tolist())


if __name__ == '__main__':
    sys.exit(run_node(lambda _: FeatureTracksNode(), 'feature_tracker'))
