"""The command line answers at once where it has nothing to compute."""

import subprocess
import sys
from pathlib import Path

import pytest

from loftr_ros.commands import main as cli

HEAVY = ('cv2', 'matplotlib', 'numpy', 'onnxruntime', 'rclpy', 'torch')
LOADED = f'sorted(set({HEAVY}) & set(sys.modules))'
HELP = f"""
import sys
from loftr_ros.commands import main as cli
try:
    cli.main([*sys.argv[1:], '--help'])
except SystemExit as end:
    print(end.code, {LOADED})
"""


def run(code: str, *arguments: str) -> str:
    """Run Python code in a process of its own; the last line that it prints."""
    command = [sys.executable, '-c', code, *arguments]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    return process.stdout.splitlines()[-1]


@pytest.mark.parametrize('arguments', [(), *((command,) for command in cli.COMMANDS)])
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert run(HELP, *arguments) == '0 []'


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert run(f'import sys, loftr_ros, loftr_ros.evaluation; print({LOADED})') == '[]'


def test_the_module_of_the_node_leaves_torch_to_configure() -> None:
    pytest.importorskip('rclpy', reason='rclpy is not installed')

    loaded = run(f'import sys, loftr_ros.ros.node; print({LOADED})')
    assert 'rclpy' in loaded
    assert 'torch' not in loaded


def test_an_unknown_command_is_refused_with_those_that_exist(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match='2'):
        cli.main(['mach'])

    assert 'match' in capsys.readouterr().err


def test_the_table_of_commands_has_them_all() -> None:
    folder = Path(cli.__file__).parent
    modules = {path.stem for path in folder.glob('*.py') if 'def add(' in path.read_text()}
    assert modules == {name.replace('-', '_') for name in cli.COMMANDS}


def test_only_the_command_that_is_called_is_imported() -> None:
    loaded = 'sorted(name for name in sys.modules if name.startswith("loftr_ros.commands."))'
    expected = str(['loftr_ros.commands.main', 'loftr_ros.commands.report'])
    assert run(HELP.replace(LOADED, loaded), 'report') == f'0 {expected}'
