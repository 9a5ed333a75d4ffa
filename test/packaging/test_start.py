"""Where others start: container, devcontainer and CI name versions and commands that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / 'docker' / 'Dockerfile').read_text()


def test_the_container_installs_the_versions_that_were_tried() -> None:
    pins = set(re.findall(r'^([\w-]+==[\w.]+)', (ROOT / 'constraints.txt').read_text(), re.M))
    installed = re.findall(r'\b[\w-]+==[\w.]+', DOCKERFILE)
    assert {pin.partition('==')[0] for pin in installed} == {'torch', 'safetensors', 'poselib'}
    assert set(installed) <= pins


def test_what_the_container_copies_and_starts_exists() -> None:
    assert (ROOT / 'package.xml').is_file()
    assert '"ros2", "launch", "loftr_ros", "loftr.launch.py"' in DOCKERFILE
    assert (ROOT / 'launch' / 'loftr.launch.py').is_file()


def test_the_devcontainer_builds_that_container_and_sets_up() -> None:
    folder = ROOT / '.devcontainer'
    settings = json.loads((folder / 'devcontainer.json').read_text())
    assert (folder / settings['build']['dockerfile']).resolve() == ROOT / 'docker' / 'Dockerfile'
    assert (folder / settings['build']['context']).resolve() == ROOT
    assert settings['postCreateCommand'].startswith('make env')


def test_every_target_of_make_is_described() -> None:
    targets = re.findall(r'^([a-z]+):.*##', (ROOT / 'Makefile').read_text(), re.M)
    described = (ROOT / 'CONTRIBUTING.md').read_text()
    assert {'audit', 'lint', 'test'} <= set(targets)
    assert [name for name in targets if f'`make {name}`' not in described] == ['help']


def test_pixi_has_what_package_xml_asks_for() -> None:
    tomllib = pytest.importorskip('tomllib')  # from Python 3.11 on
    manifest = tomllib.loads((ROOT / 'pixi.toml').read_text())
    names = {'matplotlib': 'matplotlib-base', 'opencv': 'py-opencv', 'yaml': 'pyyaml'}
    for element in ET.parse(ROOT / 'package.xml').getroot():
        if element.tag not in ('depend', 'exec_depend', 'buildtool_depend'):
            continue
        system, _, name = str(element.text).partition('python3-')
        wanted = names.get(name, name) if name else f'ros-jazzy-{system}'.replace('_', '-')
        assert wanted in manifest['dependencies']
    assert {'pytorch', 'safetensors'} <= set(manifest['dependencies'])
    assert manifest['tasks']['launch']['cmd'] == 'ros2 launch loftr_ros loftr.launch.py'
    assert '--save-bag' in manifest['tasks']['room']


def test_ci_runs_commands_that_are_described_on_all_distributions_with_wheels() -> None:
    jobs = yaml.safe_load((ROOT / '.github' / 'workflows' / 'ci.yml').read_text())['jobs']
    commands = [run['command'] for run in jobs['wheels']['strategy']['matrix']['include']]
    assert '.ci/run' in commands
    full = (ROOT / '.ci' / 'run').read_text()
    wheels = {path.stem.partition('-')[2] for path in ROOT.glob('requirements/ros2-*.txt')}
    assert set(re.findall(r'\bROS=(\w+)', full)) == wheels
    described = ''.join((ROOT / name).read_text() for name in ('README.md', 'CONTRIBUTING.md'))
    for command in re.findall(r'make \w+', '\n'.join([full, *commands])):
        assert command in described
