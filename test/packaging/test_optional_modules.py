"""`colcon test` where nothing but the dependencies of package.xml is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from optional_modules import OPTIONAL

ROOT = Path(__file__).parents[2]
COLLECT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in sys.argv[1].split(','):
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, Missing())
import pytest
sys.exit(pytest.main(['--collect-only', '-q', '-p', 'no:cacheprovider', '-p', 'no:anyio',
                      '-p', 'no:hypothesispytest', *sys.argv[2:]]))
"""


def collect(missing: str, *paths: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-c', COLLECT, missing, *paths]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_what_is_missing_skips_its_tests_and_is_named() -> None:
    result = collect(','.join(sorted(OPTIONAL)), 'test')
    assert result.returncode == 0, result.stdout[-3000:]
    assert 'hypothesis is not installed' in result.stdout
    assert '::test_' in result.stdout


def test_another_missing_module_stays_an_error() -> None:
    result = collect('cv2', 'test/geometry/test_camera.py')
    assert result.returncode != 0
