"""Run the tests of the launch files with launch and launch_ros from their sources.

    pip install osrf-pycommon
    git clone https://github.com/ros2/launch /tmp/launch
    git clone https://github.com/ros2/launch_ros /tmp/launch_ros
    python scripts/try_launch.py /tmp/launch /tmp/launch_ros [arguments of pytest]

Neither package is on PyPI. A stand-in takes the place of composition_interfaces, which launch_ros
imports for components that our files do not start.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ('launch', 'launch_yaml', 'launch_xml'), ('launch_ros',)
STAND_IN = """
class _Service:
    class Request: pass
    class Response: pass
LoadNode = UnloadNode = ListNodes = _Service
"""


def main() -> int:
    """Run them; returns the exit code of pytest."""
    checkouts = [Path(argument) for argument in sys.argv[1:3]]
    if len(checkouts) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    paths = [
        checkout / name
        for checkout, names in zip(checkouts, FOLDERS, strict=True)
        for name in names
    ]
    missing = [str(path) for path in paths if not path.is_dir()]
    if missing:
        print(f'there is no {", no ".join(missing)}: is it the right checkout?', file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / 'composition_interfaces'
        package.mkdir()
        (package / '__init__.py').touch()
        (package / 'srv.py').write_text(STAND_IN, encoding='utf-8')
        given = filter(None, [os.environ.get('PYTHONPATH')])
        python_path = os.pathsep.join([str(ROOT), *map(str, paths), folder, *given])
        command = [sys.executable, '-m', 'pytest', 'test/packaging/test_launch.py', *sys.argv[3:]]
        environment = {**os.environ, 'PYTHONPATH': python_path}
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == '__main__':
    sys.exit(main())
