"""Transitions of the lifecycle that report why they failed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from lifecycle_msgs.srv import ChangeState
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

if TYPE_CHECKING:
    from rclpy.lifecycle import LifecycleNode

Answer = Callable[[ChangeState.Request, ChangeState.Response], ChangeState.Response]


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


def answer_refused_transitions(node: LifecycleNode) -> None:
    """Let ~/change_state answer `success: false` where the state does not allow a transition.

    Up to ROS 2 Jazzy rclpy raises instead, which ends the process (rclpy issue 1209).
    """
    # The node has no other door to it: rclpy creates the service in its own __init__.
    service = node._service_change_state  # noqa: SLF001
    change_state: Answer = service.callback

    def answer(
        request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        try:
            return change_state(request, response)
        except rclpy_implementation.RCLError as error:
            wanted = request.transition.label or f'number {request.transition.id}'
            node.get_logger().error(f'transition {wanted} is not possible now: {error}')
            response.success = False
            return response

    service.callback = answer
