"""Keep the tests on this machine, and apart from all other ROS systems on it."""

import gc
import os
import socket

import pytest


def reserve_domain() -> tuple[int, socket.socket]:
    """Find a ROS domain that no other run of these tests has; it is ours while the socket lives."""
    for domain in range(1, 101):
        reservation = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            reservation.bind(('127.0.0.1', 47000 + domain))
        except OSError:
            reservation.close()
        else:
            return domain, reservation
    raise RuntimeError('all ROS domains are taken by other runs of these tests')


DOMAIN, RESERVATION = reserve_domain()
os.environ['ROS_DOMAIN_ID'] = str(DOMAIN)
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
# Over shared memory two nodes now and then do not find each other.
os.environ.setdefault('FASTDDS_BUILTIN_TRANSPORTS', 'UDPv4')
# Messages check the types of their fields only if asked to, and tests are there to ask.
os.environ.setdefault('ROS_PYTHON_CHECK_FIELDS', '1')


@pytest.fixture(scope='module')
def topics() -> dict[str, str]:
    """Name and type of all that the node publishes and hears in a mode with odometry."""
    import rclpy
    from flow_matcher import FlowMatcher
    from rclpy.lifecycle import TransitionCallbackReturn
    from rclpy.parameter import Parameter

    from loftr_ros.ros.node import LoftrNode

    context = rclpy.Context()
    rclpy.init(context=context)
    values = {'autostart': False, 'mode': 'rgbd', 'extrinsics': 'parameter'}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = LoftrNode(lambda _: FlowMatcher(), context=context, parameter_overrides=overrides)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    found = node.get_publisher_names_and_types_by_node('loftr', '/')
    found += node.get_subscriber_names_and_types_by_node('loftr', '/')
    node.destroy_node()
    rclpy.shutdown(context=context)
    # Its services keep a lifecycle node in the graph, beside the next one, until it is collected.
    del node, context
    gc.collect()
    return {name: types[0] for name, types in found}
