"""Efficient local feature transformation: attention among aggregated tokens (section 3.2).

A token of the query is a learned mean of 4 x 4 coarse cells, one of key and value their maximum.
What tokens learn from each other is put back onto the cells by bilinear interpolation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from loftr_ros.matching.transformer import Pointwise, pointwise

Rotation = tuple[Tensor, Tensor]
"""Cosines and sines (1, L, C) of the angles that positions rotate channels by, in pairs."""


def rotations(frequencies: Tensor, rows: int, columns: int) -> Rotation:
    """Angles of a grid of tokens (2-D rotary encoding, equation 3).

    Channels come in fours: a pair rotates by the row, the next by the column, both counted from
    one. It is so little that it is computed anew each time, on the device.

    Args:
        frequencies: (C / 4,), radians per token.
        rows: Of the grid.
        columns: Of the grid.
    """
    y = torch.arange(1, rows + 1, device=frequencies.device)[:, None, None] * frequencies
    x = torch.arange(1, columns + 1, device=frequencies.device)[None, :, None] * frequencies
    shape = rows, columns, len(frequencies)
    angles = torch.stack([y.expand(shape), x.expand(shape)], dim=-1)
    angles = angles.flatten(2).repeat_interleave(2, dim=-1).flatten(0, 1)[None]
    return angles.cos(), angles.sin()


def rotated(tokens: Tensor, rotation: Rotation) -> Tensor:
    """Tokens (N, L, C) with each pair of channels rotated, in float32."""
    cosine, sine = rotation
    tokens = tokens.float()
    across = torch.stack([-tokens[..., 1::2], tokens[..., ::2]], dim=-1).flatten(-2)
    return tokens * cosine + across * sine


class AggregatedAttention(nn.Module):
    """One layer: the map x looks at a source (itself, or the map of the other image)."""

    def __init__(self, channels: int, heads: int, aggregation: int) -> None:
        super().__init__()
        self.heads = heads
        self.aggregation = aggregation
        self.aggregate = nn.Conv2d(
            channels, channels, aggregation, aggregation, bias=False, groups=channels
        )
        self.norm1 = nn.LayerNorm(channels)
        self.q_proj = Pointwise(channels, channels, bias=False)
        self.k_proj = Pointwise(channels, channels, bias=False)
        self.v_proj = Pointwise(channels, channels, bias=False)
        self.merge = Pointwise(channels, channels, bias=False)
        first, last = (Pointwise(2 * channels, c, bias=False) for c in (2 * channels, channels))
        self.mlp = nn.Sequential(first, nn.LeakyReLU(inplace=True), last)
        self.norm2 = nn.LayerNorm(channels)

    def forward(
        self,
        x: Tensor,
        source: Tensor,
        source_mask: Tensor | None = None,
        rotation: Rotation | None = None,
    ) -> Tensor:
        """Map (N, H, W, C) and source (N, H', W', C) to (N, H, W, C).

        Args:
            x: Map of one image, the channels last.
            source: What it looks at.
            source_mask: (N, H', W') bool, false where nothing may be looked at.
            rotation: Of the positions of both, in self-attention alone.
        """
        query, key, value, mask = self.tokens(x, source, source_mask, rotation)
        message = F.scaled_dot_product_attention(query, key, value, mask)
        message = self.merge(message.transpose(1, 2).flatten(2))
        # The first layer of the perceptron is linear: what it makes of the message is computed for
        # the tokens, a sixteenth of the cells, and then interpolated.
        weight: Tensor = self.mlp[0].weight  # type: ignore[assignment]
        of_x, of_message = weight.chunk(2, dim=1)
        rows, columns = x.shape[1] // self.aggregation, x.shape[2] // self.aggregation
        message = pointwise(message, of_message).unflatten(1, (rows, columns))
        size = x.shape[1], x.shape[2]
        message = F.interpolate(message.permute(0, 3, 1, 2), size, mode='bilinear')
        hidden = pointwise(x, of_x) + message.permute(0, 2, 3, 1)
        return x + self.norm2(self.mlp[2](self.mlp[1](hidden)))

    def tokens(
        self, x: Tensor, source: Tensor, source_mask: Tensor | None, rotation: Rotation | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Query, key and value (N, heads, L, D), and the mask (N, 1, 1, L') of the keys."""
        queries = self.aggregate(x.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
        sources, mask = self._pooled(source, source_mask)
        queries, sources = self.norm1(queries), self.norm1(sources)
        query, key, value = self.q_proj(queries), self.k_proj(sources), self.v_proj(sources)
        if rotation is not None:
            query, key = rotated(query, rotation), rotated(key, rotation)
        split = [t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (query, key, value)]
        dtype = value.dtype
        return split[0].to(dtype), split[1].to(dtype), split[2], mask

    def _pooled(self, source: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Tokens (N, L, C), the maximum of their cells that are not masked; keys that have some."""
        channels_first, side = source.permute(0, 3, 1, 2), self.aggregation
        if mask is None:
            return F.max_pool2d(channels_first, side).flatten(2).transpose(1, 2), None
        lowest = torch.finfo(source.dtype).min
        pooled = F.max_pool2d(channels_first.masked_fill(~mask[:, None], lowest), side)
        some = F.max_pool2d(mask[:, None].to(source.dtype), side) > 0
        pooled = pooled.masked_fill(~some, 0).flatten(2).transpose(1, 2)
        keys = some.flatten(2)[:, :, None]
        # Softmax over no key at all would not be a number.
        return pooled, keys | ~keys.any(dim=-1, keepdim=True)


class AggregatedTransformer(nn.Module):
    """Self and cross attention layers in turn; the two images share their weights."""

    def __init__(self, channels: int, heads: int, pairs: int, aggregation: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            AggregatedAttention(channels, heads, aggregation) for _ in range(2 * pairs)
        )
        self.aggregation = aggregation
        exponents = torch.arange(channels // 4).float() * (-4.0 / channels)
        self._frequencies: Tensor
        self.register_buffer('_frequencies', 10000.0**exponents, persistent=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def rotation(self, x: Tensor) -> Rotation:
        """Of the positions of a map (N, H, W, C)."""
        rows, columns = x.shape[1] // self.aggregation, x.shape[2] // self.aggregation
        return rotations(self._frequencies, rows, columns)

    def forward(
        self, x0: Tensor, x1: Tensor, mask0: Tensor | None = None, mask1: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Maps (N, H, W, C) and (N, H', W', C), each conditioned on both images."""
        rotation0, rotation1 = self.rotation(x0), self.rotation(x1)
        for index, layer in enumerate(self.layers):
            if index % 2 == 0:
                x0 = layer(x0, x0, mask0, rotation0)
                x1 = layer(x1, x1, mask1, rotation1)
            else:
                # Image 1 attends to the already updated image 0, as in the official code.
                x0 = layer(x0, x1, mask1)
                x1 = layer(x1, x0, mask0)
        return x0, x1
