"""Parameters as users write them: in a file of ROS, and as NAME:=VALUE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loftr_ros.settings.declarations import ParameterError
from loftr_ros.settings.files import read_parameters

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    'text',
    [
        'pose: {min_support: 2}\n    reference: previous',
        'pose.min_support: 2\n    reference: previous',
    ],
)
def test_the_parameter_file_of_the_node_is_read(tmp_path: Path, text: str) -> None:
    file = tmp_path / 'loftr.yaml'
    file.write_text(f'/**:\n  ros__parameters:\n    {text}\n')
    parameters = read_parameters(file, ['reference:=keyframe', 'depth.range:=[1, 8.5]'])
    assert (parameters.pose.min_support, parameters.reference) == (2.0, 'keyframe')
    assert parameters.depth.range == (1.0, 8.5)


@pytest.mark.parametrize(
    'text', ['][', 'a: 1', '', 'a: {ros__parameters: {}}\nb: {ros__parameters: {}}']
)
def test_a_file_that_is_no_parameter_file_of_one_node_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / 'loftr.yaml'
    file.write_text(text)
    with pytest.raises(ParameterError, match=r'no YAML|of \d nodes'):
        read_parameters(file, [])


def test_a_file_of_version_0_1_is_refused_with_the_new_name(tmp_path: Path) -> None:
    file = tmp_path / 'loftr.yaml'
    file.write_text('/**:\n  ros__parameters:\n    keyframe_min_overlap: 0.4\n')
    with pytest.raises(ValueError, match=r'keyframe_min_overlap is called keyframe\.min_overlap'):
        read_parameters(file, [])


def test_a_parameter_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r'none\.yaml: the file cannot be read \(No such file'):
        read_parameters(tmp_path / 'none.yaml', [])


@pytest.mark.parametrize(
    ('assignment', 'problem'),
    [
        ('longer_sid:=3', r'no parameter longer_sid; did you mean matcher\.longer_side\?'),
        ('pose:=3', 'no parameter pose'),
        ('pose.support:=3', r'no parameter pose\.support; did you mean pose\.min_support\?'),
        ('longer_side:=3', r'longer_side is called matcher\.longer_side since version 0\.2'),
        ('matcher.longer_side:=far', r'matcher\.longer_side must be of type int'),
        ('pose.min_support', 'write NAME:=VALUE'),
    ],
)
def test_an_assignment_that_cannot_be_is_explained(assignment: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_parameters(None, [assignment])


def test_an_assignment_that_is_no_yaml_is_named() -> None:
    with pytest.raises(ParameterError, match=r'pose\.min_support:=\[: this is no YAML'):
        read_parameters(None, ['pose.min_support:=['])
