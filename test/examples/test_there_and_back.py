"""What the example with both nodes shows them: no image twice, at times that are as far apart."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('gtsam', reason='gtsam is not installed (requirements/gtsam.txt)')
pytest.importorskip('rclpy', reason='ROS 2 is not installed')

import there_and_back
from there_and_back import START_NS, order_of, round_the_room, stamps_of

from loftr_ros.geometry.transforms import inverse_transform, is_transform


@pytest.mark.parametrize('count', [2, 5, 6, 51])
def test_there_and_back_shows_every_image_once(count: int) -> None:
    order = order_of(count)
    assert sorted(order) == list(range(count))
    assert order[0] == 0
    assert order[-1] == 1
    assert max(abs(np.diff(order))) <= 2


def test_once_keeps_the_order() -> None:
    assert order_of(4, once=True) == [0, 1, 2, 3]


def test_stamps_go_on_where_the_order_is_reversed() -> None:
    assert stamps_of([10, 30, 60, 50, 20]) == [START_NS + dt for dt in (0, 20, 50, 60, 90)]


def test_the_walk_round_the_room_comes_back_a_step_aside() -> None:
    start, end = round_the_room(0.0), round_the_room(1.0)
    assert is_transform(start)
    moved = inverse_transform(start) @ end
    assert np.allclose(moved[:3, :3], np.eye(3), atol=1e-9)
    assert np.linalg.norm(moved[:3, 3]) == pytest.approx(0.1)
    assert np.allclose(start[:3, 2], [1, 0, 0])  # looks outwards


@pytest.mark.parametrize(
    ('words', 'message'),
    [(['nowhere'], 'there is no such file'), (['.', '--mode', 'stereo'], 'no known layout')],
)
def test_data_that_cannot_be_used_are_named(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ('ROS_DOMAIN_ID', 'ROS_AUTOMATIC_DISCOVERY_RANGE', 'PYTHONPATH'):
        monkeypatch.setenv(name, os.environ.get(name, ''))
    monkeypatch.setattr(sys, 'argv', ['there_and_back.py', *words])
    monkeypatch.setattr(there_and_back, 'ros_environment', lambda _: {})
    assert there_and_back.main() == 1
    assert message in capsys.readouterr().err
