"""Look inside the coarse transformer: its features, and who attends to whom in each layer.

Neither linear nor aggregated attention forms the weights of cells; here they are formed, for a few
cells only. Nothing in this module runs while the node matches.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import torch
import torch.nn.functional as F

from loftr_ros.matching.transformer import LocalFeatureTransformer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from loftr_ros.matching.aggregated_attention import (
        AggregatedAttention,
        AggregatedTransformer,
        Rotation,
    )
    from loftr_ros.matching.pair_network import FeatureMaps
    from loftr_ros.matching.transformer import EncoderLayer
    from loftr_ros.matching.weights import Network


@dataclass(frozen=True)
class LayerAttention:
    """What some cells of image 0 attend to in one layer.

    Attributes:
        kind: ``self``: the weights lie on image 0; ``cross``: on image 1.
        weights: (P, heads, S) float32, not negative; each head's weights of a cell sum to 1.
    """

    kind: Literal['self', 'cross']
    weights: Tensor


@dataclass(frozen=True)
class Inspection:
    """The inside of the coarse transformer for one pair of images.

    Attributes:
        features0: (L, C) float32, transformed coarse features of image 0.
        features1: (S, C) float32, those of image 1.
        valid0: (L,) bool, false on padding.
        valid1: (S,) bool.
        layers: Attention of the chosen cells, first layer first.
    """

    features0: Tensor
    features1: Tensor
    valid0: Tensor
    valid1: Tensor
    layers: tuple[LayerAttention, ...]


def attention_weights(query: Tensor, key: Tensor, key_mask: Tensor | None = None) -> Tensor:
    """Weights of linear attention (Katharopoulos et al., 2020, equation 4), written out.

    The weight of key j for query i is phi(q_i) phi(k_j) / sum_n phi(q_i) phi(k_n), phi = elu + 1.

    Args:
        query: (N, P, heads, D).
        key: (N, S, heads, D).
        key_mask: (N, S) bool, false where padded.

    Returns:
        (N, P, heads, S).
    """
    similarity = torch.einsum('nphd,nshd->nphs', F.elu(query) + 1, F.elu(key) + 1)
    if key_mask is not None:
        similarity = similarity * key_mask[:, None, None, :]
    return similarity / similarity.sum(dim=-1, keepdim=True)


def softmax_weights(
    layer: AggregatedAttention,
    x: Tensor,
    source: Tensor,
    chosen: Tensor,
    source_mask: Tensor | None,
    rotation: Rotation | None,
) -> Tensor:
    """Weights of aggregated attention, spread from tokens onto the cells that they stand for.

    A cell looks as its token does; the weight of a token is shared by its cells that are not
    masked.

    Args:
        layer: Of the transformer.
        x: (1, H, W, C).
        source: (1, H', W', C).
        chosen: (P,) row-major cells of x.
        source_mask: (1, H', W') bool, false where padded.
        rotation: Of the positions.

    Returns:
        (P, heads, H' * W').
    """
    query, key, _, mask = layer.tokens(x, source, source_mask, rotation)
    scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    side, columns = layer.aggregation, x.shape[2]
    token = (chosen // columns // side) * (columns // side) + chosen % columns // side
    weights = scores.softmax(dim=-1)[0, :, token].transpose(0, 1)
    rows, columns = source.shape[1] // side, source.shape[2] // side
    valid = torch.ones(source.shape[:3]) if source_mask is None else source_mask.float()
    share = F.avg_pool2d(valid[:, None].to(weights.device), side) * side**2
    weights = weights.unflatten(2, (rows, columns)) / share[0].clamp(min=1)
    spread = weights.repeat_interleave(side, dim=2).repeat_interleave(side, dim=3)
    return (spread * valid[0].to(spread.device)).flatten(2)


@torch.inference_mode()
def inspect(
    network: Network, maps0: FeatureMaps, maps1: FeatureMaps, cells: Sequence[int]
) -> Inspection:
    """Run the coarse transformer on one pair, layer by layer, and note the attention of cells.

    Args:
        network: The network; computed in float32 on its device.
        maps0: Of one image.
        maps1: Of the other one.
        cells: Row-major indices of cells of image 0.

    Raises:
        ValueError: There is no such cell.
    """
    if any(not 0 <= cell < maps0.cells for cell in cells):
        raise ValueError(f'cells {list(cells)}: image 0 has cells 0 to {maps0.cells - 1}')
    chosen = torch.as_tensor(list(cells), dtype=torch.long, device=maps0.coarse.device)
    # Weights may be in half precision.
    transformer = copy.deepcopy(network.loftr_coarse).float()
    if isinstance(transformer, LocalFeatureTransformer):
        return _linear(transformer, maps0, maps1, chosen)
    return _aggregated(transformer, maps0, maps1, chosen)


def _linear(
    transformer: LocalFeatureTransformer, maps0: FeatureMaps, maps1: FeatureMaps, chosen: Tensor
) -> Inspection:
    (x0, mask0), (x1, mask1) = maps0.tokens(), maps1.tokens()
    x0, x1 = x0.float(), x1.float()
    layers = []
    # The order of LocalFeatureTransformer.forward: a test compares the outcomes.
    for index, module in enumerate(transformer.layers):
        layer = cast('EncoderLayer', module)
        if index % 2 == 0:
            layers.append(LayerAttention('self', _weights(layer, x0[:, chosen], x0, mask0)))
            x0, x1 = layer(x0, x0, mask0, mask0), layer(x1, x1, mask1, mask1)
        else:
            layers.append(LayerAttention('cross', _weights(layer, x0[:, chosen], x1, mask1)))
            x0 = layer(x0, x1, mask0, mask1)
            x1 = layer(x1, x0, mask1, mask0)
    return Inspection(x0[0], x1[0], _valid(x0, mask0), _valid(x1, mask1), tuple(layers))


def _aggregated(
    transformer: AggregatedTransformer, maps0: FeatureMaps, maps1: FeatureMaps, chosen: Tensor
) -> Inspection:
    x0, x1 = (maps.coarse.float().permute(0, 2, 3, 1).contiguous() for maps in (maps0, maps1))
    mask0, mask1 = maps0.mask, maps1.mask
    rotations = transformer.rotation(x0), transformer.rotation(x1)
    layers = []
    # The order of AggregatedTransformer.forward, likewise.
    for index, module in enumerate(transformer.layers):
        layer = cast('AggregatedAttention', module)
        if index % 2 == 0:
            weights = softmax_weights(layer, x0, x0, chosen, mask0, rotations[0])
            layers.append(LayerAttention('self', weights))
            x0, x1 = layer(x0, x0, mask0, rotations[0]), layer(x1, x1, mask1, rotations[1])
        else:
            weights = softmax_weights(layer, x0, x1, chosen, mask1, None)
            layers.append(LayerAttention('cross', weights))
            x0 = layer(x0, x1, mask1)
            x1 = layer(x1, x0, mask0)
    flat0, flat1 = x0.flatten(1, 2), x1.flatten(1, 2)
    valid = _valid(flat0, maps0.tokens()[1]), _valid(flat1, maps1.tokens()[1])
    return Inspection(flat0[0], flat1[0], *valid, tuple(layers))


def _weights(layer: EncoderLayer, x: Tensor, source: Tensor, source_mask: Tensor | None) -> Tensor:
    query = layer.q_proj(x).unflatten(-1, (layer.heads, -1))
    key = layer.k_proj(source).unflatten(-1, (layer.heads, -1))
    return attention_weights(query, key, source_mask)[0]


def _valid(features: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return torch.ones(features.shape[1], dtype=torch.bool, device=features.device)
    return mask[0]
