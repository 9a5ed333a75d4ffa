"""Transitions of the lifecycle that report why they failed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol, TypeVar

from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn


class Managed(Protocol):
    """A node that keeps its state in words."""

    state: str

    def note_success(self, before: str) -> None:
        """Report a transition from the state `before`."""

    def note_failure(self, reason: str) -> None:
        """Report why a transition failed."""


Node = TypeVar('Node', bound=Managed)


def transition(
    during: str, after: str, *, failure: TransitionCallbackReturn
) -> Callable[
    [Callable[[Node, LifecycleState], None]],
    Callable[[Node, LifecycleState], TransitionCallbackReturn],
]:
    """Make a method a transition to the state `after` that reports why it failed.

    rclpy drops the exceptions of transition callbacks without a word.
    """

    def decorate(
        method: Callable[[Node, LifecycleState], None],
    ) -> Callable[[Node, LifecycleState], TransitionCallbackReturn]:
        @functools.wraps(method)
        def callback(self: Node, state: LifecycleState) -> TransitionCallbackReturn:
            self.state = during
            try:
                method(self, state)
            except Exception as error:  # of torch, of a driver, of the file system
                self.state = state.label
                self.note_failure(f'{method.__name__[3:]} failed: {error}')
                return failure
            self.state = after
            self.note_success(state.label)
            return TransitionCallbackReturn.SUCCESS

        return callback

    return decorate


class ManagedNode(LifecycleNode):
    """A lifecycle node that goes on where its state does not allow a transition.

    Up to ROS 2 Jazzy rclpy raises instead: out of the service, which ends the process, and out of
    `trigger_configure` and the like (rclpy issue 1209).
    """

    def _LifecycleNodeMixin__change_state(self, transition_id: int) -> TransitionCallbackReturn:  # noqa: N802
        # The one door to all transitions: the service and the triggers share nothing else.
        try:
            change_state = super()._LifecycleNodeMixin__change_state
            return change_state(transition_id)
        except rclpy_implementation.RCLError as error:
            self.get_logger().error(f'transition {transition_id} is not possible now: {error}')
            return TransitionCallbackReturn.ERROR
