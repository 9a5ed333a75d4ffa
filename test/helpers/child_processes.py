"""Processes that a command starts, and the mark of tests that need ROS for theirs."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

needs_ros = pytest.mark.skipif(
    not all(find_spec(name) for name in ('rclpy', 'loftr_ros.msg')),
    reason='rclpy and the messages are not installed',
)


def children_of(pid: int) -> list[int]:
    children: list[int] = []
    for task in Path(f'/proc/{pid}/task').iterdir():
        with suppress(FileNotFoundError):  # a thread that has ended since
            children += map(int, (task / 'children').read_text().split())
    return children
