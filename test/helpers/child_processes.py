"""Processes that a command starts, and the mark of tests that need ROS for theirs."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

needs_ros = pytest.mark.skipif(
    subprocess.run([sys.executable, '-c', 'import rclpy, loftr_ros.msg'], check=False).returncode
    != 0,
    reason='rclpy and the messages are not installed',
)


def children_of(pid: int) -> list[int]:
    children: list[int] = []
    for task in Path(f'/proc/{pid}/task').iterdir():
        with suppress(FileNotFoundError):  # a thread that has ended since
            children += map(int, (task / 'children').read_text().split())
    return children
