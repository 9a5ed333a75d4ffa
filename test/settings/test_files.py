"""Parameters as users write them: in a file of ROS, and as NAME:=VALUE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loftr_ros.settings.declarations import ParameterError
from loftr_ros.settings.files import read_parameters

if TYPE_CHECKING:
    from pathlib import Path


def test_the_parameter_file_of_the_node_is_read(tmp_path: Path) -> None:
    file = tmp_path / 'loftr.yaml'
    file.write_text('/**:\n  ros__parameters:\n    keyframe_max_age: 2\n    reference: previous\n')
    parameters = read_parameters(file, ['reference:=keyframe'])
    assert (parameters.keyframe_max_age, parameters.reference) == (2.0, 'keyframe')
    for text in ('][', 'a: 1', '', 'a: {ros__parameters: {}}\nb: {ros__parameters: {}}'):
        file.write_text(text)
        with pytest.raises(ParameterError, match=r'no YAML|of \d nodes'):
            read_parameters(file, [])


def test_a_parameter_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r'none\.yaml: the file cannot be read \(No such file'):
        read_parameters(tmp_path / 'none.yaml', [])


def test_a_parameter_that_does_not_exist_is_named_with_its_like() -> None:
    with pytest.raises(ValueError, match='there is no parameter longer_sid; longer_side'):
        read_parameters(None, ['longer_sid:=3'])
