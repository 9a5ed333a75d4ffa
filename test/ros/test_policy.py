"""The SROS 2 policy allows what the node does in every mode, and has the form of sros2's schema."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import rclpy
from flow_matcher import FlowMatcher
from harness import endpoints_of
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from loftr_ros.ros.node import LoftrNode

POLICY = Path(__file__).parents[2] / 'policies' / 'loftr.policy.xml'
# Element -> the elements that policy.xsd of sros2 allows in it.
CHILDREN = {
    'policy': {'enclaves'},
    'enclaves': {'enclave'},
    'enclave': {'profiles'},
    'profiles': {'profile'},
    'profile': {'topics', 'services', 'actions'},
    'topics': {'topic'},
    'services': {'service'},
}
VERBS = {'topics': {'publish', 'subscribe'}, 'services': {'reply', 'request'}}


def allowed(kind: str, verb: str) -> set[str]:
    """Return the full names that the policy allows for a verb."""
    names = {
        (each.text or '')
        for group in ET.parse(POLICY).iter(kind)
        if group.get(verb) == 'ALLOW'
        for each in group
    }
    return {name.replace('~', '/loftr') if name[0] in '~/' else f'/{name}' for name in names}


def test_the_policy_has_the_form_of_the_schema() -> None:
    root = ET.parse(POLICY).getroot()
    assert (root.tag, root.get('version')) == ('policy', '0.2.0')
    for element in root.iter():
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
        if element.tag in VERBS:
            assert set(element.attrib) <= VERBS[element.tag]
            assert set(element.attrib.values()) <= {'ALLOW', 'DENY'}
    [profile] = root.iter('profile')
    assert (profile.get('ns'), profile.get('node')) == ('/', 'loftr')


def test_sros2_takes_the_policy() -> None:
    policy = pytest.importorskip('sros2.policy', reason='sros2 is not installed')
    policy.load_policy(POLICY)


@pytest.mark.parametrize('transport', ['raw', 'compressed'])
@pytest.mark.parametrize('mode', ['mono', 'stereo', 'rgbd', 'pair'])
def test_everything_that_the_node_sends_and_receives_is_allowed(mode: str, transport: str) -> None:
    values = {'mode': mode, 'autostart': False, 'odometry.scale': 'odometry'}
    values |= {'odometry.extrinsics': 'parameter', 'input.image_transport': transport}
    values |= {'input.gyroscope': [1e-3, 1e-5, 0.0, 0.0, 0.0, 1.0]}
    values |= {'input.depth_transport': 'raw' if transport == 'raw' else 'compressedDepth'}
    context = rclpy.Context()
    rclpy.init(context=context)
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = LoftrNode(lambda _: FlowMatcher(), context=context, parameter_overrides=overrides)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    try:
        endpoints = endpoints_of(node)
        assert set(endpoints.published) <= allowed('topics', 'publish')
        assert set(endpoints.subscribed) <= allowed('topics', 'subscribe')
        assert set(endpoints.served) <= allowed('services', 'reply')
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
