"""The stages of EfficientLoFTR as they are exported: backbone, coarse transformer, fusion.

Matching of cells, windows and their refinement have no weights, and stay in torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from loftr_ros.matching.onnx_folder import COARSE, ENCODER, FINE

if TYPE_CHECKING:
    from loftr_ros.matching.efficient import EfficientLoFTR

MOST_TOKENS_ALONG = 2**9
"""Greatest number of tokens along an axis: images of 16384 px."""


class Encoder(nn.Module):
    """Backbone: image (1, 1, H, W) to maps (1, C, H', W') at 1/8, 1/2 and 1/4."""

    def __init__(self, network: EfficientLoFTR) -> None:
        super().__init__()
        self.backbone = network.backbone

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coarse, fine and middle map."""
        maps: tuple[Tensor, Tensor, Tensor] = self.backbone(image)
        return maps


class Coarse(nn.Module):
    """Coarse transformer on maps (1, H, W, C), (1, H', W', C) with masks (1, H, W), bool."""

    def __init__(self, network: EfficientLoFTR) -> None:
        super().__init__()
        self.transformer = network.loftr_coarse

    def forward(
        self, map0: Tensor, map1: Tensor, mask0: Tensor, mask1: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Maps conditioned on both images, in the same shapes."""
        maps: tuple[Tensor, Tensor] = self.transformer(map0, map1, mask0, mask1)
        return maps


class Fusion(nn.Module):
    """Transformed coarse map with the middle and the fine one: (1, C_f, H / 2, W / 2)."""

    def __init__(self, network: EfficientLoFTR) -> None:
        super().__init__()
        self.fusion = network.fine_preprocess

    def forward(self, coarse: Tensor, middle: Tensor, fine: Tensor) -> tuple[Tensor]:
        """What windows are cut from."""
        return (self.fusion(coarse, middle, fine),)


Stage = tuple[nn.Module, dict[str, Tensor], dict[str, dict[int, Any]], list[str]]


def stages(network: EfficientLoFTR, size: tuple[int, int] | None) -> dict[str, Stage]:
    """For each stage its module, example inputs, their dimensions that vary, and output names.

    Args:
        network: The network; its batch norms folded.
        size: Width and height of all images, px; None for any.
    """
    config = network.config
    multiple, token = config.size_multiple, config.aggregation
    width, height = size or (5 * multiple, 3 * multiple)
    rows, columns = height // multiple, width // multiple
    # Examples of unlike sizes: the exporter would take equal ones for the same.
    grids = (rows, columns), ((rows, columns) if size else (rows + 1, columns + 1))
    fine, middle, coarse = config.dims[1:]
    maps = {
        f'map{i}': torch.zeros(1, token * r, token * c, coarse) for i, (r, c) in enumerate(grids)
    }
    masks = {
        f'mask{i}': torch.ones(1, token * r, token * c, dtype=torch.bool)
        for i, (r, c) in enumerate(grids)
    }
    pyramid = {
        'coarse': torch.zeros(1, coarse, height // 8, width // 8),
        'middle': torch.zeros(1, middle, height // 4, width // 4),
        'fine': torch.zeros(1, fine, height // 2, width // 2),
    }
    vary: list[dict[str, dict[int, Any]]] = [{}, {}, {}]
    if size is None:
        vary = [
            {'image': _along(multiple, '', 2)},
            {f'{n}{i}': _along(token, str(i), 1) for n in ('map', 'mask') for i in (0, 1)},
            {
                name: _along(multiple // s, '', 2)
                for name, s in zip(pyramid, (8, 4, 2), strict=True)
            },
        ]
    image = {'image': torch.zeros(1, 1, height, width)}
    fused = ['map0_transformed', 'map1_transformed']
    return {
        ENCODER: (Encoder(network), image, vary[0], ['coarse', 'fine', 'middle']),
        COARSE: (Coarse(network), maps | masks, vary[1], fused),
        FINE: (Fusion(network), pyramid, vary[2], ['fused']),
    }


def _along(cells: int, suffix: str, first: int) -> dict[int, Any]:
    """Rows and columns that vary, in whole tokens of that many cells."""
    rows, columns = (
        torch.export.Dim(name + suffix, max=MOST_TOKENS_ALONG) for name in ('rows', 'columns')
    )
    return {first: cells * rows, first + 1: cells * columns}
