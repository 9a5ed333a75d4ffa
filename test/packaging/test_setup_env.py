"""The set-up of machines without ROS names what is missing, and what to do about it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the set-up needs, without an environment."""
    for name in ('constraints.txt', 'setup.py', 'CMakeLists.txt', 'package.xml', 'Makefile'):
        shutil.copy(ROOT / name, tmp_path)
    for name in ('requirements', 'scripts', 'msg', 'srv'):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def set_up(
    checkout: Path, python: str = sys.executable, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the set-up script with pip's settings taken from `variables` alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith('PIP_')}
    return subprocess.run(
        [python, checkout / 'scripts' / 'setup_env.py'],
        env={**kept, 'PIP_CONFIG_FILE': os.devnull, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_missing_compiler_is_named_before_anything_long_starts(checkout: Path) -> None:
    result = set_up(checkout, PATH=str(checkout))
    assert result.returncode == 1
    assert 'There is no C compiler' in result.stderr
    assert 'There is no C++ compiler' in result.stderr
    assert 'sudo apt install build-essential' in result.stderr
    assert not (checkout / '.venv').exists()


def test_a_compiler_may_be_named_by_variables(checkout: Path) -> None:
    program = str(checkout / 'compiler')
    Path(program).symlink_to(sys.executable)
    result = set_up(checkout, PATH=str(checkout), CC=program, CXX=f'{program} -O1')
    assert 'compiler' not in result.stderr
    assert 'There is no make' in result.stderr


def test_without_network_the_index_is_named(checkout: Path) -> None:
    closed = 'http://127.0.0.1:9/simple'
    result = set_up(checkout, PIP_INDEX_URL=closed, PIP_RETRIES='1')
    assert result.returncode == 1
    assert 'The package index could not be reached' in result.stderr
    assert 'run make again' in result.stderr


def test_an_old_python_is_named_with_the_remedy(checkout: Path) -> None:
    script = checkout / 'scripts' / 'setup_env.py'
    old = "import sys; sys.version_info = (3, 8, 0, 'final', 0)\n"
    script.write_text(old + script.read_text())
    result = set_up(checkout)
    assert result.returncode == 1
    assert 'Python 3.10 to 3.14 is needed' in result.stderr
    assert 'make demo PYTHON=python3.1' in result.stderr


def test_a_python_that_does_not_exist_is_named(checkout: Path) -> None:
    make = shutil.which('make')
    if make is None:
        pytest.skip('make is not installed')
    result = subprocess.run(
        [make, 'env', 'PYTHON=python9.9'], cwd=checkout, capture_output=True, text=True
    )
    assert result.returncode != 0
    assert 'There is no python9.9' in result.stderr


@pytest.fixture
def script(checkout: Path) -> ModuleType:
    """The set-up script as a module."""
    spec = importlib.util.spec_from_file_location(
        'setup_env', checkout / 'scripts' / 'setup_env.py'
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_change_repeats_its_step_and_the_later_ones(script: ModuleType, checkout: Path) -> None:
    (checkout / '.venv' / 'bin').mkdir(parents=True)
    (checkout / '.venv' / 'bin' / 'python').touch()
    (checkout / 'loftr_ros' / 'msg').mkdir(parents=True)
    keys = script.step_keys()
    assert script.pending_steps(keys) == ['venv', 'packages', 'messages']
    for step, key in keys.items():
        script.mark_done(step, key)
    assert script.pending_steps(script.step_keys()) == []

    with (checkout / 'msg' / 'RelativePose.msg').open('a') as file:
        file.write('# more\n')
    assert script.pending_steps(script.step_keys()) == ['messages']
    with (checkout / 'constraints.txt').open('a') as file:
        file.write('# more\n')
    assert script.pending_steps(script.step_keys()) == ['packages', 'messages']


def test_a_machine_without_wheels_is_shown_the_ros_way(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script.platform, 'machine', lambda: 'aarch64')
    with pytest.raises(script.SetupError, match='no wheels of ROS 2 for aarch64') as error:
        script.check_prerequisites()
    assert 'docs/installation.md' in str(error.value)


def test_the_distribution_is_jazzy_unless_another_is_asked_for(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv('ROS', raising=False)
    assert script.distribution() == 'jazzy'
    before = script.step_keys()['venv']
    monkeypatch.setenv('ROS', 'kilted')
    assert script.step_keys()['venv'] != before
    assert 'ros2-kilted' in script.ros_requirements()


def test_what_was_asked_for_is_remembered_and_what_was_the_default_is_not(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv('ROS', raising=False)
    script.mark_done('distribution', 'kilted')
    assert script.distribution() == 'jazzy'
    script.mark_done('asked', 'kilted')
    assert script.distribution() == 'kilted'


def test_an_environment_of_another_distribution_is_made_again_with_a_word(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv('ROS', raising=False)
    monkeypatch.setattr(script, 'run', lambda _: '')
    keys = script.step_keys()
    script.make_venv(keys['venv'])
    assert '.venv has' not in capsys.readouterr().out
    monkeypatch.setenv('ROS', 'kilted')
    assert script.pending_steps(script.step_keys()) == ['venv', 'packages', 'messages']
    script.make_venv(script.step_keys()['venv'])
    assert '.venv has ROS 2 Jazzy and is made again with Kilted' in capsys.readouterr().out
    assert script.read_stamp('distribution') == 'kilted'


def test_an_unknown_distribution_is_named(checkout: Path) -> None:
    result = set_up(checkout, ROS='foxy')
    assert result.returncode == 1
    assert 'ROS=foxy: there are wheels of jazzy and kilted alone' in result.stderr
    assert 'Traceback' not in result.stderr
