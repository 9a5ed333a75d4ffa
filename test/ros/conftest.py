"""What the tests of the node share."""

import gc

import pytest


@pytest.fixture(scope='module')
def topics() -> dict[str, str]:
    """Name and type of all that the node publishes and hears in a mode with odometry."""
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
    # Its services keep a lifecycle node in the graph, beside the next one, until it is collected.
    del node, context
    gc.collect()
    return {name: types[0] for name, types in (endpoints.published | endpoints.subscribed).items()}
