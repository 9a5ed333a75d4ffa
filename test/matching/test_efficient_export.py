"""Exported graphs of EfficientLoFTR give the matches of torch, for one size and for any."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip('onnx', reason='onnx is not installed')
pytest.importorskip('onnxscript', reason='onnxscript is not installed')
pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')

from efficient_networks import randomized

from loftr_ros.matching.config import EFFICIENT
from loftr_ros.matching.errors import ImageError
from loftr_ros.matching.export import export
from loftr_ros.matching.export_check import check_export
from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.weights import save_weights
from loftr_ros.rendering.procedural import procedural_texture

TEXTURE = procedural_texture(300, np.random.default_rng(3))
CONFIG = dataclasses.replace(
    EFFICIENT, blocks=(1, 1, 1, 1), layers=1, border_cells=0, confidence_threshold=0.0
)


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp('weights') / 'random.safetensors'
    save_weights(randomized(CONFIG), path)
    return path


@pytest.fixture(scope='module')
def original(weights: Path) -> Matcher:
    return Matcher(weights, device='cpu', precision='float32')


def image(height: int, width: int, shift: int = 0) -> NDArray[np.uint8]:
    return np.ascontiguousarray(TEXTURE[shift : height + shift, shift : width + shift])


def test_images_of_any_size_match_as_by_torch(
    weights: Path, original: Matcher, tmp_path: Path
) -> None:
    export(weights, tmp_path / 'any')
    exported = Matcher(tmp_path / 'any', backend='onnxruntime', device='cpu')
    for size0, size1 in [((96, 128), (96, 128)), ((150, 200), (100, 77)), ((64, 64), (160, 96))]:
        found = check_export(original, exported, image(*size0), image(*size1, shift=4))

        assert found.matches[0] > 0
        assert found.holds, found
        assert found.confidence < 1e-3


def test_images_of_one_size_match_as_by_torch(
    weights: Path, original: Matcher, tmp_path: Path
) -> None:
    manifest = export(weights, tmp_path / 'one', size=(120, 90))
    exported = Matcher(tmp_path / 'one', backend='onnxruntime', device='cpu')
    found = check_export(original, exported, image(90, 120), image(90, 120, shift=3))

    assert manifest.size == (128, 96)
    assert found.matches[0] > 0
    assert found.holds, found
    with pytest.raises(ImageError, match='160x96'):
        exported.match_images(image(90, 140), image(90, 140))
