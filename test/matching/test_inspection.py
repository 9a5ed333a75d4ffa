"""The attention that is drawn is the attention that the network computes."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from loftr_ros.matching.inspection import attention_weights, inspect
from loftr_ros.matching.matcher import ImageFeatures, Matcher
from loftr_ros.matching.transformer import EncoderLayer, linear_attention
from loftr_ros.rendering.procedural import procedural_texture


@pytest.fixture(scope='module')
def matcher() -> Matcher:
    return Matcher('lite', device='cpu')


@pytest.fixture(scope='module')
def images() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    texture = procedural_texture(320, np.random.default_rng(3))
    return texture[:193, :257], texture[20:212, 10:266]  # the first one is padded, the other not


@pytest.fixture(scope='module')
def features(
    matcher: Matcher, images: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> tuple[ImageFeatures, ImageFeatures]:
    return matcher.encode(images[0]), matcher.encode(images[1])


@pytest.mark.parametrize('masked', [False, True])
def test_the_weights_reproduce_linear_attention(masked: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 7, 4, 6, generator=generator)
    key, value = (torch.randn(2, 9, 4, 6, generator=generator) for _ in range(2))
    mask = torch.rand(2, 9, generator=generator) < 0.6 if masked else None

    weights = attention_weights(query, key, mask)
    output = torch.einsum('nphs,nshd->nphd', weights, value)

    torch.testing.assert_close(
        output, linear_attention(query, key, value, None, mask), atol=1e-5, rtol=1e-4
    )


def test_the_weights_of_a_cell_sum_to_one_and_padding_gets_none(
    matcher: Matcher, features: tuple[ImageFeatures, ImageFeatures]
) -> None:
    found = inspect(matcher.network, features[0].maps, features[1].maps, [0, 40])

    assert not found.valid0.all()
    assert [layer.kind for layer in found.layers] == ['self', 'cross'] * 3
    for layer in found.layers:
        valid = found.valid0 if layer.kind == 'self' else found.valid1
        assert layer.weights.shape == (2, 4, len(valid))
        torch.testing.assert_close(layer.weights.sum(-1), torch.ones(2, 4))
        assert (layer.weights[..., valid] > 0).all()
        assert not layer.weights[..., ~valid].any()


def test_the_features_are_those_of_the_network(
    matcher: Matcher, features: tuple[ImageFeatures, ImageFeatures]
) -> None:
    maps = features[0].maps, features[1].maps
    found = inspect(matcher.network, *maps, [5])
    with torch.inference_mode():
        expected0, expected1 = matcher.network.transform(*maps)

    torch.testing.assert_close(found.features0[found.valid0], expected0[0][found.valid0])
    torch.testing.assert_close(found.features1, expected1[0])


def test_each_layer_attends_with_the_features_that_reach_it(
    matcher: Matcher, features: tuple[ImageFeatures, ImageFeatures]
) -> None:
    """The message that the weights of a layer give is the one its own projections give."""
    maps = features[0].maps, features[1].maps
    cells = [3, 77, 100]
    found = inspect(matcher.network, *maps, cells)
    layer = matcher.network.loftr_coarse.layers[0]
    assert isinstance(layer, EncoderLayer)
    tokens, mask = maps[0].tokens()
    with torch.inference_mode():
        query, key, value = (
            projection(tokens).unflatten(-1, (layer.heads, -1))
            for projection in (layer.q_proj, layer.k_proj, layer.v_proj)
        )
        expected = linear_attention(query, key, value, mask, mask)[0, cells]
        message = torch.einsum('phs,shd->phd', found.layers[0].weights, value[0])

    torch.testing.assert_close(message, expected, atol=1e-4, rtol=1e-3)


def test_a_cell_outside_of_the_image_is_refused(
    matcher: Matcher, features: tuple[ImageFeatures, ImageFeatures]
) -> None:
    with pytest.raises(ValueError, match='cells 0 to'):
        inspect(matcher.network, features[0].maps, features[1].maps, [100_000])
