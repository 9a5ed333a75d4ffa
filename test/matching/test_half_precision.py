"""Half precision on any input: nothing overflows on images, and what comes out is finite."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from loftr_ros.matching.config import OUTDOOR
from loftr_ros.matching.network import FeatureMaps, LoFTR
from loftr_ros.matching.precision import PRECISIONS
from loftr_ros.matching.preprocessing import prepare
from loftr_ros.matching.runner import Runner
from loftr_ros.matching.weights import load_weights

CPU = torch.device('cpu')
LARGEST = float(torch.finfo(torch.float16).max)
HALF = ('float16', 'bfloat16')


@cache
def runner(weights: str, precision: str) -> Runner:
    torch.manual_seed(0)
    network = load_weights('lite').network if weights == 'lite' else LoFTR(OUTDOOR).eval()
    return Runner(network, CPU, PRECISIONS[precision])


def pattern(kind: str, height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Images that drive a network to its limits: what is bright is white, what is dark is black."""
    y, x = np.indices((height, width))
    rng = np.random.default_rng(seed)
    period = int(rng.integers(1, 9))
    masks = {
        'black': np.zeros_like(x),
        'white': np.ones_like(x),
        'checkerboard': (x // period + y // period) % 2,
        'stripes': x // period % 2,
        'noise': rng.integers(0, 2, x.shape),
        'impulse': (x == width // 2) & (y == height // 2),
        'edge': x + period * y > (width + period * height) // 2,
    }
    return masks[kind].astype(np.uint8) * np.uint8(255)


images = st.builds(
    pattern,
    st.sampled_from(['black', 'white', 'checkerboard', 'stripes', 'noise', 'impulse', 'edge']),
    st.integers(16, 64),
    st.integers(16, 64),
    st.integers(0, 1000),
)


@pytest.mark.parametrize('precision', HALF)
@pytest.mark.parametrize('weights', ['lite', 'full'])
@settings(max_examples=12, deadline=None)
@given(first=images, second=images)
def test_no_image_makes_the_network_overflow(
    weights: str, precision: str, first: NDArray[np.uint8], second: NDArray[np.uint8]
) -> None:
    run = runner(weights, precision)
    reference = run.encode(prepare(first, run.network.config))
    query = run.encode(prepare(second, run.network.config))

    matches = run.match(reference, query, 0.0, None)

    for features in (reference, query):
        assert features.coarse.isfinite().all()
        assert features.fine.isfinite().all()
        # Far from the limit: a photograph that is not here would not reach it either.
        assert features.fine.abs().max() < LARGEST / 100
    assert np.isfinite(matches).all()


@pytest.mark.parametrize('precision', HALF)
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    scale=st.sampled_from([0.0, 1e-7, 1e-3, 1.0, 1e2, 1e3, LARGEST]),
    fine_scale=st.sampled_from([0.0, 1.0, 1e3, LARGEST]),
    corrupted=st.sampled_from([0.0, float('inf'), float('nan')]),
)
def test_features_of_any_size_end_in_finite_matches_or_none(
    precision: str, seed: int, scale: float, fine_scale: float, corrupted: float
) -> None:
    run = runner('lite', precision)
    config, generator = run.network.config, torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, config.coarse_dim, 8, 8, generator=generator) * 2 - 1
    fine = torch.rand(1, config.fine_dim, 32, 32, generator=generator) * 2 - 1
    coarse, fine = coarse * scale, fine * fine_scale
    if corrupted:
        fine[0, 0, 9:20, 9:20] = corrupted
    numbers = PRECISIONS[precision]
    coarse = coarse.to(torch.float32 if numbers.exact_coarse else numbers.dtype)
    maps = FeatureMaps(coarse, fine.to(numbers.dtype))

    matches = run.match(maps, maps, 0.0, None)

    assert np.isfinite(matches).all()
    assert (matches[:, 4] > 0).all()


def test_only_the_matches_that_overflow_are_lost() -> None:
    run = runner('lite', 'float16')
    maps = run.encode(prepare(pattern('noise', 192, 192, 0), run.network.config))
    whole = run.match(maps, maps, 0.0, None)
    fine = maps.fine.clone()
    fine[..., :16, :] = LARGEST

    rest = run.match(replace(maps, fine=fine), maps, 0.0, None)

    # Windows reach two fine cells, 8 px, beyond their centres, and the motion around a match two
    # coarse ones.
    untouched = whole[whole[:, 1] > 64 + 8 + 32 + 8]
    assert 0 < len(untouched) < len(whole)
    assert set(untouched[:, 6]) <= set(rest[:, 6])
    assert len(rest) < len(whole)
    assert np.isfinite(rest).all()


def test_a_network_that_overflows_finds_nothing_instead_of_nonsense() -> None:
    torch.manual_seed(0)
    network = load_weights('lite').network
    with torch.no_grad():
        for parameter in network.backbone.parameters():
            parameter.mul_(40)
    run = Runner(network, CPU, PRECISIONS['float16'])
    image = prepare(pattern('noise', 64, 64, 0), run.network.config)
    maps = run.encode(image)
    assert not maps.fine.isfinite().all()

    matches = run.match(maps, maps, 0.0, None)

    assert np.isfinite(matches).all()
