"""What the files of the package promise to colcon, pip and git."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from packaging.requirements import Requirement

from loftr_ros.version import package_version

ROOT = Path(__file__).parents[2]
INTERFACES = sorted([*ROOT.glob('msg/*.msg'), *ROOT.glob('srv/*.srv')])


def read_requirements(name: str) -> list[Requirement]:
    """Return what requirements/<name>.txt or the like lists."""
    lines = (ROOT / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith('#')]


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git in the checkout; skip where the sources are no checkout."""
    if not (ROOT / '.git').exists():
        pytest.skip('the sources are not a git checkout')
    return subprocess.run(['git', *arguments], cwd=ROOT, capture_output=True, text=True)


def test_the_version_is_that_of_package_xml() -> None:
    assert package_version() == ET.parse(ROOT / 'package.xml').findtext('version')


@pytest.mark.parametrize('ours_last', [True, False], ids=['ours last', 'generated last'])
def test_the_commands_work_whichever_init_was_installed_last(
    tmp_path: Path, ours_last: bool
) -> None:
    ours = shutil.ignore_patterns('msg', 'srv', '*.so', '__pycache__', 'weights')
    installed = tmp_path / 'loftr_ros'
    shutil.copytree(ROOT / 'loftr_ros', installed, ignore=ours)
    if not ours_last:  # from ament_cmake_python 2.8.7 on the message generator comes last
        (installed / '__init__.py').write_text('')
    info = tmp_path / 'loftr_ros-7.8.9.egg-info'
    info.mkdir()
    (info / 'PKG-INFO').write_text('Metadata-Version: 2.1\nName: loftr-ros\nVersion: 7.8.9\n')
    for arguments in (['--version'], ['evaluate', '--help']):
        command = [sys.executable, str(ROOT / 'bin' / 'loftr-ros'), *arguments]
        result = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, 'PYTHONPATH': str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert arguments != ['--version'] or result.stdout == 'loftr_ros 7.8.9\n'


def test_package_xml_is_valid_and_builds_with_cmake() -> None:
    parse = pytest.importorskip('catkin_pkg.package').parse_package
    warnings: list[str] = []
    package = parse(ROOT, warnings=warnings)
    package.validate(warnings=warnings)
    assert not warnings
    assert package.get_build_type() == 'ament_cmake'
    assert package.name == 'loftr_ros'


def test_every_package_that_cmake_looks_for_is_declared() -> None:
    declared = {element.text for element in ET.parse(ROOT / 'package.xml').iter() if element.text}
    sought = set(re.findall(r'find_package\((\w+)', (ROOT / 'CMakeLists.txt').read_text()))
    assert {'ament_cmake', 'ament_cmake_lint_cmake', 'ament_cmake_xmllint'} <= sought <= declared


def test_every_message_package_in_use_is_declared() -> None:
    declared = {element.text for element in ET.parse(ROOT / 'package.xml').iter() if element.text}
    imported = {
        name
        for room in ('codecs', 'ros')
        for path in (ROOT / 'loftr_ros' / room).glob('*.py')
        for name in re.findall(r'^\s*(?:from|import) (\w+)', path.read_text(), re.MULTILINE)
    }
    ros = {name for name in imported if re.fullmatch(r'\w+_(msgs|srvs|interfaces)', name)}
    assert {'sensor_msgs', 'diagnostic_msgs'} <= ros <= declared


def test_python_modules_that_another_package_brings_are_declared_by_its_name() -> None:
    # The package tf2_ros is that for C++.
    declared = {element.text for element in ET.parse(ROOT / 'package.xml').iter('exec_depend')}
    assert {'tf2_ros_py', 'message_filters'} <= declared
    assert 'tf2_ros' not in declared


@pytest.mark.parametrize('path', INTERFACES, ids=lambda path: path.name)
def test_cmake_builds_every_interface(path: Path) -> None:
    assert f'{path.parent.name}/{path.name}' in (ROOT / 'CMakeLists.txt').read_text()


@pytest.mark.parametrize('path', INTERFACES, ids=lambda path: path.name)
def test_every_field_has_a_comment(path: Path) -> None:
    previous = ''
    for line in path.read_text().splitlines():
        is_field = line and not line.startswith(('#', '---'))
        assert not is_field or '#' in line or previous.startswith('#'), line
        previous = line


def test_pip_requires_no_ros() -> None:
    names = {requirement.name for requirement in read_requirements('requirements/runtime.txt')}
    assert not {name for name in names if name.startswith(('rcl', 'ros-')) or 'msgs' in name}


def test_everything_required_is_pinned() -> None:
    pins = {pin.name.replace('_', '-').lower() for pin in read_requirements('constraints.txt')}
    for path in (ROOT / 'requirements').glob('ros2-*.txt'):
        wheels = read_requirements(f'requirements/{path.name}')
        assert {wheel.name.partition('-')[0] for wheel in wheels} == {'ros'}
        assert all(str(wheel.specifier).startswith('==') for wheel in wheels)
    for name in ('runtime', 'dev', 'docs', 'build'):
        for requirement in read_requirements(f'requirements/{name}.txt'):
            assert requirement.name.replace('_', '-').lower() in pins


@pytest.mark.parametrize(
    'path',
    [
        '.venv/bin/python',
        'build/wheels/binary/Makefile',
        'loftr_ros/msg/__init__.py',
        'loftr_ros/srv/_match_images.py',
        'loftr_ros/loftr_ros_s__rosidl_typesupport_c.so',
        'loftr_ros.egg-info/PKG-INFO',
    ],
)
def test_git_ignores_what_the_build_makes(path: str) -> None:
    assert git('check-ignore', '--quiet', path).returncode == 0


@pytest.mark.parametrize('path', ['msg/Correspondences.msg', 'srv/MatchImages.srv'])
def test_git_keeps_the_definitions(path: str) -> None:
    assert git('check-ignore', '--quiet', path).returncode == 1


def test_generated_messages_have_the_fields_of_their_definition() -> None:
    messages = pytest.importorskip('loftr_ros.msg', reason='the messages are not built')
    for path in sorted(ROOT.glob('msg/*.msg')):
        defined = re.findall(r'^[\w/]+(?:\[\])? (\w+)\s*(?:#.*)?$', path.read_text(), re.MULTILINE)
        assert list(getattr(messages, path.stem).get_fields_and_field_types()) == defined
