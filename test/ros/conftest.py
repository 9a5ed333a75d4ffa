"""What the tests of the node share."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope='module', autouse=True)
def collected() -> Iterator[None]:
    """Leave no nodes of a module in the graph."""
    yield
    from harness import collect_nodes

    collect_nodes()


@pytest.fixture(scope='module')
def topics() -> dict[str, str]:
    """Name and type of all that the node publishes and subscribes to in a mode with odometry."""
    import rclpy
    from flow_matcher import FlowMatcher
    from harness import endpoints_of
    from rclpy.lifecycle import TransitionCallbackReturn
    from rclpy.parameter import Parameter

    from loftr_ros.ros.node import LoftrNode

    context = rclpy.Context()
    rclpy.init(context=context)
    values = {'autostart': False, 'mode': 'rgbd', 'odometry.extrinsics': 'parameter'}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = LoftrNode(lambda _: FlowMatcher(), context=context, parameter_overrides=overrides)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    endpoints = endpoints_of(node)
    node.destroy_node()
    rclpy.shutdown(context=context)
    return {name: types[0] for name, types in (endpoints.published | endpoints.subscribed).items()}
