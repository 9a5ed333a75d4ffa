"""The LoFTR network: four parts in the paper's order, plain tensors in and out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .backbone import ResNetFPN
from .coarse_matching import (
    CoarseMatches,
    calibrate,
    inner_cells,
    mutual_matches,
    strongest,
)
from .config import LoFTRConfig
from .fine_matching import (
    FineMatching,
    FineOffsets,
    expected_offset,
    in_pixels,
    refine_in_blocks,
)
from .transformer import LocalFeatureTransformer, position_encoding


@dataclass(frozen=True)
class FeatureMaps:
    """What the backbone knows of a batch of images; reusable against any other image.

    Attributes:
        coarse: (N, C_c, H_c, W_c) with the positional encoding added.
        fine: (N, C_f, H_f, W_f).
        mask: (N, H_c, W_c) bool, false on padding, or None when every cell is valid.
    """

    coarse: Tensor
    fine: Tensor
    mask: Tensor | None = None

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the coarse grid."""
        return self.coarse.shape[-2], self.coarse.shape[-1]

    @property
    def cells(self) -> int:
        """Number of coarse cells."""
        return self.grid[0] * self.grid[1]

    def tokens(self) -> tuple[Tensor, Tensor | None]:
        """Coarse features (N, L, C_c) and mask (N, L) as sequences."""
        flat_mask = None if self.mask is None else self.mask.flatten(1)
        return self.coarse.flatten(2).transpose(1, 2).contiguous(), flat_mask


@dataclass(frozen=True)
class NetworkMatches:
    """Matches of a batch of pairs, px of the network's input images.

    Attributes:
        coarse: The matched cells and their confidence.
        points0: (M, 2) float32.
        points1: (M, 2) float32.
        sigma: (M,) float32, standard deviation of points1 along each axis.
        found: (M,) bool, false in rows that only fill up a fixed number of matches.
        support: Sum of the confidences of all matches, also of those left out as too many.
        count: Number of all matches, int64; as many as the rows asked for may be too few.
    """

    coarse: CoarseMatches
    points0: Tensor
    points1: Tensor
    sigma: Tensor
    found: Tensor
    support: Tensor
    count: Tensor


class LoFTR(nn.Module):
    """LoFTR (Sun et al., CVPR 2021); state dicts of the official checkpoints load unchanged."""

    fixed_size: tuple[int, int] | None = None
    """Height and width of the only images it takes, px; None for any."""

    def __init__(self, config: LoFTRConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = ResNetFPN(config)
        self.loftr_coarse = LocalFeatureTransformer(
            config.coarse_dim, config.coarse_heads, config.coarse_layers
        )
        self.fine_preprocess = FineMatching(config)
        self.loftr_fine = LocalFeatureTransformer(
            config.fine_dim, config.fine_heads, config.fine_layers
        )
        self._encodings: dict[tuple[object, ...], Tensor] = {}
        self._knots: Tensor
        self.register_buffer('_knots', torch.tensor(config.confidence_knots), persistent=False)

    def encode(
        self, images: Tensor, mask: Tensor | None = None, origin: tuple[int, int] = (0, 0)
    ) -> FeatureMaps:
        """Features of grey images.

        Args:
            images: (N, 1, H, W) in [0, 1]; for the ``unshuffle`` stem H and W are multiples of 4.
            mask: (N, H_c, W_c) bool, the valid coarse cells; None when all are.
            origin: Row and column of the first cell for the positional encoding; training on small
                images shifts it, so that the positions of larger ones are known.
        """
        coarse, fine = self.backbone(images)
        return FeatureMaps(coarse + self._encoding(coarse, origin), fine, mask)

    def _encoding(self, like: Tensor, origin: tuple[int, int]) -> Tensor:
        channels, height, width = like.shape[-3:]
        rows, columns = height + origin[0], width + origin[1]
        key = (rows, columns, like.dtype, like.device)
        if key not in self._encodings:
            encoding = position_encoding(channels, rows, columns, self.config.position_encoding_fix)
            self._encodings = {key: encoding.to(like)}
        return self._encodings[key][:, origin[0] :, origin[1] :]

    def local_features(self, maps: FeatureMaps) -> Tensor:
        """Coarse features (L, C_c) of the valid cells of one image, without their positions."""
        features = (maps.coarse - self._encoding(maps.coarse, (0, 0))).flatten(2)[0].T
        return features if maps.mask is None else features[maps.mask.flatten()]

    def transform(self, maps0: FeatureMaps, maps1: FeatureMaps) -> tuple[Tensor, Tensor]:
        """Coarse features (N, L, C), (N, S, C) conditioned on both images."""
        tokens0, mask0 = maps0.tokens()
        tokens1, mask1 = maps1.tokens()
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

    def match(
        self,
        maps0: FeatureMaps,
        maps1: FeatureMaps,
        threshold: float | None = None,
        max_matches: int | None = None,
        capacity: int | None = None,
    ) -> NetworkMatches:
        """Matches between two encoded batches; only the most confident are refined.

        Args:
            maps0: Of images 0.
            maps1: Of images 1.
            threshold: Smallest dual softmax of a match; None for the configuration's.
            max_matches: Greatest number of matches; None for all.
            capacity: Return a fixed number of rows, some of them no matches, without waiting for
                the device; see :func:`mutual_matches`.
        """
        threshold = self.config.confidence_threshold if threshold is None else threshold
        coarse0, coarse1 = self.transform(maps0, maps1)
        border, device = self.config.border_cells, coarse0.device
        masks = maps0.tokens()[1], maps1.tokens()[1]
        inner0 = inner_cells(maps0.grid, border, masks[0], device)
        inner1 = inner_cells(maps1.grid, border, masks[1], device)
        coarse = mutual_matches(
            coarse0, coarse1, self.config.temperature, threshold, (inner0, inner1), masks, capacity
        )
        found = coarse.confidence > 0
        support = (calibrate(coarse, self._knots).confidence * found).sum()
        count = found.sum()
        coarse = strongest(coarse, max_matches)
        fine = refine_in_blocks(
            lambda part: self.refine(coarse0, coarse1, maps0, maps1, part), coarse
        )
        points = in_pixels(self.config, coarse, fine, maps0.grid[1], maps1.grid[1])
        stated = calibrate(coarse, self._knots)
        return NetworkMatches(stated, *points, coarse.confidence > 0, support, count)

    def forward(self, images0: Tensor, images1: Tensor) -> NetworkMatches:
        """Matches of two batches of images (N, 1, H, W)."""
        if images0.shape == images1.shape:
            maps = self.encode(torch.cat([images0, images1]))
            half = len(images0)
            maps0 = FeatureMaps(maps.coarse[:half], maps.fine[:half])
            maps1 = FeatureMaps(maps.coarse[half:], maps.fine[half:])
        else:
            maps0, maps1 = self.encode(images0), self.encode(images1)
        return self.match(maps0, maps1)
