"""The command line answers at once where it has nothing to compute."""

import argparse
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from loftr_ros.commands import main as cli
from loftr_ros.rendering.procedural import procedural_texture

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
COMMANDS = next(
    tuple(action.choices)
    for action in cli._parser()._actions
    if isinstance(action, argparse._SubParsersAction)
)


def run(code: str, *arguments: str) -> str:
    """Run Python code in a process of its own; the last line that it prints."""
    command = [sys.executable, '-c', code, *arguments]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    return process.stdout.splitlines()[-1]


@pytest.mark.parametrize('arguments', [(), *((command,) for command in COMMANDS)])
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


def test_match_says_what_limits_the_images_and_how_the_query_was_rotated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = procedural_texture(256, np.random.default_rng(5))[:200]
    paths = [str(tmp_path / name) for name in ('a.png', 'b.png', 'mask.png', 'matches.png')]
    mask = np.full(picture.shape, 255, np.uint8)
    for path, image in zip(paths, (picture, np.rot90(picture), mask), strict=False):
        assert cv2.imwrite(path, image)

    options = ['--try-rotations', '--max-pixels', '40000', '--mask0', paths[2], '-o', paths[3]]
    assert cli.main(['match', *paths[:2], *options]) == 0

    told = capsys.readouterr()
    assert 'query rotated by 270 degrees' in told.out
    assert 'images of 256x200 px are matched at 225x176 px, as max_pixels is 40000 px' in told.err
    assert 'images of 200x256 px are matched at 176x225 px' in told.err
    assert cli.main(['match', *paths[:2], '--mask1', paths[0] + 'x', '-o', paths[3]]) == 1
    assert 'loftr-ros match: mask1: ' in capsys.readouterr().err
