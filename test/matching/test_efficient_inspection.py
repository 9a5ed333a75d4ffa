"""The attention of EfficientLoFTR that is drawn is the one that it computes."""

from __future__ import annotations

import pytest
import torch
from efficient_networks import randomized, smooth_noise

from loftr_ros.matching.aggregated_attention import AggregatedAttention
from loftr_ros.matching.config import EfficientConfig
from loftr_ros.matching.efficient import EfficientLoFTR
from loftr_ros.matching.inspection import inspect, softmax_weights
from loftr_ros.matching.pair_network import FeatureMaps


@pytest.fixture(scope='module')
def network() -> EfficientLoFTR:
    return randomized(EfficientConfig(blocks=(1, 1, 1, 2), layers=2))


@pytest.fixture(scope='module')
def maps(network: EfficientLoFTR) -> tuple[FeatureMaps, FeatureMaps]:
    mask = torch.ones(1, 12, 16, dtype=torch.bool)
    mask[:, :, 9:] = False
    with torch.no_grad():
        return network.encode(smooth_noise(1, (96, 128)), mask), network.encode(
            smooth_noise(1, (64, 160))
        )


def test_the_features_are_those_that_are_matched(
    network: EfficientLoFTR, maps: tuple[FeatureMaps, FeatureMaps]
) -> None:
    found = inspect(network, *maps, [3, 70])
    with torch.no_grad():
        coarse0, coarse1 = network.transform(*maps)

    torch.testing.assert_close(found.features0, coarse0[0])
    torch.testing.assert_close(found.features1, coarse1[0])
    assert found.valid0.sum() == 12 * 9


def test_weights_sum_to_one_and_padding_gets_none(
    network: EfficientLoFTR, maps: tuple[FeatureMaps, FeatureMaps]
) -> None:
    found = inspect(network, *maps, [3, 70])

    assert [layer.kind for layer in found.layers] == ['self', 'cross'] * 2
    for layer in found.layers:
        valid = found.valid0 if layer.kind == 'self' else found.valid1
        assert layer.weights.shape == (2, 8, len(valid))
        torch.testing.assert_close(layer.weights.sum(-1), torch.ones(2, 8))
        assert not layer.weights[..., ~valid].any()


def test_the_weights_of_tokens_give_the_message_of_the_layer() -> None:
    torch.manual_seed(0)
    layer = AggregatedAttention(32, 4, 4)
    x, source = torch.randn(1, 8, 12, 32), torch.randn(1, 8, 4, 32)
    with torch.no_grad():
        weights = softmax_weights(layer, x, source, torch.tensor([5, 60]), None, None)
        query, key, value, _ = layer.tokens(x, source, None, None)
        expected = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    # Cells 5 and 60 of 8 x 12 are in tokens 1 and 3 of 2 x 3; a token of the source has 16 cells.
    of_tokens = weights.view(2, 4, 2, 4, 1, 4).sum(dim=(3, 5)).flatten(2)
    message = torch.einsum('phs,hsd->phd', of_tokens, value[0])

    torch.testing.assert_close(message, expected[0, :, [1, 3]].transpose(0, 1))


def test_a_cell_that_is_not_there_is_refused(
    network: EfficientLoFTR, maps: tuple[FeatureMaps, FeatureMaps]
) -> None:
    with pytest.raises(ValueError, match='0 to 191'):
        inspect(network, *maps, [192])
