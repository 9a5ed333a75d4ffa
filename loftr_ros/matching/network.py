"""The LoFTR network: four parts in the paper's order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from loftr_ros.matching.backbone import ResNetFPN
from loftr_ros.matching.config import LoFTRConfig
from loftr_ros.matching.fine_matching import FineMatching, FineOffsets, expected_offset
from loftr_ros.matching.pair_network import FeatureMaps, NetworkMatches, PairNetwork
from loftr_ros.matching.transformer import LocalFeatureTransformer, position_encoding

if TYPE_CHECKING:
    from loftr_ros.matching.coarse_matching import CoarseMatches

__all__ = ['FeatureMaps', 'LoFTR', 'NetworkMatches']

SIZES_KEPT = 8
"""Sizes of images whose encodings of positions are kept; a rig or a pair has two."""


class LoFTR(PairNetwork[LoFTRConfig]):
    """LoFTR (Sun et al., CVPR 2021); state dicts of the official checkpoints load unchanged."""

    backbone: ResNetFPN
    loftr_coarse: LocalFeatureTransformer

    def __init__(self, config: LoFTRConfig) -> None:
        super().__init__(config)
        self.backbone = ResNetFPN(config)
        self.loftr_coarse = LocalFeatureTransformer(
            config.coarse_dim, config.coarse_heads, config.coarse_layers
        )
        self.fine_preprocess = FineMatching(config)
        self.loftr_fine = LocalFeatureTransformer(
            config.fine_dim, config.fine_heads, config.fine_layers
        )
        self._encodings: dict[tuple[object, ...], Tensor] = {}

    def encode(
        self,
        images: Tensor,
        mask: Tensor | None = None,
        origin: tuple[int, int] = (0, 0),
        allowed: Tensor | None = None,
    ) -> FeatureMaps:
        """Features of grey images; see :meth:`PairNetwork.encode`."""
        coarse, fine = self.backbone(images)
        if self.exact_coarse:
            coarse = coarse.float()
        maps = FeatureMaps(coarse + self._encoding(coarse, origin), fine, mask)
        return self.with_corners(maps, images, allowed)

    def _encoding(self, like: Tensor, origin: tuple[int, int]) -> Tensor:
        channels, height, width = like.shape[-3:]
        rows, columns = height + origin[0], width + origin[1]
        key = (rows, columns, like.dtype, like.device)
        encoding = self._encodings.pop(key, None)
        if encoding is None:
            fix = self.config.position_encoding_fix
            encoding = position_encoding(
                channels, height=rows, width=columns, fix=fix, device=like.device
            ).to(like.dtype)
        while len(self._encodings) >= SIZES_KEPT:
            del self._encodings[next(iter(self._encodings))]
        self._encodings[key] = encoding  # the one used last stands last
        return encoding[:, origin[0] :, origin[1] :]

    def fold_batch_norms(self) -> None:
        """Put batch norms into the convolutions before them, for inference alone."""
        self.backbone.fold_batch_norms()

    def local_features(self, maps: FeatureMaps) -> Tensor:
        """Coarse features (L, C_c) of the valid cells of one image, without their positions."""
        features = (maps.coarse - self._encoding(maps.coarse, (0, 0))).flatten(2)[0].T
        return features if maps.mask is None else features[maps.mask.flatten()]

    def transform(self, maps0: FeatureMaps, maps1: FeatureMaps) -> tuple[Tensor, Tensor]:
        """Coarse features (N, L, C), (N, S, C) conditioned on both images."""
        tokens0, mask0 = maps0.tokens()
        tokens1, mask1 = maps1.tokens()
        with self.coarse_products(tokens0.device):
            transformed: tuple[Tensor, Tensor] = self.loftr_coarse(tokens0, tokens1, mask0, mask1)
        return transformed

    def fine_windows(
        self,
        coarse0: Tensor,
        coarse1: Tensor,
        maps0: FeatureMaps,
        maps1: FeatureMaps,
        matches: CoarseMatches,
    ) -> tuple[Tensor, Tensor]:
        """Fine features around coarse matches, (M, w * w, C_f) of each image."""
        prepare = self.fine_preprocess.windows
        return (
            prepare(maps0.fine, coarse0, matches.batch, matches.cells0, maps0.grid[1]),
            prepare(maps1.fine, coarse1, matches.batch, matches.cells1, maps1.grid[1]),
        )

    def refine(
        self,
        coarse0: Tensor,
        coarse1: Tensor,
        maps0: FeatureMaps,
        maps1: FeatureMaps,
        matches: CoarseMatches,
    ) -> FineOffsets:
        """Where the fine level finds each coarse match inside its window of image 1."""
        windows = self.fine_windows(coarse0, coarse1, maps0, maps1, matches)
        if len(matches.batch):
            windows = self.loftr_fine(*windows)
        return expected_offset(*windows)
