"""Sub-pixel refinement of coarse matches in fine windows (section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from loftr_ros.matching.coarse_matching import CoarseMatches
from loftr_ros.matching.config import LoFTRConfig, MatchingConfig
from loftr_ros.matching.precision import exact_products
from loftr_ros.matching.transformer import Pointwise, pointwise

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOWS_APART = 64
"""Windows are refined in multiples of so many. The library that multiplies matrices on a CPU
compiles code for each number of rows and keeps it, up to a gigabyte of it."""


@dataclass(frozen=True)
class FineOffsets:
    """Where a point of window 0 is found inside window 1.

    Attributes:
        offset: (M, 2) x, y from the centre of window 1, in the configuration's ``fine_unit``: for
            LoFTR the window's half side, so that it lies within [-1, 1].
        deviation: (M,) standard deviation of the heat map, mean of both axes, in the same unit.
        start: (M, 2) x, y of the point from the centre of window 0, in the same unit; None at it.
    """

    offset: Tensor
    deviation: Tensor
    start: Tensor | None = None


def refine_in_blocks(
    refine: Callable[[CoarseMatches], FineOffsets], matches: CoarseMatches, block: int
) -> FineOffsets:
    """Refine matches block by block; each is refined by itself, so that nothing changes."""
    count = len(matches.batch)
    parts = [refine(part) for part in matches.filled_up(WINDOWS_APART).split(block)]
    starts = [part.start for part in parts if part.start is not None]
    return FineOffsets(
        torch.cat([part.offset for part in parts])[:count],
        torch.cat([part.deviation for part in parts])[:count],
        torch.cat(starts)[:count] if starts else None,
    )


class FineMatching(nn.Module):
    """Windows around coarse matches, transformed and correlated.

    The state dict's names are those of the official code's ``fine_preprocess`` and ``loftr_fine``,
    which the network flattens into its own.
    """

    def __init__(self, config: LoFTRConfig) -> None:
        super().__init__()
        self.window = config.fine_window
        self.stride = config.resolution[0] // config.resolution[1]
        self.down_proj = Pointwise(config.coarse_dim, config.fine_dim)
        self.merge_feat = Pointwise(2 * config.fine_dim, config.fine_dim)
        for linear in (self.down_proj, self.merge_feat):
            nn.init.kaiming_normal_(linear.weight, mode='fan_out', nonlinearity='relu')

    def windows(
        self,
        fine: Tensor,
        coarse: Tensor,
        batch: Tensor,
        cells: Tensor,
        columns: int,
    ) -> Tensor:
        """Fine features around coarse cells with the coarse feature as context: (M, w * w, C_f).

        Args:
            fine: (N, C_f, H_f, W_f).
            coarse: (N, L, C_c) transformed coarse features.
            batch: (M,) image of each window.
            cells: (M,) row-major coarse cell of each window.
            columns: Columns of the coarse grid.
        """
        patches = window_patches(fine, batch, cells, columns, (self.window, self.stride))
        return self.merge(patches, coarse[batch, cells])

    def merge(self, patches: Tensor, coarse: Tensor) -> Tensor:
        """Patches (M, w * w, C_f) with the coarse features (M, C_c) as context, (M, w * w, C_f)."""
        # merge_feat of patches and context side by side, without putting them there.
        of_patch, of_context = self.merge_feat.weight.chunk(2, dim=1)
        context = pointwise(self.down_proj(coarse), of_context, self.merge_feat.bias)
        return pointwise(patches, of_patch) + context[:, None]


def window_patches(
    fine: Tensor, batch: Tensor, cells: Tensor, columns: int, shape: tuple[int, int]
) -> Tensor:
    """Fine features around coarse cells, zero outside of the image: (M, w * w, C_f).

    Args:
        fine: (N, C_f, H_f, W_f).
        batch: (M,) image of each window.
        cells: (M,) row-major coarse cell of each window.
        columns: Columns of the coarse grid.
        shape: Side w of a window and stride of the coarse cells, both in fine cells.
    """
    window, stride = shape
    height, width = fine.shape[-2:]
    steps = torch.arange(window, device=cells.device) - window // 2
    y = (cells // columns * stride)[:, None, None] + steps[:, None]
    x = (cells % columns * stride)[:, None, None] + steps[None, :]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    index = batch[:, None, None] * height + y.clamp(0, height - 1)
    index = index * width + x.clamp(0, width - 1)
    pixels = fine.permute(0, 2, 3, 1).reshape(-1, fine.shape[1])
    patches = pixels.index_select(0, index.flatten()) * inside.flatten()[:, None]
    return patches.view(len(cells), window**2, fine.shape[1])


def expected_offset(features0: Tensor, features1: Tensor) -> FineOffsets:
    """Expectation and deviation of the correlation heat map of (M, w * w, C) windows."""
    _, cells, channels = features0.shape
    window = int(cells**0.5)
    centre = features0[:, cells // 2].float()
    with exact_products(features0.device):
        correlation = torch.bmm(features1.float(), centre[:, :, None])[..., 0] / channels**0.5
        heat = correlation.softmax(dim=1)
        axis = torch.linspace(-1, 1, window, device=heat.device)
        grid = torch.stack(torch.meshgrid(axis, axis, indexing='xy'), dim=-1).view(cells, 2)
        offset, square = (heat @ torch.cat([grid, grid**2], dim=1)).chunk(2, dim=1)
    variance = (square - offset**2).clamp(min=1e-10)
    return FineOffsets(offset, variance.sqrt().mean(dim=-1))


def in_pixels(
    config: MatchingConfig,
    coarse: CoarseMatches,
    fine: FineOffsets,
    columns0: int,
    columns1: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Points (M, 2) of both images and sigma (M,), px of the network's input images."""
    unit = config.fine_unit
    points0 = cell_centres(config, coarse.cells0, columns0)
    if fine.start is not None:
        points0 = points0 + fine.start * unit
    points1 = cell_centres(config, coarse.cells1, columns1) + fine.offset * unit
    sigma = config.sigma_scale * (fine.deviation * unit) ** config.sigma_exponent
    return points0, points1, sigma


def cell_centres(config: MatchingConfig, cells: Tensor, columns: int) -> Tensor:
    """x, y of row-major cells (M,) of the coarse grid, px: (M, 2) float32."""
    grid = torch.stack([cells % columns, cells // columns], dim=-1).float()
    return grid * config.stride + config.cell_offset
