"""The backend of the parameters is the one that the node matches by."""

from __future__ import annotations

from pathlib import Path

import pytest

from loftr_ros.settings.matcher import load_matcher
from loftr_ros.settings.parameters import NodeParameters

pytest.importorskip('onnxruntime', reason='onnxruntime is not installed (extra onnx)')


def test_weights_of_onnxruntime_are_a_folder_that_was_exported(tmp_path: Path) -> None:
    parameters = NodeParameters().with_values({'matcher.weights': str(tmp_path)})

    with pytest.raises(ValueError, match='no folder that `loftr-ros export'):
        load_matcher(parameters)


def test_providers_are_those_of_the_parameters(tmp_path: Path) -> None:
    parameters = NodeParameters().with_values(
        {
            'matcher.weights': str(tmp_path),
            'matcher.providers': 'RocketExecutionProvider',
        }
    )

    with pytest.raises(ValueError, match="providers 'RocketExecutionProvider'"):
        load_matcher(parameters)
