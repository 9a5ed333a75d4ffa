"""Run an example's node until it is stopped."""

from __future__ import annotations

from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node


def run_node(make_node: Callable[[], Node], name: str) -> int:
    """Spin a node; its `destroy_node` ends what it does.

    Args:
        make_node: Makes it; a ValueError says which parameter is wrong.
        name: Of the node, for that error.

    Returns:
        Exit code: 0 after SIGINT or SIGTERM, 2 for a wrong parameter.
    """
    rclpy.init()
    executor = SingleThreadedExecutor()
    try:
        node = make_node()
    except ValueError as error:
        rclpy.logging.get_logger(name).fatal(f'wrong parameter: {error}')
        rclpy.try_shutdown()
        return 2
    executor.add_node(node)
    try:
        # Without a timeout, a signal that comes just before a wait may leave it waiting forever.
        while rclpy.ok():
            executor.spin_once(timeout_sec=1.0)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:
        # The signal may end the context while the executor is about to use it.
        if rclpy.ok():
            raise
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0
