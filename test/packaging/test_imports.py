"""The rooms import each other in one direction only, as .importlinter says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('importlinter', reason='import-linter is not installed (requirements/dev.txt)')

ROOT = Path(__file__).parents[2]
LINT = 'import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())'


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the package in a folder."""
    command = [sys.executable, '-c', LINT.replace('imports())', 'imports(no_cache=True))')]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_arrows_run_one_way() -> None:
    found = lint(ROOT)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(
    ('module', 'line', 'problem'),
    [
        ('matching/config', 'import loftr_ros.geometry', 'Arrows between rooms'),
        ('geometry/pose', 'from loftr_ros.frontend import frame', 'Arrows between rooms'),
        ('data/images', 'from loftr_ros.frontend import tracker', 'Data knows no tracker'),
        ('data/kitti', 'def f():\n    import loftr_ros.evaluation', 'Arrows between rooms'),
        ('evaluation/records/metrics', 'from .. import live', 'Arrows inside evaluation'),
        ('data/errors', 'from loftr_ros.data import kitti', 'no circles'),
        ('evaluation/live/plan', 'import rclpy', 'Only ros imports'),
        ('codecs/stamps', 'import rclpy.time', 'does not need its client library'),
        ('frontend/frame', 'import sensor_msgs.msg', 'know no messages'),
        ('geometry/camera', 'import torch', 'Geometry needs no torch'),
        ('settings/files', 'from std_msgs.msg import Header', 'know no messages'),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, module: str, line: str, problem: str) -> None:
    shutil.copy(ROOT / '.importlinter', tmp_path)
    ignored = shutil.ignore_patterns('weights', '*.so', '__pycache__')
    shutil.copytree(ROOT / 'loftr_ros', tmp_path / 'loftr_ros', ignore=ignored)
    with (tmp_path / 'loftr_ros' / f'{module}.py').open('a', encoding='utf-8') as file:
        file.write(f'\n{line}\n')
    found = lint(tmp_path)
    assert found.returncode == 1
    broken = [text for text in found.stdout.splitlines() if text.endswith(' BROKEN')]
    assert any(problem in text for text in broken), found.stdout
