"""Transitions that fail say why and leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import rclpy
from flow_matcher import FlowMatcher
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.parameter import Parameter

from loftr_ros.ros import node as node_module
from loftr_ros.ros.node import LoftrNode
from loftr_ros.settings.parameters import NodeParameters

Make = Callable[..., LoftrNode]


@pytest.fixture
def make() -> Iterator[Make]:
    context = rclpy.Context()
    rclpy.init(context=context)
    nodes: list[LoftrNode] = []

    def make_node(factory: Callable[[NodeParameters], FlowMatcher]) -> LoftrNode:
        autostart = Parameter('autostart', value=False)
        nodes.append(
            LoftrNode(
                factory,
                context=context,
                namespace='transitions',
                parameter_overrides=[autostart],
            )
        )
        return nodes[-1]

    yield make_node
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


def test_a_model_that_cannot_be_loaded_leaves_the_node_unconfigured(make: Make) -> None:
    def fail(parameters: NodeParameters) -> FlowMatcher:
        raise OSError(f'no weights {parameters.matcher.weights}')

    node = make(fail)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert node.state == 'unconfigured'
    assert node.trigger_activate() == TransitionCallbackReturn.ERROR
    assert node.state == 'unconfigured'


def test_a_subscription_that_fails_gives_the_model_back(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError('no such topic')

    node = make(lambda _: FlowMatcher())
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    monkeypatch.setattr(node_module, 'Inputs', fail)
    assert node.trigger_activate() == TransitionCallbackReturn.ERROR
    assert node.state == 'unconfigured'
    monkeypatch.undo()
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    assert node.state == 'active'


def test_the_weights_cannot_change_while_they_are_loaded(make: Make) -> None:
    reasons: list[str] = []

    def load(_: NodeParameters) -> FlowMatcher:
        weights = Parameter('matcher.weights', value='other')
        reasons.append(node.set_parameters([weights])[0].reason)
        return FlowMatcher()

    node = make(load)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert 'weights cannot change while the node is configured' in reasons[0]


def test_a_node_that_a_manager_configured_first_does_not_start_itself(make: Make) -> None:
    node = make(lambda _: FlowMatcher())
    node._autostart_timer = node.create_timer(100.0, node._autostart)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    node._autostart()
    assert node.state == 'inactive'


def test_an_error_of_rclpy_in_a_transition_is_an_answer(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise rclpy_implementation.RCLError('no transition matching 1 for state inactive')

    # What rclpy does up to ROS 2 Jazzy; later versions answer by themselves.
    monkeypatch.setattr(LifecycleNode, '_LifecycleNodeMixin__change_state', fail)
    node = make(lambda _: FlowMatcher())
    assert node.trigger_configure() == TransitionCallbackReturn.ERROR
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    answer = node._service_change_state.callback(request, ChangeState.Response())
    assert not answer.success
