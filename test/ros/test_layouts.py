"""The layouts for RViz and Foxglove show topics that the node has, as what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from loftr_ros.ros.playback import message_class

CONFIG = Path(__file__).parents[2] / 'config'
RVIZ_TYPES = {
    'rviz_default_plugins/Path': 'nav_msgs/msg/Path',
    'rviz_default_plugins/Odometry': 'nav_msgs/msg/Odometry',
    'rviz_default_plugins/Image': 'sensor_msgs/msg/Image',
    'rviz_default_plugins/SetInitialPose': 'geometry_msgs/msg/PoseWithCovarianceStamped',
}
FOXGLOVE_TYPES = {
    'Image': {'sensor_msgs/msg/Image'},
    '3D': {'nav_msgs/msg/Path', 'nav_msgs/msg/Odometry'},
    'DiagnosticSummary': {'diagnostic_msgs/msg/DiagnosticArray'},
}

Topics = dict[str, str]


def rviz_entries() -> list[tuple[str, str]]:
    """Return class and topic of each display and tool of RViz that has one."""
    manager = yaml.safe_load((CONFIG / 'loftr.rviz').read_text())['Visualization Manager']
    entries = [*manager['Displays'], *manager['Tools']]
    return [(each['Class'], each['Topic']['Value']) for each in entries if 'Topic' in each]


def panels() -> dict[str, dict[str, Any]]:
    layout = json.loads((CONFIG / 'foxglove_layout.json').read_text())
    found: dict[str, dict[str, Any]] = layout['configById']
    return found


def test_rviz_shows_topics_of_the_node_as_what_they_are(topics: Topics) -> None:
    entries = rviz_entries()
    assert {topic for _, topic in entries} == {
        '/loftr/path',
        '/loftr/odometry',
        '/loftr/matches_image',
        '/loftr/set_pose',
    }
    for display, topic in entries:
        assert topics[topic] == RVIZ_TYPES[display]


def test_rviz_looks_from_frames_of_the_default_parameters() -> None:
    values = yaml.safe_load((CONFIG / 'loftr.yaml').read_text())['/**']['ros__parameters']
    manager = yaml.safe_load((CONFIG / 'loftr.rviz').read_text())['Visualization Manager']
    assert manager['Global Options']['Fixed Frame'] == values['odometry']['odom_frame']
    assert manager['Views']['Current']['Target Frame'] == values['odometry']['base_frame']
    assert panels()['3D!motion']['followTf'] == values['odometry']['odom_frame']


def test_foxglove_shows_topics_of_the_node_as_what_they_are(topics: Topics) -> None:
    shown = panels()
    assert topics[shown['Image!matches']['imageMode']['imageTopic']] in FOXGLOVE_TYPES['Image']
    for topic in shown['3D!motion']['topics']:
        assert topics[topic] in FOXGLOVE_TYPES['3D']
    diagnostics = shown['DiagnosticSummary!node']['topicToRender']
    assert topics[diagnostics] in FOXGLOVE_TYPES['DiagnosticSummary']
    assert shown['RawMessages!pose']['topicPath'] in topics


def test_foxglove_plots_numbers_that_the_messages_have(topics: Topics) -> None:
    paths = [
        path['value'] for name, panel in panels().items() if 'Plot' in name
        for path in panel['paths']
    ]  # fmt: skip
    assert len(paths) > 4
    for path in paths:
        topic, *fields = path.split('.')
        value: Any = message_class(topics[topic])()
        for field in fields:
            value = getattr(value, field)
        assert isinstance(value, int | float), path


def test_foxglove_places_each_panel_once() -> None:
    layout = json.loads((CONFIG / 'foxglove_layout.json').read_text())

    def leaves(node: str | dict[str, Any]) -> list[str]:
        if isinstance(node, str):
            return [node]
        return leaves(node['first']) + leaves(node['second'])

    assert sorted(leaves(layout['layout'])) == sorted(panels())
