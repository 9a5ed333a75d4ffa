"""Grey textures with mip levels, sampled at any scale."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class TextureBank:
    """Square grey textures, each mip level half the size of the one before.

    Attributes:
        texels: uint8 (X,), all levels one after the other, each (T, s, s).
        starts: int64 (levels,), where each level begins in ``texels``.
        count: Number of textures T.
        size: Side of the first level, a power of two.
    """

    texels: Tensor
    starts: Tensor
    count: int
    size: int

    @classmethod
    def build(cls, textures: Tensor) -> TextureBank:
        """Mip levels of uint8 (T, S, S) textures, down to 4 x 4.

        Raises:
            ValueError: The textures are not square or S is not a power of two of at least 4.
        """
        size = textures.shape[-1]
        if textures.dim() != 3 or textures.shape[1] != size or size < 4 or size & (size - 1):
            raise ValueError(f'textures must be (T, S, S), S a power of two, not {textures.shape}')
        levels = [textures]
        while levels[-1].shape[-1] > 4:
            # One texture at a time: a bank of photographs in float would not fit small machines.
            halved = [F.avg_pool2d(t[None, None].float(), 2)[0, 0].round() for t in levels[-1]]
            levels.append(torch.stack(halved).to(torch.uint8))
        sizes = torch.tensor([0] + [level.numel() for level in levels[:-1]])
        texels = torch.cat([level.flatten() for level in levels])
        return cls(texels, sizes.cumsum(0), len(textures), size)

    def to(self, device: torch.device) -> TextureBank:
        """Return the same textures on another device."""
        return TextureBank(self.texels.to(device), self.starts.to(device), self.count, self.size)

    def sample(self, index: Tensor, a: Tensor, b: Tensor, footprint: Tensor) -> Tensor:
        """Bilinear look-up in the level that fits the footprint; all arguments have one shape.

        Args:
            index: int64, texture of each sample.
            a: float32, position along the texture's x axis in [0, 1], wrapped outside.
            b: float32, along its y axis.
            footprint: float32, side of a pixel in texture coordinates.

        Returns:
            float32 in [0, 1].
        """
        level = (footprint * self.size).clamp(min=1.0).log2().round().long()
        level = level.clamp(max=len(self.starts) - 1)
        size = self.size >> level
        x, y = a * size - 0.5, b * size - 0.5
        left, top = x.floor(), y.floor()
        fx, fy = x - left, y - top
        x0, y0 = left.long(), top.long()
        base = self.starts[level] + index * (size * size)
        wrap = size - 1
        row0, row1 = base + (y0 & wrap) * size, base + ((y0 + 1) & wrap) * size
        x1, x0 = (x0 + 1) & wrap, x0 & wrap
        upper = torch.lerp(self._texels(row0 + x0), self._texels(row0 + x1), fx)
        lower = torch.lerp(self._texels(row1 + x0), self._texels(row1 + x1), fx)
        return torch.lerp(upper, lower, fy) / 255.0

    def _texels(self, positions: Tensor) -> Tensor:
        return self.texels.take(positions).float()
