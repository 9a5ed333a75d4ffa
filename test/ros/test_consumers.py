"""Parameter files for other packages name topics and frames that the node has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from loftr_ros.ros.parameters import NodeParameters

CONFIG = Path(__file__).parents[2] / 'config'
DEFAULTS = NodeParameters()


def read(name: str, node: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((CONFIG / name).read_text())[node]['ros__parameters']
    return values


def test_the_filter_fuses_velocities_of_the_base_and_no_poses() -> None:
    values = read('robot_localization_ekf.yaml', 'ekf_filter_node')
    assert values['odom0'] == '/loftr/odometry'
    assert values['odom0_config'] == [False] * 6 + [True] * 6 + [False] * 3
    assert values['odom_frame'] == values['world_frame'] == DEFAULTS.odom_frame
    assert values['base_link_frame'] == DEFAULTS.base_frame


def test_the_mapper_takes_odometry_from_the_topic() -> None:
    values = read('rtabmap_odometry.yaml', '/**')
    assert values['frame_id'] == DEFAULTS.base_frame
    assert values['odom_frame_id'] == ''
    assert not values['subscribe_odom_info']
    assert values['subscribe_rgb']
    assert values['subscribe_depth']
