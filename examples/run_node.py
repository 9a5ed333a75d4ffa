"""Run an example's node until it is stopped."""

from __future__ import annotations

from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from loftr_ros.ros.ending import ending_on_signals


def run_node(make_node: Callable[[], Node], name: str) -> int:
    """Spin a node; its `destroy_node` ends what it does.

    Args:
        make_node: Makes it; a ValueError says which parameter is wrong.
        name: Of the node, for that error.

    Returns:
        Exit code: 0 after SIGINT or SIGTERM, 2 for a wrong parameter.
    """
    with ending_on_signals() as ending:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        try:
            node = make_node()
        except ValueError as error:
            rclpy.logging.get_logger(name).fatal(f'wrong parameter: {error}')
            rclpy.try_shutdown()
            return 2
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        try:
            ending.spin(executor)
        except ExternalShutdownException:
            pass
        finally:
            executor.shutdown(timeout_sec=0)
            node.destroy_node()
            rclpy.try_shutdown()
    return 0
