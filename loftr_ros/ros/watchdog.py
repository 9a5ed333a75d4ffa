"""Looks after the node once in a second: reports to /diagnostics, and logs what is new in them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray

from loftr_ros.ros.diagnostics import NodeReport, diagnostics_to_msg
from loftr_ros.ros.monitoring import LogLimit

if TYPE_CHECKING:
    from rclpy.node import Node

    from loftr_ros.ros.imu import ImuInput
    from loftr_ros.ros.inputs import Inputs
    from loftr_ros.ros.monitoring import WorkMonitor
    from loftr_ros.ros.pipeline import Pipeline

REMEDY = 'if it does not go on, clean up and configure the node, which starts another worker'


class Watchdog:
    """Publishes reports, and logs problems when they come and go.

    Attributes:
        stuck: Why the worker does not go on; '' if it does.
    """

    def __init__(self, node: Node, work: WorkMonitor, abandon: Callable[[str], None]) -> None:
        """Watch a node.

        Args:
            node: Its logger and its publishers are used.
            work: Counts what is processed.
            abandon: Called with the problem as long as the worker is stuck.
        """
        self._node = node
        self._work = work
        self._abandon = abandon
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._limit = LogLimit()
        self._reported: set[str] = set()
        self.stuck = ''

    def forget(self) -> None:
        """Forget which problems were reported, as those of inputs that are no more."""
        self._reported.clear()

    def released(self) -> None:
        """Take note that the worker is given back."""
        self.stuck = ''

    def check_worker(self, pipeline: Pipeline) -> None:
        """Look whether the worker goes on."""
        problem, logger = pipeline.problem(), self._node.get_logger()
        if problem:
            self._abandon(problem)
            if not self.stuck:
                logger.error(f'{problem}: {REMEDY}')
        elif self.stuck:
            logger.info('the worker goes on')
        self.stuck = f'{problem}: {REMEDY}' if problem else ''

    def publish(self, report: NodeReport) -> None:
        """Publish a report, and log what is new in it."""
        stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(diagnostics_to_msg(report, stamp))
        logger = self._node.get_logger()
        for problem in report.problems:
            new = _topic(problem) not in self._reported
            if new and (line := self._limit.line('', problem, report.now)):
                logger.warning(line)
        if self._reported and not report.problems and report.topics:
            again = 'all inputs are there again'
            if line := self._limit.line('', again, report.now):
                logger.info(line)
        self._reported = {_topic(problem) for problem in report.problems}

    def report(
        self,
        state: str,
        pipeline: Pipeline | None,
        inputs: Inputs | None,
        imu_input: ImuInput | None,
        *,
        paused: bool,
        failure: str,
    ) -> NodeReport:
        """Return all that is known about the node."""
        now, node = time.monotonic(), self._node
        topics, problems = ([], []) if inputs is None else inputs.report()
        if node.get_parameter('use_sim_time').value and not node.get_clock().now().nanoseconds:
            problems = ['/clock: use_sim_time is set, but no time has come yet', *problems]
        if imu_input is not None and pipeline is not None:
            problem = imu_input.problem(pipeline.processor.session.gyroscope)
            problems = [*problems, *filter(None, [problem])]
        odometry = None if pipeline is None or not pipeline.odometry else pipeline.odometry.report
        if odometry is not None and odometry.problem:
            problems.append(odometry.problem)
        return NodeReport(
            name=node.get_fully_qualified_name().lstrip('/'),
            state=state,
            paused=paused,
            now=now,
            problems=problems,
            topics=topics,
            work=self._work.report(now, 0 if pipeline is None else pipeline.dropped),
            model={} if pipeline is None else pipeline.model(),
            failure=failure,
            fallback='' if pipeline is None else pipeline.processor.fallback,
            odometry=odometry,
            stuck=self.stuck,
        )


def _topic(problem: str) -> str:
    return problem.partition(':')[0]
