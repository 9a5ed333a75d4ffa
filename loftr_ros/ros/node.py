"""The LoFTR node: wires topics, services and parameters to the parts that do the work."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from typing import Any, NoReturn

import cv2
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import (  # where Humble has them all
    Clock,
    ClockType,
    JumpThreshold,
    TimeJump,
)
from rclpy.duration import Duration
from rclpy.exceptions import InvalidNamespaceException, InvalidNodeNameException
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from loftr_ros.allocator import keep_freed_memory
from loftr_ros.frontend import Step
from loftr_ros.ros.configuring import Hooks, load_in_worker, new_pipeline
from loftr_ros.ros.descriptors import declare
from loftr_ros.ros.ending import Ending, leave
from loftr_ros.ros.frames import Arrival, InputError
from loftr_ros.ros.imu import ImuInput
from loftr_ros.ros.inputs import Inputs
from loftr_ros.ros.memory import free_memory
from loftr_ros.ros.monitoring import LONGEST_TEXT, Refusal, WorkMonitor
from loftr_ros.ros.odometry import check_extrinsics
from loftr_ros.ros.odometry_inputs import OdometryInputs
from loftr_ros.ros.pipeline import Pipeline
from loftr_ros.ros.running import run_node
from loftr_ros.ros.services import Services, Waiting
from loftr_ros.ros.transitions import ManagedNode, transition
from loftr_ros.ros.watchdog import Watchdog
from loftr_ros.ros.worker import Worker
from loftr_ros.settings.declarations import ParameterError
from loftr_ros.settings.matcher import NodeMatcher, load_matcher
from loftr_ros.settings.names import name_problem
from loftr_ros.settings.parameters import NodeParameters
from loftr_ros.texts import shortened
from loftr_ros.waiting import wait_briefly

MatcherFactory = Callable[[NodeParameters], NodeMatcher]

CLOCK_JUMP = Duration(seconds=-0.5)
STOP_TIMEOUT_S = 10.0
ENDING_TIMEOUT_S = 1.0
"""How long the worker is waited for when the process is to end, or the worker is stuck."""
WATCHDOG_S = 1.0


class LoftrNode(ManagedNode):
    """Managed node: configure loads the model, activate subscribes."""

    def __init__(
        self,
        matcher_factory: MatcherFactory = load_matcher,
        is_ending: Callable[[], bool] = lambda: False,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Declare everything; nothing heavy happens before it is configured.

        Args:
            matcher_factory: Makes the matcher from the parameters.
            is_ending: Whether the process is to end: then nothing long is waited for.
            kwargs: Of `rclpy.lifecycle.LifecycleNode`.

        Raises:
            ParameterError: A parameter was given a wrong value.
        """
        # Only so can overrides be seen that no parameter takes, such as misspelt ones.
        kwargs['automatically_declare_parameters_from_overrides'] = True
        super().__init__('loftr', **kwargs)
        self.state = 'unconfigured'
        self.paused = False
        self._matcher_factory = matcher_factory
        self._is_ending = is_ending
        self.pipeline: Pipeline | None = None
        self._inputs: Inputs | None = None
        self._odometry_inputs: OdometryInputs | None = None
        self._imu_input: ImuInput | None = None
        self._failure = ''
        self._work = WorkMonitor()
        self._waiting = Waiting(lambda: self.executor)
        self._watchdog = Watchdog(self, self._work, self._waiting.abandon)
        self.parameters = declare(self)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._serve()
        self._watch()

    def _serve(self) -> None:
        # A service that waits for the worker must not keep callbacks of its group from running.
        group = ReentrantCallbackGroup()
        create = functools.partial(self.create_service, callback_group=group)
        Services(self, create, self._waiting)

    def _watch(self) -> None:
        # Simulated time may stand still: exactly then the watchdog must not.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(WATCHDOG_S, self._on_watchdog, clock=clock)
        threshold = JumpThreshold(min_forward=None, min_backward=CLOCK_JUMP, on_clock_change=False)
        self._jump_handle = self.get_clock().create_jump_callback(
            threshold, post_callback=self._on_clock_jump
        )
        if self.parameters.autostart:
            self._autostart_timer = self.create_timer(0.0, self._autostart, clock=clock)

    def _autostart(self) -> None:
        self.destroy_timer(self._autostart_timer)
        if self.state != 'unconfigured':
            return  # a manager was faster
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    # --- lifecycle ---

    @transition('configuring', 'inactive', failure=TransitionCallbackReturn.FAILURE)
    def on_configure(self, _: LifecycleState) -> None:
        """Load and warm up the model, start the worker, create the publishers."""
        parameters = self.parameters
        self._failure = ''
        check_extrinsics(parameters)
        keep_all = parameters.input.process_every_frame
        worker = Worker(
            self._process,
            self._on_worker_error,
            keep_all=keep_all,
            capacity=parameters.input.queue_size if keep_all else 1,
            on_room=self._wake if keep_all else None,
        )
        try:
            self._set_up(worker, parameters)
        except Exception:
            worker.stop(self._patience())
            free_memory()
            raise

    def _set_up(self, worker: Worker[Arrival], parameters: NodeParameters) -> None:
        matcher, seconds = load_in_worker(
            worker, lambda: self._matcher_factory(parameters), self._while_loading, WATCHDOG_S
        )
        hooks = Hooks(refuse=self._refuse, align=self._align, fail=self._on_worker_error)
        self.pipeline = new_pipeline(self, parameters, matcher, worker, hooks)
        self.get_logger().info(
            f'weights {matcher.weights_name} on {matcher.device}; warm-up took {seconds:.1f} s'
        )

    def _while_loading(self) -> None:
        if self._is_ending() or not self.context.ok():
            raise RuntimeError('the process is to end')
        self._on_watchdog()

    @transition('activating', 'active', failure=TransitionCallbackReturn.ERROR)
    def on_activate(self, state: LifecycleState) -> None:
        """Subscribe."""
        super().on_activate(state)
        pipeline, keep_all = self.pipeline, self.parameters.input.process_every_frame
        self._inputs = Inputs(
            self,
            self.parameters,
            self._on_arrival,
            self._refuse,
            self._reset_after_jump,
            lambda: not keep_all or pipeline is None or pipeline.worker.has_room,
        )
        if pipeline is not None and pipeline.odometry is not None:
            self._odometry_inputs = OdometryInputs(
                self, self.parameters, pipeline.set_pose, pipeline.set_speed, self._refuse
            )
        if pipeline is not None and self.parameters.has_gyroscope:
            timeout = self.parameters.input.silent_timeout
            self._imu_input = ImuInput(self, pipeline.processor.add_imu, self._refuse, timeout)

    @transition('deactivating', 'inactive', failure=TransitionCallbackReturn.ERROR)
    def on_deactivate(self, state: LifecycleState) -> None:
        """Unsubscribe, and forget the frames so far."""
        self._unsubscribe()
        super().on_deactivate(state)

    @transition('cleaning up', 'unconfigured', failure=TransitionCallbackReturn.ERROR)
    def on_cleanup(self, _: LifecycleState) -> None:
        """Give back model, worker and publishers."""
        self._release()

    @transition('shutting down', 'finalized', failure=TransitionCallbackReturn.ERROR)
    def on_shutdown(self, _: LifecycleState) -> None:
        """Give back everything."""
        self._release()

    @transition('recovering', 'unconfigured', failure=TransitionCallbackReturn.FAILURE)
    def on_error(self, _: LifecycleState) -> None:
        """Give back everything, to be configured anew."""
        self._release()

    def note_success(self, before: str) -> None:
        """Log a transition."""
        self.get_logger().info(f'{before} -> {self.state}')

    def note_failure(self, reason: str) -> None:
        """Log why a transition failed, and keep it for /diagnostics."""
        self._failure = shortened(reason, LONGEST_TEXT)
        if self.context.ok():
            self.get_logger().error(self._failure)

    def _unsubscribe(self) -> None:
        subscribed = self._inputs, self._odometry_inputs, self._imu_input
        self._inputs = self._odometry_inputs = self._imu_input = None
        for inputs in subscribed:
            if inputs is not None:
                inputs.close()
        if self.pipeline is not None:
            self.pipeline.clear()
            self.pipeline.worker.call(self.pipeline.reset)
        self._watchdog.forget()

    def _release(self) -> None:
        self._unsubscribe()
        pipeline, self.pipeline = self.pipeline, None
        if pipeline is None:
            return
        if not pipeline.stop(self._patience()):
            self.get_logger().warning('the worker is still busy with its last frame')
        self._watchdog.released()
        pipeline.close()
        del pipeline
        free_memory()

    def _patience(self) -> float:
        """Return how long to wait for the end of the worker, s."""
        ending = self._is_ending() or not self.context.ok()
        return ENDING_TIMEOUT_S if ending or self._watchdog.stuck else STOP_TIMEOUT_S

    def destroy_node(self) -> None:
        """Give back everything and leave the graph."""
        self._release()
        super().destroy_node()

    # --- frames ---

    def _on_arrival(self, arrival: Arrival) -> None:
        pipeline = self.pipeline
        if pipeline is not None and not self.paused:
            pipeline.submit(arrival)

    def _wake(self) -> None:
        """Let the executor look again for messages that wait; in the worker's thread."""
        if (executor := self.executor) is not None:
            executor.wake()

    def _process(self, arrival: Arrival) -> None:
        pipeline = self.pipeline
        if pipeline is None:
            return
        try:
            step = pipeline.processor.process(arrival)
        except InputError as error:
            self._refuse(error.topic, error.reason)
            return
        self._publish(pipeline, step, arrival)
        pipeline.close_loops(step)

    def _align(self, arrival: Arrival) -> bool:
        pipeline = self.pipeline
        if pipeline is None:
            return True
        try:
            step = pipeline.processor.align(arrival)
        except InputError as error:
            self._refuse(error.topic, error.reason)
            return True
        if step is not None:
            self._publish(pipeline, step, arrival)
        return step is not None

    def _publish(self, pipeline: Pipeline, step: Step, arrival: Arrival) -> None:
        pipeline.publish(step, self.parameters)
        if step.notice:
            self.get_logger().warning(step.notice)
        if step.result is not None and (
            change := self._work.state_change(step.result, time.monotonic())
        ):
            self.get_logger().warning(change)
        self._work.succeeded(step.result, arrival.received, time.monotonic())

    def _refuse(self, topic: str, reason: str) -> None:
        if self._inputs is not None:
            self._inputs.count_refusal(topic)
        refusal = Refusal(topic, shortened(reason, LONGEST_TEXT), time.monotonic())
        if line := self._work.refused(refusal):
            self.get_logger().warning(f'refused {line}')

    def _on_worker_error(self, error: BaseException) -> None:
        if not self.context.ok():  # the process is ending: there is nobody left to publish to
            return
        if line := self._work.failed(error, time.monotonic()):
            self.get_logger().error(line)

    # --- time ---

    def clear_inputs(self) -> None:
        """Forget the messages that wait."""
        if self._inputs is not None:
            self._inputs.clear()

    def _on_clock_jump(self, jump: TimeJump) -> None:
        if self._inputs is not None:
            self._inputs.clear()
            back = -jump.delta.nanoseconds / 1e9
            self._reset_after_jump(f'the clock went back by {back:.3f} s')

    def _reset_after_jump(self, reason: str) -> None:
        pipeline = self.pipeline
        if pipeline is None:
            return
        if not self.parameters.input.process_every_frame:
            pipeline.clear()
        pipeline.worker.call(pipeline.reset)
        text = f'{reason}: everything before is forgotten'
        if line := self._work.was_reset(text, time.monotonic()):
            self.get_logger().warning(line)

    # --- parameters ---

    def set_parameters_atomically(
        self, parameter_list: list[Parameter[Any]]
    ) -> SetParametersResult:
        """Set parameters together; rclpy would not say which one a wrong name may mean."""
        problems = [name_problem(parameter.name) for parameter in parameter_list]
        if any(problems):
            return SetParametersResult(successful=False, reason='; '.join(filter(None, problems)))
        return super().set_parameters_atomically(parameter_list)

    def _on_set_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        values = {parameter.name: parameter.value for parameter in parameters}
        configured = self.state != 'unconfigured'
        try:
            self.parameters = self.parameters.changed(values, configured=configured)
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if self._inputs is not None:
            self._inputs.apply(self.parameters)
        if self.pipeline is not None:
            processor, changed = self.pipeline.processor, self.parameters
            self.pipeline.worker.call(lambda: processor.apply(changed))
        return SetParametersResult(successful=True)

    # --- reports ---

    def _on_watchdog(self) -> None:
        if self._inputs is not None:
            self._inputs.read_latched()
        if self.pipeline is not None:
            self.pipeline.transforms.update_subscription()
            self._watchdog.check_worker(self.pipeline)
        report = self._watchdog.report(
            self.state,
            self.pipeline,
            self._inputs,
            self._imu_input,
            paused=self.paused,
            failure=self._failure,
        )
        self._watchdog.publish(report)


def main(args: list[str] | None = None, matcher_factory: MatcherFactory = load_matcher) -> int:
    """Run the node until it is asked to end.

    Returns:
        Exit code: 0 after SIGINT or SIGTERM, 2 for a wrong argument or parameter.
    """
    keep_freed_memory()
    wait_briefly()
    refusals = ParameterError, InvalidNodeNameException, InvalidNamespaceException

    def make_node(ending: Ending) -> LoftrNode:
        node = LoftrNode(matcher_factory, ending.is_set)
        _limit_threads(node.parameters)
        return node

    return run_node(make_node, 'loftr', refusals, args)


def _limit_threads(parameters: NodeParameters) -> None:
    count = parameters.matcher.num_threads
    if not count and parameters.aligns:
        # The thread that aligns needs a core of its own, or it would wait for the network.
        count = max(1, len(os.sched_getaffinity(0)) - 1)
        cv2.setNumThreads(1)
    if count:
        import torch

        torch.set_num_threads(count)


def run() -> NoReturn:
    """Run the node as a process."""
    leave(main())


if __name__ == '__main__':
    run()
