"""Run a node as a process until it is asked to end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from loftr_ros.ros.ending import Ending, ending_on_signals

if TYPE_CHECKING:
    from rclpy.node import Node


def run_node(
    make_node: Callable[[Ending], Node],
    name: str,
    refusals: tuple[type[Exception], ...] = (ValueError,),
    args: list[str] | None = None,
) -> int:
    """Spin a node until SIGINT or SIGTERM comes.

    Args:
        make_node: Makes it; its argument says whether the process is to end.
        name: Of the node, for errors.
        refusals: Errors of `make_node` that say which parameter is wrong.
        args: Arguments of the process; None for those of `sys.argv`.

    Returns:
        Exit code: 0 after SIGINT or SIGTERM, 2 for a wrong argument or parameter.
    """
    with ending_on_signals() as ending:
        try:
            rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        except RuntimeError as error:  # rclpy has several, of --ros-args that it cannot read
            print(f'{name}: wrong argument: {error}', file=sys.stderr)
            return 2
        try:
            node = make_node(ending)
        except refusals as error:
            rclpy.logging.get_logger(name).fatal(f'wrong parameter: {error}')
            rclpy.try_shutdown()
            return 2
        _spin(node, ending)
    return 0


def _spin(node: Node, ending: Ending) -> None:
    # Several threads would not help: the worker computes. Up to ROS 2 Kilted the executor for them
    # spins while a callback waits for its thread, and the worker starves (rclpy issue 1452).
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        ending.spin(executor)
    except ExternalShutdownException:
        pass
    finally:
        # Services that wait for the worker are not waited for: there is no thread to answer in.
        executor.shutdown(timeout_sec=0)
        node.destroy_node()
        rclpy.try_shutdown()
