"""The benchmark of transforms measures while one is missing and after it was found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed')

PROGRAM = Path(__file__).parents[2] / 'benchmarks' / 'transforms.py'


def test_both_are_measured() -> None:
    command = [sys.executable, str(PROGRAM), '--rate', '50', '--seconds', '1']
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    lines = result.stdout.splitlines()
    assert lines[0].startswith('50 transforms a second')
    missing, known = (float(line.split()[-1]) for line in lines[1:])
    assert 0 <= known < 2
    assert 0 < missing < 2
