"""Positional encoding and the local feature transformer (section 3.2 of the paper)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from loftr_ros.matching.precision import cpu_capabilities

NARROW = 64
"""Up to so many channels, all heads are computed at once."""


def position_encoding(
    channels: int, *, height: int, width: int, fix: bool, device: torch.device | None = None
) -> Tensor:
    """Sinusoidal 2-D encoding, (channels, height, width) float32.

    Channels come in fours: sin x, cos x, sin y, cos y, with positions counted from one, as in the
    official code. ``fix`` false reproduces its slip of operator precedence, which old checkpoints
    were trained with.
    """
    exponent = -math.log(10000.0) / (channels // 2) if fix else -math.log(10000.0) / channels // 2
    # Computed on the device: to copy it there the host would have to wait.
    frequency = torch.arange(0, channels // 2, 2, device=device).float()
    frequency = torch.exp(frequency * exponent)[:, None, None]
    x = torch.arange(1, width + 1, device=device).float()[None, None, :].expand(1, height, width)
    y = torch.arange(1, height + 1, device=device).float()[None, :, None].expand(1, height, width)
    waves = (
        (x * frequency).sin(),
        (x * frequency).cos(),
        (y * frequency).sin(),
        (y * frequency).cos(),
    )
    return torch.stack(waves, dim=1).reshape(channels, height, width)


def linear_attention(
    query: Tensor, key: Tensor, value: Tensor, query_mask: Tensor | None, key_mask: Tensor | None
) -> Tensor:
    """Attention of linear cost with the feature map elu + 1 (Katharopoulos et al., 2020).

    Args:
        query: (N, L, heads, D).
        key: (N, S, heads, D).
        value: (N, S, heads, D).
        query_mask: (N, L) bool, false where padded.
        key_mask: (N, S) bool, false where padded.

    Returns:
        (N, L, heads, D).
    """
    # In place, so that fewer large tensors are written: a tenth of the time.
    query = F.elu(query).add_(1)
    key = F.elu(key).add_(1)
    if query_mask is not None:
        query = query * query_mask[:, :, None, None]
    if key_mask is not None:
        key = key * key_mask[:, :, None, None]
        value = value * key_mask[:, :, None, None]
    # Means instead of sums keep half precision from overflowing; the length cancels out.
    length = value.shape[1]
    if query.shape[2:].numel() <= NARROW and query_mask is None:
        return _narrow_attention(query, key, value / length)
    context = torch.einsum('nshd,nshv->nhdv', key, value / length)
    normaliser = torch.einsum('nlhd,nhd->nlh', query, key.mean(dim=1)) + 1e-6 / length
    if query_mask is not None:
        normaliser = normaliser.masked_fill(~query_mask[:, :, None], 1.0)
    return torch.einsum('nlhd,nhdv->nlhv', query, context) / normaliser[..., None]


def _narrow_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of all heads in one product of (C, C) that is zero between different heads.

    The same numbers as head by head, from some times the multiplications, but without copying what
    must lie together for each head: two thirds of the time for the windows of a small network.
    """
    _, _, heads, width = query.shape
    head = torch.arange(heads * width, device=query.device) // width
    own = (head[:, None] == head[None, :]).to(value.dtype)
    context = torch.bmm(key.flatten(2).transpose(1, 2), value.flatten(2)) * own
    sums = key.mean(dim=1).flatten(1)[:, :, None] * own[:, ::width]
    normaliser = torch.bmm(query.flatten(2), sums) + 1e-6 / key.shape[1]
    message = torch.bmm(query.flatten(2), context).unflatten(-1, (heads, width))
    return message / normaliser[..., None]


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Linear map of (..., C) to (..., C'), on a CPU that is not Intel's as a 1x1 convolution.

    Convolutions go to oneDNN, linear maps to MKL, whose kernels leave AVX-512 unused on the
    machines of others: half the speed there. On Intel's they are faster for narrow layers.
    """
    plain = x.device.type != 'cpu' or x.numel() == 0 or torch.onnx.is_in_onnx_export()
    if plain or cpu_capabilities().get('cpu_name', '').startswith('Intel'):
        return F.linear(x, weight, bias)
    # With one thread oneDNN is taken only from 16 images on.
    images = 16 if x.shape[:-1].numel() % 16 == 0 else len(x)
    pixels = x.reshape(images, 1, -1, x.shape[-1]).permute(0, 3, 1, 2)
    y = F.conv2d(pixels, weight[:, :, None, None], bias)
    return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


class Pointwise(nn.Linear):
    """Linear layer that is fast on every CPU; see :func:`pointwise`."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) to (..., C')."""
        return pointwise(x, self.weight, self.bias)


class EncoderLayer(nn.Module):
    """One attention layer: x looks at source (itself, or the other image)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = Pointwise(channels, channels, bias=False)
        self.k_proj = Pointwise(channels, channels, bias=False)
        self.v_proj = Pointwise(channels, channels, bias=False)
        self.merge = Pointwise(channels, channels, bias=False)
        self.mlp = nn.Sequential(
            Pointwise(2 * channels, 2 * channels, bias=False),
            nn.ReLU(inplace=True),
            Pointwise(2 * channels, channels, bias=False),
        )
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)

    def forward(
        self,
        x: Tensor,
        source: Tensor,
        x_mask: Tensor | None = None,
        source_mask: Tensor | None = None,
    ) -> Tensor:
        """(N, L, C) and (N, S, C) to (N, L, C)."""
        query = self.q_proj(x).unflatten(-1, (self.heads, -1))
        key = self.k_proj(source).unflatten(-1, (self.heads, -1))
        value = self.v_proj(source).unflatten(-1, (self.heads, -1))
        message = linear_attention(query, key, value, x_mask, source_mask).flatten(-2)
        message = self.norm1(self.merge(message))
        message = self.norm2(self.mlp(torch.cat([x, message], dim=-1)))
        return x + message


class LocalFeatureTransformer(nn.Module):
    """Self and cross attention layers in turn; the two images share their weights."""

    def __init__(self, channels: int, heads: int, pairs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(channels, heads) for _ in range(2 * pairs))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self,
        features0: Tensor,
        features1: Tensor,
        mask0: Tensor | None = None,
        mask1: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(N, L, C) and (N, S, C), each conditioned on both images."""
        for index, layer in enumerate(self.layers):
            if index % 2 == 0:
                features0 = layer(features0, features0, mask0, mask0)
                features1 = layer(features1, features1, mask1, mask1)
            else:
                # Image 1 attends to the already updated image 0, as in the official code.
                features0 = layer(features0, features1, mask0, mask1)
                features1 = layer(features1, features0, mask1, mask0)
        return features0, features1
