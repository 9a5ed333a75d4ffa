"""Build the messages and run the node on another distribution of ROS 2 than that of .venv.

In a copy of this checkout under build/smoke, because generated messages lie beside the sources. Its
environment has ROS 2 alone and sees all other packages in .venv, which must be there.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import setup_env

ROOT = setup_env.ROOT
FOLDERS = (
    *('bin', 'config', 'examples', 'launch', 'loftr_ros', 'msg', 'policies', 'requirements'),
    *('scripts', 'srv', 'test'),
)
FILES = ('CMakeLists.txt', 'constraints.txt', 'package.xml', 'pytest.ini', 'setup.py')
# The node with its weights, transitions (rclpy raises or answers), and its end by signals.
TESTS = ('test_loftr_node.py', 'test_transitions.py', 'test_ending.py')


def other_distribution() -> str:
    """Return what ROS names, or else the first distribution that .venv has not."""
    present = setup_env.read_stamp('distribution')
    others = [name for name in setup_env.DISTRIBUTIONS if name != present]
    return os.environ.get('ROS') or others[0]


def is_generated(path: Path) -> bool:
    """Return whether a path below loftr_ros is made by the build."""
    return path.parts[:2] in (('loftr_ros', 'msg'), ('loftr_ros', 'srv')) or path.suffix == '.so'


def sources() -> Iterator[Path]:
    """Yield the files of this checkout that the copy needs."""
    yield from map(Path, FILES)
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob('*')):
            name = path.relative_to(ROOT)
            if path.is_file() and '__pycache__' not in name.parts and not is_generated(name):
                yield name


def refresh(copy: Path) -> None:
    """Bring a copy of this checkout up to date; what was built in it stays."""
    wanted = set(sources())
    for folder in FOLDERS:
        for path in (copy / folder).rglob('*'):
            name = path.relative_to(copy)
            if path.is_file() and name not in wanted and not is_generated(name):
                path.unlink()
    for name in wanted:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)


def main() -> int:
    """Set up and run; returns the exit code of what failed, or 0."""
    name = other_distribution()
    copy = ROOT / 'build' / 'smoke' / name
    refresh(copy)
    variables = {**os.environ, 'ROS': name}
    set_up = [sys.executable, copy / 'scripts' / 'setup_env.py', '--beside', setup_env.VENV]
    tests = [Path('test', 'ros', test) for test in TESTS]
    python = copy / setup_env.PYTHON.relative_to(ROOT)
    for command in (set_up, [python, '-m', 'pytest', *tests]):
        if code := subprocess.run(command, cwd=copy, env=variables, check=False).returncode:
            return code
    return 0


if __name__ == '__main__':
    sys.exit(main())
