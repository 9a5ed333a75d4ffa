"""Parameter files for other packages name topics and frames that the node has."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

from loftr_ros.settings.parameters import NodeParameters

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'config'
CHECK = ROOT / 'scripts' / 'check_consumers.py'
WRAPPER = 'rtabmap_slam/src/CoreWrapper.cpp'
DEFAULTS = NodeParameters().odometry


def read(name: str, node: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((CONFIG / name).read_text())[node]['ros__parameters']
    return values


def test_the_filter_fuses_velocities_of_the_base_and_no_poses(topics: dict[str, str]) -> None:
    values = read('robot_localization_ekf.yaml', '/**/ekf_filter_node')
    assert topics[values['odom0']] == 'nav_msgs/msg/Odometry'
    assert values['odom0_config'] == [False] * 6 + [True] * 6 + [False] * 3
    assert values['odom_frame'] == values['world_frame'] == DEFAULTS.odom_frame
    assert values['base_link_frame'] == DEFAULTS.base_frame


@pytest.mark.parametrize('sigma', [0.005, 0.02, 0.1])
def test_the_filter_is_as_sure_as_it_is_right(sigma: float) -> None:
    """Run the filter along one axis, x v a, as ekf.cpp does: P = J P J' + dt Q."""
    flat = read('robot_localization_ekf.yaml', '/**/ekf_filter_node')['process_noise_covariance']
    noise = np.reshape(flat, (15, 15))[np.ix_([0, 6, 12], [0, 6, 12])]
    np.testing.assert_array_equal(
        np.reshape(flat, (15, 15)), np.diag(np.diag(np.reshape(flat, (15, 15))))
    )
    rng, period, steps, ticks = np.random.default_rng(1), 0.1, 400, 3
    step = period / ticks
    predict = np.array([[1, step, step**2 / 2], [0, 1, step], [0, 0, 1]])
    errors = []
    for phase in rng.uniform(0, 2 * np.pi, 30):
        times = np.arange(steps + 1) * period
        truth = 0.5 * times - 0.6 * np.cos(0.8 * times + phase)
        measured = np.diff(truth) / period + sigma * rng.standard_normal(steps)
        state, covariance = np.zeros(3), np.eye(3) * 1e-9
        for velocity in measured:
            for _ in range(ticks):
                state = predict @ state
                covariance = predict @ covariance @ predict.T + step * noise
            gain = covariance[:, 1] / (covariance[1, 1] + sigma**2)
            state += gain * (velocity - state[1])
            covariance -= np.outer(gain, covariance[1])
        errors.append(state[0] - (truth[-1] - truth[0]))
    error, stated = float(np.sqrt(np.mean(np.square(errors)))), float(np.sqrt(covariance[0, 0]))
    assert error / 2 < stated < 2 * error


def test_the_mapper_takes_odometry_from_the_topic() -> None:
    values = read('rtabmap_odometry.yaml', '/**')
    assert values['frame_id'] == DEFAULTS.base_frame
    assert values['odom_frame_id'] == ''
    assert not values['subscribe_odom_info']
    assert values['subscribe_rgb']
    assert values['subscribe_depth']
    # The odometry is published reliably; a smaller queue than the latency would lose the images.
    assert values['qos_odom'] == 1
    assert values['topic_queue_size'] / 30 > 0.25


@pytest.mark.parametrize('name', ['robot_localization_ekf.yaml', 'rtabmap_odometry.yaml'])
def test_the_commands_in_the_files_name_topics_of_the_node(
    name: str, topics: dict[str, str]
) -> None:
    named = set(re.findall(r'/loftr/\w+', (CONFIG / name).read_text()))
    assert '/loftr/odometry' in named
    assert named <= set(topics)


@pytest.fixture
def checkouts(tmp_path: Path) -> list[Path]:
    """Sources that declare what our files set, in the syntax of both packages."""
    filter_names = read('robot_localization_ekf.yaml', '/**/ekf_filter_node')
    own = [name for name in filter_names if not name.startswith('odom0')]
    lines = [f'x = this->declare_parameter(\n  "{name}", 1.0);' for name in own]
    lines += ['ss << "odom" << topic_ind++;']
    suffixes = [name.removeprefix('odom0') for name in filter_names if name.startswith('odom0_')]
    lines += [f'declare_parameter(topic + std::string("{suffix}"), 1);' for suffix in suffixes]
    mapper = [
        f'node.declare_parameter("{name}", x);' for name in read('rtabmap_odometry.yaml', '/**')
    ]
    relied_on = dict(load_script(CHECK).RELIED_ON)
    sources = {
        'robot_localization/src/ros_filter.cpp': lines,
        'rtabmap_ros/rtabmap_slam/src/CoreWrapper.cpp': [*mapper[:4], *relied_on.pop(WRAPPER)],
        **{f'rtabmap_ros/{path}': list(names) for path, names in relied_on.items()},
        'rtabmap_ros/rtabmap_sync/src/CommonDataSubscriber.cpp': mapper[4:],
    }
    for path, text in sources.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text('\n'.join(text))
    return [tmp_path / 'robot_localization', tmp_path / 'rtabmap_ros']


def load_script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_check(checkouts: list[Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, CHECK, *checkouts], capture_output=True, text=True)


def test_names_are_found_where_the_packages_declare_them(checkouts: list[Path]) -> None:
    result = run_check(checkouts)
    assert result.returncode == 0, result.stdout
    assert 'odom0_config: src/ros_filter.cpp:' in result.stdout
    assert 'subscribe_odom_info: rtabmap_' in result.stdout


def test_a_name_that_a_package_has_no_more_is_reported(checkouts: list[Path]) -> None:
    source = checkouts[0] / 'src' / 'ros_filter.cpp'
    renamed = source.read_text().replace('"_relative"', '"_origin"').replace('two_d', '2d')
    source.write_text(renamed)
    result = run_check(checkouts)
    assert result.returncode == 1
    missing = [line for line in result.stdout.splitlines() if 'NOT DECLARED' in line]
    assert [line.split(': ')[1] for line in missing] == ['two_d_mode', 'odom0_relative']


def test_a_field_that_a_message_has_no_more_is_reported(checkouts: list[Path]) -> None:
    message = checkouts[1] / 'rtabmap_msgs' / 'msg' / 'Info.msg'
    message.write_text(message.read_text().replace('ref_id', 'node_id'))
    result = run_check(checkouts)
    assert result.returncode == 1
    assert 'rtabmap_loops_node.py: int32 ref_id: NOT THERE' in result.stdout


def test_a_folder_that_is_no_checkout_is_named(checkouts: list[Path], tmp_path: Path) -> None:
    result = run_check([checkouts[0], tmp_path / 'nowhere'])
    assert result.returncode == 2
    assert 'nowhere is no checkout' in result.stderr
    assert 'Traceback' not in result.stderr
