"""Two-stage refinement of EfficientLoFTR (section 3.4, "Two-Stage Correlation").

In a window of 8 x 8 px of image 0 and one of 10 x 10 px of image 1 the pixels that match best are
found first, then the expectation over the 3 x 3 px around the second. The fine map has the size of
the image and is the interpolation of one at half of it; as all is linear up to the softmax, windows
of 6 x 6 cells of that one are correlated, and their correlation is interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from loftr_ros.matching.fine_matching import FineOffsets
from loftr_ros.matching.precision import exact_products

if TYPE_CHECKING:
    from loftr_ros.matching.config import EfficientConfig

CELL = 8
"""Side of the window of image 0, px: that of a coarse cell."""

WIDE = CELL + 2
"""Side of the window of image 1, px."""

HALF_CELLS = CELL // 2 + 2
"""Side of both in cells of the map at half of the size, with what interpolation looks at."""


@dataclass(frozen=True)
class Windows:
    """Cells of the half map around matched coarse cells of an image.

    Attributes:
        features: (M, 36, C), those beyond the border repeat the last.
        inside: (M, 100) bool, whether pixels of the wide window lie on the image.
    """

    features: Tensor
    inside: Tensor


def half_windows(fused: Tensor, batch: Tensor, cells: Tensor, columns: int) -> Windows:
    """Gather what the windows of coarse cells are interpolated from.

    Args:
        fused: (N, C, H / 2, W / 2).
        batch: (M,) image of each window.
        cells: (M,) row-major coarse cell of each window.
        columns: Columns of the coarse grid.
    """
    height, width = fused.shape[-2:]
    row, column = (cells // columns)[:, None], (cells % columns)[:, None]
    steps = torch.arange(HALF_CELLS, device=cells.device) - 1
    y = (row * (CELL // 2) + steps).clamp(0, height - 1)
    x = (column * (CELL // 2) + steps).clamp(0, width - 1)
    index = (batch[:, None, None] * height + y[:, :, None]) * width + x[:, None, :]
    values = fused.permute(0, 2, 3, 1).reshape(-1, fused.shape[1])
    features = values.index_select(0, index.flatten()).view(
        len(cells), HALF_CELLS**2, values.shape[1]
    )
    pixels = torch.arange(WIDE, device=cells.device) - 1
    y, x = row * CELL + pixels, column * CELL + pixels
    inside = ((y >= 0) & (y < 2 * height))[:, :, None] & ((x >= 0) & (x < 2 * width))[:, None, :]
    return Windows(features, inside.flatten(1))


def refine_windows(
    windows0: Windows, windows1: Windows, config: EfficientConfig, fixed: Tensor | None = None
) -> FineOffsets:
    """Where pixels of windows 0 are found in windows 1, px from the centres of the coarse cells.

    Args:
        windows0: (M, ...) of image 0.
        windows1: (M, ...) of image 1.
        config: Of the network.
        fixed: (M,) row-major pixel of the window of 8 x 8 px of image 0 that is looked for; None
            for the one that matches best.
    """
    with exact_products(windows0.features.device):
        return _refine(windows0, windows1, config, fixed)


def _refine(
    windows0: Windows, windows1: Windows, config: EfficientConfig, fixed: Tensor | None
) -> FineOffsets:
    last = config.second_stage_dim
    first = windows0.features.shape[-1] - last
    features0 = windows0.features.float().split([first, last], dim=-1)
    features1 = windows1.features.float().split([first, last], dim=-1)
    interpolate0, interpolate1 = (
        _interpolation(features0[0], CELL),
        _interpolation(features0[0], WIDE),
    )
    correlation = torch.bmm(features0[0], features1[0].transpose(1, 2)) / first
    # On the side of image 1 as many columns as pixels of its wide window.
    correlation = (interpolate0 @ correlation @ interpolate1.T) * windows1.inside[:, None]
    pixel0, pixel1 = _first_stage(correlation, fixed)
    row = correlation.gather(1, pixel0[:, None, None].expand(-1, 1, WIDE**2))[:, 0]
    second0 = torch.bmm(interpolate0[pixel0][:, None], features0[1])
    second = torch.bmm(second0, features1[1].transpose(1, 2))[:, 0] / last**0.5
    second = (second @ interpolate1.T) * windows1.inside
    sub_pixel = _second_stage(second, pixel1, config.second_stage_temperature)
    return FineOffsets(_from_centre(pixel1) + sub_pixel, _spread(row), _from_centre(pixel0))


def _first_stage(correlation: Tensor, fixed: Tensor | None) -> tuple[Tensor, Tensor]:
    """Pixels (M,), (M,) of the windows of 8 x 8 px whose dual softmax is highest."""
    rows = correlation.logsumexp(dim=2, keepdim=True)
    columns = correlation.logsumexp(dim=1, keepdim=True)
    logarithm = 2 * correlation - rows - columns
    inner = logarithm.unflatten(2, (WIDE, WIDE))[..., 1:-1, 1:-1].flatten(2)
    if fixed is not None:
        row = inner.gather(1, fixed[:, None, None].expand(-1, 1, inner.shape[2]))
        return fixed, row[:, 0].argmax(dim=1)
    best = inner.flatten(1).argmax(dim=1)
    return best // CELL**2, best % CELL**2


def _second_stage(correlation: Tensor, pixel: Tensor, temperature: float) -> Tensor:
    """Expectation (M, 2), px, of the 3 x 3 px of (M, 100) around pixels of the inner window.

    The published weights were trained with windows that begin at the border which the wide window
    has more: they lie one px further up and left, and from the first row wrap around to the last.
    """
    steps = torch.arange(-1, 2, device=pixel.device)
    y = (pixel[:, None] // CELL + steps) % WIDE
    x = (pixel[:, None] % CELL + steps) % WIDE
    around = correlation.gather(1, (y[:, :, None] * WIDE + x[:, None, :]).flatten(1))
    heat = (around / temperature).softmax(dim=1).unflatten(1, (3, 3))
    weights = torch.stack([heat.sum(dim=1), heat.sum(dim=2)], dim=-1)
    return (weights * steps[:, None]).sum(dim=1)


def _spread(correlation: Tensor) -> Tensor:
    """Deviation (M,), px, of the softmax over wide windows (M, 100), mean of both axes."""
    heat = correlation.softmax(dim=1).unflatten(1, (WIDE, WIDE))
    axis = torch.arange(WIDE, device=heat.device, dtype=heat.dtype)
    weights = torch.stack([heat.sum(dim=1), heat.sum(dim=2)], dim=-1)
    mean = (weights * axis[:, None]).sum(dim=1, keepdim=True)
    variance = (weights * (axis[:, None] - mean).square()).sum(dim=1)
    return variance.clamp(min=1e-4).sqrt().mean(dim=1)


def _from_centre(pixel: Tensor) -> Tensor:
    """x, y (M, 2), px, of row-major pixels (M,) of a window of 8 x 8 px from its centre."""
    return torch.stack([pixel % CELL, pixel // CELL], dim=-1) - (CELL - 1) / 2


def _interpolation(like: Tensor, side: int) -> Tensor:
    """Bilinear weights (side ** 2, 36) of a centred window of pixels from cells of the half map.

    Pixel p of the image is at (p + 0.5) / 2 - 0.5 of the half map, whose windows begin one cell
    before that of pixel 0.
    """
    return _weights(side).to(like.device) if like.device.type == 'cpu' else _computed(side, like)


@cache
def _weights(side: int) -> Tensor:
    return _computed(side, torch.empty(0))


def _computed(side: int, like: Tensor) -> Tensor:
    pixels = torch.arange(side, device=like.device) - (side - CELL) // 2
    places = (pixels + 0.5) / 2 - 0.5 + 1
    cells = torch.arange(HALF_CELLS, device=like.device)
    along = (1 - (places[:, None] - cells).abs()).clamp(min=0)
    return torch.einsum('yi,xj->yxij', along, along).reshape(side**2, HALF_CELLS**2)
