"""Each device computes in the numbers that suit it, and lower precision keeps the matches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from agreement import DATA, agreement, real_pairs

from loftr_ros.matching import precision
from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.precision import (
    FLOAT32,
    PRECISIONS,
    computing,
    exact_products,
    select_precision,
    store_weights,
)
from loftr_ros.matching.runner import Runner
from loftr_ros.matching.weights import load_weights

CPU, GPU = torch.device('cpu'), torch.device('cuda:0')
HOPPER, AMPERE, TURING, PASCAL = (9, 0), (8, 0), (7, 5), (6, 1)


@pytest.mark.parametrize(
    ('capability', 'auto', 'offered'),
    [
        (HOPPER, 'float16', {'float32', 'tf32', 'float16', 'bfloat16'}),
        (AMPERE, 'float16', {'float32', 'tf32', 'float16', 'bfloat16'}),
        (TURING, 'float16', {'float32', 'float16'}),
        (PASCAL, 'float32', {'float32', 'float16'}),
    ],
)
def test_the_precision_follows_the_generation_of_the_gpu(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], auto: str, offered: set[str]
) -> None:
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda _: capability)

    assert select_precision('auto', GPU).name == auto
    for name in PRECISIONS:
        if name in offered:
            assert select_precision(name, GPU).name == name
        else:
            with pytest.raises(ValueError, match='use float32 or float16'):
                select_precision(name, GPU)


def test_a_cpu_computes_in_float32_unless_asked_for_bfloat16() -> None:
    assert select_precision('auto', CPU) is FLOAT32
    assert select_precision('bfloat16', CPU).name == 'bfloat16'


@pytest.mark.parametrize(
    ('capabilities', 'aligned', 'auto'),
    [
        ({'amx_bf16': True}, True, 'bfloat16'),
        ({'amx_bf16': True}, False, 'float32'),
        ({'amx_bf16': False, 'avx512_bf16': True}, True, 'float32'),
        ({}, True, 'float32'),
    ],
)
def test_a_cpu_with_tiles_of_bfloat16_uses_them_where_points_are_aligned_after_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], aligned: bool, auto: str
) -> None:
    monkeypatch.setattr(precision, 'cpu_capabilities', lambda: capabilities)

    assert select_precision('auto', CPU, aligned=aligned).name == auto


def test_a_cpu_is_not_asked_for_what_gpus_have() -> None:
    for name in ('tf32', 'float16'):
        with pytest.raises(ValueError, match='needs a GPU'):
            select_precision(name, CPU)


def tf32_switches() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.fixture(params=[(False, True), (True, True), (True, False)])
def outside(request: pytest.FixtureRequest) -> Iterator[tuple[bool, bool]]:
    """What the process has set for all its computations; set back after the test."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = tf32_switches()
    matmul.allow_tf32, cudnn.allow_tf32 = request.param
    yield request.param
    matmul.allow_tf32, cudnn.allow_tf32 = before


def test_tf32_is_used_where_it_is_asked_for_alone(outside: tuple[bool, bool]) -> None:
    with computing(PRECISIONS['tf32'], GPU):
        assert tf32_switches() == (True, True)
        with exact_products(GPU):
            assert tf32_switches() == (False, False)
        assert tf32_switches() == (True, True)
    assert tf32_switches() == outside
    with computing(FLOAT32, GPU):
        assert tf32_switches() == (False, False)
    assert tf32_switches() == outside


def test_an_error_leaves_no_switch_behind() -> None:
    before = tf32_switches()
    with pytest.raises(RuntimeError, match='shapes'), computing(PRECISIONS['tf32'], GPU):
        torch.ones(2, 3) @ torch.ones(2, 3)

    assert tf32_switches() == before


def test_weights_of_products_are_stored_in_half_precision_and_those_of_norms_are_not() -> None:
    network = load_weights('lite').network
    store_weights(network, PRECISIONS['float16'])
    kinds = {
        name.rpartition('.')[0].rpartition('.')[2]: value.dtype
        for name, value in network.named_parameters()
    }

    assert kinds['q_proj'] == kinds['conv1'] == torch.float16
    assert kinds['norm1'] == kinds['bn1'] == torch.float32


def test_coarse_features_are_float32_where_the_rest_is_bfloat16() -> None:
    matcher = Matcher('lite', device='cpu', precision='bfloat16')
    network = matcher.network
    image = np.random.default_rng(0).integers(0, 255, (96, 128), np.uint8)
    seen = []
    network.loftr_coarse.register_forward_hook(lambda *call: seen.extend([*call[1][:2], *call[2]]))
    features = matcher.encode(image)
    matcher.match(features, features)

    assert network.fine_preprocess.down_proj.weight.dtype == torch.bfloat16
    for parameter in network.loftr_coarse.parameters():
        assert parameter.dtype == torch.float32
    assert features.maps.fine.dtype == torch.bfloat16
    assert [tensor.dtype for tensor in seen] == 4 * [torch.float32]


def small_matcher(name: str) -> Matcher:
    """The bundled weights on the CPU, on images of at most 320 px."""
    matcher = Matcher('lite', device='cpu', longer_side=320)
    # The matcher refuses float16 on a CPU: it is slow there, but it can be checked.
    matcher._runner = Runner(load_weights('lite').network, CPU, PRECISIONS[name])
    return matcher


@pytest.mark.skipif(not real_pairs(), reason=f'no images in {DATA} (LOFTR_ROS_DATA)')
@pytest.mark.parametrize(
    ('name', 'kept', 'shift'), [('float16', 0.99, 0.03), ('bfloat16', 0.99, 0.03)]
)
def test_half_precision_keeps_the_matches_of_real_pairs(
    name: str, kept: float, shift: float
) -> None:
    found = agreement(small_matcher('float32'), small_matcher(name))

    assert found.matches > 400
    assert found.kept >= kept, found
    assert found.shift < shift, found


def test_half_precision_is_named_as_what_it_is() -> None:
    assert Matcher('lite', device='cpu', precision='bfloat16').precision == 'bfloat16'


def test_cuda_graphs_without_a_gpu_are_refused() -> None:
    with pytest.raises(ValueError, match='cuda_graphs need backend torch on a GPU'):
        Matcher('lite', device='cpu', cuda_graphs=True)
