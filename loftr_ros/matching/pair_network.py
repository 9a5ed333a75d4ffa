"""What the networks of both families share: encoded images in, matches out, plain tensors."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from loftr_ros.matching.alignment import Aligned, Corners, align, find_corners
from loftr_ros.matching.blocks import refined_together
from loftr_ros.matching.coarse_matching import (
    CoarseMatches,
    calibrate,
    inner_cells,
    mutual_matches,
    strongest,
)
from loftr_ros.matching.config import MatchingConfig
from loftr_ros.matching.fine_matching import (
    FineOffsets,
    in_pixels,
    refine_in_blocks,
)
from loftr_ros.matching.precision import exact_products
from loftr_ros.matching.reference_points import cells_of, take_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Config = TypeVar('Config', bound=MatchingConfig)


@dataclass(frozen=True)
class FeatureMaps:
    """What the backbone knows of a batch of images; reusable against any other image.

    Attributes:
        coarse: (N, C_c, H_c, W_c), with LoFTR's positional encoding added.
        fine: (N, C_f, H_f, W_f).
        mask: (N, H_c, W_c) bool, false on padding, or None when every cell is valid.
        image: (N, 1, H, W) float32, what they are of; None where nothing is aligned on it.
        corners: Its best localised points, likewise.
        middle: (N, C_m, H_m, W_m), of a network with a map between both; None without.
        tracked: (N, L, P) bool, reference points of each coarse cell that are to be matched before
            others where not all are; None for none.
    """

    coarse: Tensor
    fine: Tensor
    mask: Tensor | None = None
    image: Tensor | None = None
    corners: Corners | None = None
    middle: Tensor | None = None
    tracked: Tensor | None = None

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the coarse grid."""
        return self.coarse.shape[-2], self.coarse.shape[-1]

    @property
    def cells(self) -> int:
        """Number of coarse cells."""
        return self.grid[0] * self.grid[1]

    def halves(self) -> tuple[FeatureMaps, FeatureMaps]:
        """Those of the first and of the second half of the images."""
        half = len(self.coarse) // 2
        return self._part(slice(half)), self._part(slice(half, None))

    def _part(self, images: slice) -> FeatureMaps:
        corners = self.corners
        return FeatureMaps(
            self.coarse[images],
            self.fine[images],
            None if self.mask is None else self.mask[images],
            None if self.image is None else self.image[images],
            None if corners is None else corners.part(images),
            None if self.middle is None else self.middle[images],
            None if self.tracked is None else self.tracked[images],
        )

    def tokens(self) -> tuple[Tensor, Tensor | None]:
        """Coarse features (N, L, C_c) and mask (N, L) as sequences."""
        flat_mask = None if self.mask is None else self.mask.flatten(1)
        return self.coarse.flatten(2).transpose(1, 2).contiguous(), flat_mask


@dataclass(frozen=True, kw_only=True)
class NetworkMatches:
    """Matches of a batch of pairs, px of the network's input images.

    Attributes:
        coarse: The matched cells and their confidence.
        points0: (M, 2) float32.
        points1: (M, 2) float32.
        sigma: (M,) float32, standard deviation of points1 along each axis.
        found: (M,) bool, false in rows that only fill up a fixed number of matches.
        cells: (M,) int64, row-major cell of points0 on the grid of reference points, which is that
            of the coarse cells, or twice as fine where points are aligned.
        aligned: (M,) bool, whether the points are aligned on the images.
        support: Sum of the confidences of all matches, also of those left out as too many.
        count: Number of all matches, int64; as many as the rows asked for may be too few.
    """

    coarse: CoarseMatches
    points0: Tensor
    points1: Tensor
    sigma: Tensor
    found: Tensor
    cells: Tensor
    aligned: Tensor
    support: Tensor
    count: Tensor

    def select(self, chosen: Tensor) -> NetworkMatches:
        """Some of the rows, by their indices (K,)."""
        return self._mapped(lambda column: column[chosen])

    def repeat(self, times: int) -> NetworkMatches:
        """Each row several times, one after the other."""
        return self._mapped(lambda column: column.repeat_interleave(times, dim=0))

    def _mapped(self, function: Callable[[Tensor], Tensor]) -> NetworkMatches:
        coarse = self.coarse
        columns = (coarse.batch, coarse.cells0, coarse.cells1, coarse.confidence)
        names = 'points0', 'points1', 'sigma', 'found', 'cells', 'aligned'
        return replace(
            self,
            coarse=CoarseMatches(*map(function, columns)),
            **{name: function(getattr(self, name)) for name in names},
        )


class PairNetwork(nn.Module, Generic[Config]):
    """A network that encodes each image by itself, then matches pairs: coarse cells, then finer."""

    fixed_size: tuple[int, int] | None = None
    """Height and width of the only images it takes, px; None for any."""

    exact_coarse = False
    """Whether coarse features are float32 in whatever precision the rest is computed."""

    backbone: nn.Module
    loftr_coarse: nn.Module

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self._knots: Tensor
        self.register_buffer('_knots', torch.tensor(config.confidence_knots), persistent=False)

    def encode(
        self,
        images: Tensor,
        mask: Tensor | None = None,
        origin: tuple[int, int] = (0, 0),
        allowed: Tensor | None = None,
    ) -> FeatureMaps:
        """Features of grey images.

        Args:
            images: (N, 1, H, W) in [0, 1]; H and W are multiples of the configuration's.
            mask: (N, H_c, W_c) bool, the valid coarse cells; None when all are.
            origin: Row and column of the first cell for the positional encoding; training on small
                images shifts it, so that the positions of larger ones are known.
            allowed: (N, 1, H, W) bool, where points may be aligned; None for everywhere.
        """
        raise NotImplementedError

    def transform(self, maps0: FeatureMaps, maps1: FeatureMaps) -> tuple[Tensor, Tensor]:
        """Coarse features (N, L, C), (N, S, C) conditioned on both images."""
        raise NotImplementedError

    def refine(
        self,
        coarse0: Tensor,
        coarse1: Tensor,
        maps0: FeatureMaps,
        maps1: FeatureMaps,
        matches: CoarseMatches,
    ) -> FineOffsets:
        """Where the fine level finds each coarse match inside its window of image 1."""
        raise NotImplementedError

    def refiner(
        self, coarse0: Tensor, coarse1: Tensor, maps0: FeatureMaps, maps1: FeatureMaps
    ) -> Callable[[CoarseMatches], FineOffsets]:
        """Refinement of some of the matches of these images, called for one block after another."""
        return partial(self.refine, coarse0, coarse1, maps0, maps1)

    def coarse_products(self, device: torch.device) -> AbstractContextManager[object]:
        """Context of the coarse transformer: float32 where its features are."""
        return exact_products(device) if self.exact_coarse else nullcontext()

    def local_features(self, maps: FeatureMaps) -> Tensor:
        """Coarse features (L, C_c) of the valid cells of one image, without their positions."""
        features = maps.coarse.flatten(2)[0].T
        return features if maps.mask is None else features[maps.mask.flatten()]

    def fold_batch_norms(self) -> None:
        """Put batch norms (and branches) into convolutions, for inference alone."""
        raise NotImplementedError

    def with_corners(
        self, maps: FeatureMaps, images: Tensor, allowed: Tensor | None
    ) -> FeatureMaps:
        """Add the reference points, and what it takes to align them; training has no use for it."""
        if self.training:
            return maps
        each = max(self.config.corner_points, 1)
        tracked = torch.zeros(len(images), maps.cells, each, dtype=torch.bool, device=images.device)
        if not self.config.corner_points:
            return replace(maps, tracked=tracked)
        corners = find_corners(images, self.config, maps.grid, allowed)
        return replace(maps, image=images, corners=corners, tracked=tracked)

    def starting_at(
        self, maps: FeatureMaps, points: NDArray[np.float32]
    ) -> tuple[FeatureMaps, NDArray[np.float32]]:
        """Features of one image whose matches start at these points before others.

        Args:
            maps: Of one image.
            points: (N, 2), px of the network's input, those that matter most first.

        Returns:
            The features, and the reference point of each of the points (N, 2): the pixel that it
            lies on, NaN where its cell has no place for it. A network that aligns no points keeps
            its own; matches of the same cells go before others.
        """
        assert maps.tracked is not None
        corners, starts = maps.corners, np.full_like(points, np.nan)
        tracked = torch.zeros_like(maps.tracked)
        if self.config.aligned_points and corners is not None:
            corners, chosen, places = take_over(corners, points, self.config, maps.grid)
            starts[chosen] = corners.pixels.view(-1, 2)[torch.from_numpy(places)].cpu().numpy()
        else:
            cells = cells_of(points, self.config, maps.grid)
            places = cells[cells >= 0] * tracked.shape[2]
        tracked.view(-1)[torch.from_numpy(places).to(tracked.device)] = True
        return replace(maps, corners=corners, tracked=tracked), starts

    def coarse_matches(
        self,
        coarse: tuple[Tensor, Tensor],
        maps0: FeatureMaps,
        maps1: FeatureMaps,
        threshold: float,
        capacity: int | None,
    ) -> CoarseMatches:
        """Mutual nearest neighbours of transformed features (N, L, C) and (N, S, C)."""
        border, device = self.config.border_cells, coarse[0].device
        masks = maps0.tokens()[1], maps1.tokens()[1]
        inner = (
            inner_cells(maps0.grid, border, masks[0], device),
            inner_cells(maps1.grid, border, masks[1], device),
        )
        temperature, offset = self.config.temperature, self.config.score_offset
        return mutual_matches(*coarse, temperature, threshold, inner, masks, capacity, offset)

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
            threshold: Smallest confidence of a match; None for the configuration's.
            max_matches: Greatest number of matches; None for all.
            capacity: Return a fixed number of rows, some of them no matches, without waiting for
                the device; see :func:`mutual_matches`.
        """
        threshold = self.config.confidence_threshold if threshold is None else threshold
        coarse0, coarse1 = self.transform(maps0, maps1)
        coarse = self.coarse_matches((coarse0, coarse1), maps0, maps1, threshold, capacity)
        found = coarse.confidence > 0
        support = (calibrate(coarse, self._knots).confidence * found).sum()
        count = found.sum()
        tracked = maps0.tracked
        coarse = strongest(coarse, max_matches, None if tracked is None else tracked.any(dim=2))
        block = refined_together(self.config, coarse0.device.type)
        fine = refine_in_blocks(self.refiner(coarse0, coarse1, maps0, maps1), coarse, block)
        points0, points1, sigma = in_pixels(self.config, coarse, fine, maps0.grid[1], maps1.grid[1])
        stated, found = calibrate(coarse, self._knots), coarse.confidence > 0
        matches = NetworkMatches(
            coarse=stated,
            points0=points0,
            points1=points1,
            sigma=sigma,
            found=found,
            cells=coarse.cells0,
            aligned=torch.zeros_like(found),
            support=support,
            count=count,
        )
        if not self.config.aligned_points or maps0.image is None or maps1.image is None:
            return matches
        assert maps0.corners is not None
        images = maps0.image, maps1.image
        rows = coarse.batch, coarse.cells0, matches.points0, matches.points1, found
        aligned = align(images, maps0.corners, rows, self.config, maps0.grid)
        before = None if tracked is None else tracked[coarse.batch, coarse.cells0]
        matches = self._with_aligned(matches, aligned, max_matches, before)
        if capacity is not None:
            return matches
        return matches.select(*torch.nonzero(matches.found, as_tuple=True))

    def _with_aligned(
        self,
        matches: NetworkMatches,
        aligned: Aligned,
        max_matches: int | None,
        tracked: Tensor | None,
    ) -> NetworkMatches:
        """All aligned points of each match; where none could be aligned, a track's, or the best."""
        config, each = self.config, aligned.aligned.shape[1]
        sigma = config.alignment_scale * aligned.deviation**config.alignment_exponent
        sigma = torch.where(aligned.aligned, sigma, matches.sigma[:, None])
        found = aligned.aligned.clone()
        tracked = torch.zeros_like(found) if tracked is None else tracked
        one = torch.zeros_like(found).scatter(1, tracked.int().argmax(dim=1, keepdim=True), True)
        found |= one & ~aligned.aligned.any(dim=1, keepdim=True)
        found &= matches.found[:, None]
        rows = matches.repeat(each)
        rows = replace(
            rows,
            points0=aligned.points0.flatten(0, 1),
            points1=aligned.points1.flatten(0, 1),
            sigma=sigma.flatten(),
            found=found.flatten(),
            cells=aligned.cells.flatten(),
            aligned=aligned.aligned.flatten(),
        )
        if max_matches is None or len(rows.found) <= max_matches:
            return rows
        # One point of each match, the most certain, goes before the second of any; where the cell
        # carries tracks it is one of these, and the others of these come next.
        able = torch.where((tracked & found).any(dim=1, keepdim=True), tracked & found, found)
        surest = sigma.masked_fill(~able, math.inf).argmin(dim=1, keepdim=True)
        first = torch.zeros_like(found).scatter(1, surest, True) & found
        rank = torch.where(first, 2.0, tracked.float())
        order = (rows.coarse.confidence + rank.flatten()).masked_fill(~rows.found, -1)
        return rows.select(order.topk(max_matches).indices.sort().values)

    def forward(self, images0: Tensor, images1: Tensor) -> NetworkMatches:
        """Matches of two batches of images (N, 1, H, W)."""
        if images0.shape == images1.shape:
            maps0, maps1 = self.encode(torch.cat([images0, images1])).halves()
        else:
            maps0, maps1 = self.encode(images0), self.encode(images1)
        return self.match(maps0, maps1)
