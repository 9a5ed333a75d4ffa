"""Execution providers are chosen by name, and TensorRT knows all shapes beforehand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from loftr_ros.matching.config import LITE
from loftr_ros.matching.onnx_folder import Manifest
from loftr_ros.matching.onnx_providers import CPU, TENSORRT, chosen_providers, tensorrt_options

DYNAMIC = Manifest('lite', 'a' * 64, LITE, None, 18, {})
FIXED = dataclasses.replace(DYNAMIC, size=(640, 480))
FOLDER = Path('export')


def shapes(options: dict[str, str], bound: str) -> dict[str, list[int]]:
    entries = options[f'trt_profile_{bound}_shapes'].split(',')
    return {
        name: [int(side) for side in shape.split('x')]
        for name, _, shape in (entry.partition(':') for entry in entries)
    }


def test_providers_keep_their_order() -> None:
    assert chosen_providers(f'{TENSORRT}, {CPU}', [CPU, TENSORRT]) == [TENSORRT, CPU]


@pytest.mark.parametrize('names', ['', ',', 'CUDAExecutionProvider', f'{CPU},cpu'])
def test_a_provider_that_is_not_there_is_named_beside_those_that_are(names: str) -> None:
    with pytest.raises(ValueError, match=f"'{names}': this onnxruntime has {CPU}"):
        chosen_providers(names, [CPU])


@pytest.mark.parametrize(
    ('stage', 'inputs'),
    [
        ('encoder', {'image'}),
        ('coarse', {'tokens0', 'tokens1', 'mask0', 'mask1'}),
        ('fine', {'patches0', 'patches1', 'coarse0', 'coarse1'}),
    ],
)
def test_every_input_of_varying_shape_has_a_range(stage: str, inputs: set[str]) -> None:
    options = tensorrt_options(DYNAMIC, stage, FOLDER, half=True)
    least, usual, most = (shapes(options, bound) for bound in ('min', 'opt', 'max'))

    assert set(least) == set(usual) == set(most) == inputs
    for name in inputs:
        sides = zip(least[name], usual[name], most[name], strict=True)
        assert all(low <= middle <= high for low, middle, high in sides)
        assert least[name] != most[name]
    assert options['trt_fp16_enable'] == 'True'


def test_a_fixed_size_leaves_only_the_number_of_matches_open() -> None:
    for stage in ('encoder', 'coarse'):
        options = tensorrt_options(FIXED, stage, FOLDER, half=False)
        assert not [name for name in options if 'profile' in name]
    assert shapes(tensorrt_options(FIXED, 'fine', FOLDER, half=False), 'min')['patches0'][0] == 1


def test_engines_are_kept_beside_the_graphs() -> None:
    options = tensorrt_options(FIXED, 'encoder', FOLDER, half=False)

    assert options['trt_engine_cache_enable'] == 'True'
    assert Path(options['trt_engine_cache_path']).parent == FOLDER
    assert options['trt_fp16_enable'] == 'False'
