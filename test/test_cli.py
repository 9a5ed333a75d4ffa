"""The command line answers at once where it has nothing to compute."""

import subprocess
import sys

import pytest

from loftr_ros import cli

HELP = """
import sys
from loftr_ros import cli
try:
    cli.main([*{arguments!r}, '--help'])
except SystemExit as end:
    print(end.code, sorted({{'torch', 'cv2', 'matplotlib', 'rclpy'}} & set(sys.modules)))
"""
COMMANDS = (
    'match',
    'explain',
    'evaluate',
    'compare',
    'convert',
    'evaluate-live',
    'evaluate-pairs',
    'train',
    'demo',
)


@pytest.mark.parametrize('arguments', [(), *((command,) for command in COMMANDS)])
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    process = subprocess.run(
        [sys.executable, '-c', HELP.format(arguments=arguments)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert process.stdout.splitlines()[-1] == '0 []'


def test_an_unknown_command_is_refused_with_those_that_exist(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match='2'):
        cli.main(['mach'])

    assert 'match' in capsys.readouterr().err
