"""What only a GPU can show: `pytest test/matching/test_gpu.py -s` on a machine that has one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from agreement import DATA, agreement, real_pairs

from loftr_ros.matching.matcher import Matcher
from loftr_ros.rendering.procedural import procedural_texture

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason='no CUDA device: GPU paths are checked where there is one'
)
WAIT = 'synchronizing CUDA operation'
PAIR = [procedural_texture(640, np.random.default_rng(seed))[:480] for seed in (1, 1)]


def available() -> list[str]:
    names = ['float32', 'tf32', 'float16', 'bfloat16']
    old = torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 0)
    return ['float32', 'float16'] if old else names


@pytest.mark.parametrize('cuda_graphs', [False, True])
@pytest.mark.parametrize('precision', available())
@pytest.mark.skipif(not real_pairs(), reason=f'no images in {DATA} (LOFTR_ROS_DATA)')
def test_the_matches_of_a_gpu_are_those_of_a_cpu_in_float32(
    precision: str, cuda_graphs: bool
) -> None:
    exact = Matcher('lite', device='cpu')
    gpu = Matcher('lite', device='cuda', precision=precision, cuda_graphs=cuda_graphs)
    found = agreement(exact, gpu)
    print(f'{precision}, CUDA graphs {cuda_graphs}: {found}')

    assert found.kept >= 0.99, found
    assert found.shift < 0.1, found


@pytest.mark.parametrize('cuda_graphs', [False, True])
def test_the_host_waits_once_per_pair(cuda_graphs: bool) -> None:
    matcher = Matcher('lite', device='cuda', cuda_graphs=cuda_graphs)
    for _ in range(3):  # kernels are loaded, the number of rows is that of these images
        matcher.match_images(*PAIR)
    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            matcher.match_images(*PAIR)
    finally:
        torch.cuda.set_sync_debug_mode('default')

    assert [WAIT in str(warning.message) for warning in caught].count(True) == 1


def test_recordings_of_several_sizes_do_not_disturb_each_other() -> None:
    plain = Matcher('lite', device='cuda')
    recorded = Matcher('lite', device='cuda', cuda_graphs=True)
    for height, width in [(480, 640), (320, 480), (480, 640), (240, 320), (320, 480)]:
        images = [image[:height, :width] for image in PAIR]
        expected, found = plain.match_images(*images), recorded.match_images(*images)

        np.testing.assert_array_equal(found.reference_cells, expected.reference_cells)
        np.testing.assert_allclose(found.query_points, expected.query_points, atol=0.05)


def test_a_stream_keeps_its_reference_while_recordings_are_replayed() -> None:
    matcher = Matcher('lite', device='cuda', cuda_graphs=True)
    reference = matcher.encode(PAIR[0])
    first = matcher.match(reference, matcher.encode(PAIR[1]))
    for _ in range(3):
        matcher.encode(np.zeros_like(PAIR[0]))
    again = matcher.match(reference, matcher.encode(PAIR[1]))

    np.testing.assert_array_equal(again.reference_cells, first.reference_cells)
