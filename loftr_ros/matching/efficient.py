"""EfficientLoFTR (Wang et al., CVPR 2024), which MatchAnything's weights are for as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from loftr_ros.matching.aggregated_attention import AggregatedTransformer
from loftr_ros.matching.config import EfficientConfig
from loftr_ros.matching.fine_fusion import FineFusion
from loftr_ros.matching.fine_matching import FineOffsets
from loftr_ros.matching.pair_network import FeatureMaps, PairNetwork
from loftr_ros.matching.repvgg import RepVGG
from loftr_ros.matching.two_stage import CELL, half_windows, refine_windows

if TYPE_CHECKING:
    from collections.abc import Callable

    from loftr_ros.matching.coarse_matching import CoarseMatches


class EfficientLoFTR(PairNetwork[EfficientConfig]):
    """Four parts in the paper's order; names of parameters are those of the official checkpoints.

    With the configuration's ``fixed_reference`` the point of a cell of image 0 is one pixel,
    whatever image 1 shows: the best localised one. Without, it is the one that matches best.
    """

    backbone: RepVGG
    loftr_coarse: AggregatedTransformer

    def __init__(self, config: EfficientConfig) -> None:
        super().__init__(config)
        self.backbone = RepVGG(config)
        self.loftr_coarse = AggregatedTransformer(
            config.dims[-1], config.heads, config.layers, config.aggregation
        )
        self.fine_preprocess = FineFusion(config)

    def encode(
        self,
        images: Tensor,
        mask: Tensor | None = None,
        origin: tuple[int, int] = (0, 0),  # noqa: ARG002 - positions are relative here
        allowed: Tensor | None = None,
    ) -> FeatureMaps:
        """Features of grey images; see :meth:`PairNetwork.encode`."""
        coarse, fine, middle = self.backbone(images)
        if self.exact_coarse:
            coarse = coarse.float()
        maps = FeatureMaps(coarse, fine, mask, middle=middle)
        return self.with_corners(maps, images, allowed)

    def transform(self, maps0: FeatureMaps, maps1: FeatureMaps) -> tuple[Tensor, Tensor]:
        """Coarse features (N, L, C), (N, S, C) conditioned on both images."""
        x0, x1 = (maps.coarse.permute(0, 2, 3, 1).contiguous() for maps in (maps0, maps1))
        with self.coarse_products(x0.device):
            x0, x1 = self.loftr_coarse(x0, x1, maps0.mask, maps1.mask)
        return x0.flatten(1, 2), x1.flatten(1, 2)

    def refine(
        self,
        coarse0: Tensor,
        coarse1: Tensor,
        maps0: FeatureMaps,
        maps1: FeatureMaps,
        matches: CoarseMatches,
    ) -> FineOffsets:
        """Where the fine level finds each coarse match inside its window of image 1."""
        return self.refiner(coarse0, coarse1, maps0, maps1)(matches)

    def refiner(
        self, coarse0: Tensor, coarse1: Tensor, maps0: FeatureMaps, maps1: FeatureMaps
    ) -> Callable[[CoarseMatches], FineOffsets]:
        """Refine block by block; maps are fused once, and not at all without a match."""
        fixed = None
        if self.config.fixed_reference and maps0.corners is not None:
            fixed = reference_pixels(maps0.corners.pixels[:, :, 0], maps0.grid[1], self.config)
        fused: list[Tensor] = []

        def refine(matches: CoarseMatches) -> FineOffsets:
            if not len(matches.batch):
                point = coarse0.new_empty(0, 2, dtype=torch.float32)
                return FineOffsets(point, point[:, 0], point)
            if not fused:
                fused.extend((self.fused(coarse0, maps0), self.fused(coarse1, maps1)))
            return self._refine(fused[0], fused[1], (maps0.grid[1], maps1.grid[1]), fixed, matches)

        return refine

    def fused(self, coarse: Tensor, maps: FeatureMaps) -> Tensor:
        """Map (N, C_f, H / 2, W / 2) of transformed coarse features (N, L, C)."""
        grid = coarse.transpose(1, 2).unflatten(2, maps.grid)
        fused: Tensor = self.fine_preprocess(grid, maps.middle, maps.fine)
        return fused

    def _refine(
        self,
        fused0: Tensor,
        fused1: Tensor,
        columns: tuple[int, int],
        fixed: Tensor | None,
        matches: CoarseMatches,
    ) -> FineOffsets:
        windows0 = half_windows(fused0, matches.batch, matches.cells0, columns[0])
        windows1 = half_windows(fused1, matches.batch, matches.cells1, columns[1])
        chosen = None if fixed is None else fixed[matches.batch, matches.cells0]
        return refine_windows(windows0, windows1, self.config, chosen)

    def fold_batch_norms(self) -> None:
        """Fuse the branches of the backbone, and put batch norms into convolutions."""
        with torch.no_grad():
            self.backbone.fuse()
            self.fine_preprocess.fold_batch_norms()


def reference_pixels(pixels: Tensor, columns: int, config: EfficientConfig) -> Tensor:
    """Row-major pixels (N, L) of the windows of all cells that pixels (N, L, 2), px, lie on."""
    cells = torch.arange(pixels.shape[1], device=pixels.device)
    corner = torch.stack([cells % columns, cells // columns], dim=-1) * config.stride
    corner = corner + config.cell_offset - (CELL - 1) / 2
    # A cell without a pixel has its centre, between pixels.
    x, y = (pixels - corner).round().long().clamp(0, CELL - 1).unbind(dim=-1)
    return y * CELL + x
