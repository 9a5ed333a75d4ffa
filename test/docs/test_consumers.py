"""What docs/consumers.md asks a reader to run is there."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from loftr_ros.settings.parameters import declarations, parameter_fields

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / 'docs' / 'consumers.md').read_text(encoding='utf-8')
COMMANDS = [
    line.partition('  #')[0].strip()
    for block in re.findall(r'^```sh\n(.*?)^```', PAGE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]


@pytest.mark.parametrize('command', [line for line in COMMANDS if line.startswith('python')])
def test_programs_exist_and_know_their_topics_and_parameters(command: str) -> None:
    words = command.split()
    text = (ROOT / words[1]).read_text(encoding='utf-8')
    if 'there_and_back' in words[1]:
        text += (ROOT / 'examples' / 'pose_graph_node.py').read_text(encoding='utf-8')
    for flag, value in itertools.pairwise(words):
        name = value.partition(':=')[0]
        if flag == '--node':
            assert name in declarations()
        elif flag in {'-p', '-r', '--graph'}:
            assert f"'{name}'" in text
        if flag.startswith('--') and flag != '--ros-args':
            assert f"'{flag}'" in text or f"'{flag.strip('-')}'" in text


def test_launch_arguments_and_files_exist() -> None:
    files = sorted((ROOT / 'launch').glob('*.launch.py'))
    launch = ''.join(file.read_text(encoding='utf-8') for file in files)
    named = [line for line in COMMANDS if line.startswith('ros2 launch loftr_ros')]
    assert len(named) == 5
    for name in re.findall(r'([\w.]+):=', ' '.join(named)):
        # Each parameter of the node is an argument.
        assert f"'{name}'" in launch or name in parameter_fields()
    for file in re.findall(r'launch loftr_ros (\S+)', ' '.join(named)):
        assert (ROOT / 'launch' / file).is_file()


@pytest.mark.parametrize('link', sorted(set(re.findall(r'\]\(([^)#]+)\)', PAGE))))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / 'docs' / link).exists()


def test_the_topics_are_those_of_the_node() -> None:
    node = (ROOT / 'docs' / 'node.md').read_text(encoding='utf-8')
    for topic in set(re.findall(r'/loftr/(\w+)', PAGE)):
        assert f'`~/{topic}`' in node
