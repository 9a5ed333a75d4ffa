"""Matching of coarse cells: dual softmax, threshold, mutual nearest neighbours (section 3.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from loftr_ros.matching.blocks import BLOCK_SCORES, KEPT_SCORES
from loftr_ros.matching.precision import exact_products
from loftr_ros.matching.transformer import pointwise

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class CoarseMatches:
    """Matched coarse cells of a batch of image pairs.

    Attributes:
        batch: (M,) int64, the pair of each match.
        cells0: (M,) int64, row-major cell of image 0.
        cells1: (M,) int64, row-major cell of image 1.
        confidence: (M,) float, product of the two softmax values, or what is calibrated from it.
    """

    batch: Tensor
    cells0: Tensor
    cells1: Tensor
    confidence: Tensor

    def split(self, count: int) -> list[CoarseMatches]:
        """Blocks of at most that many matches, in their order."""
        columns = (self.batch, self.cells0, self.cells1, self.confidence)
        blocks = zip(*(column.split(count) for column in columns), strict=True)
        return [CoarseMatches(*block) for block in blocks]

    def filled_up(self, multiple: int) -> CoarseMatches:
        """The matches, and the first one repeated until their number is a multiple."""
        missing = -len(self.batch) % multiple
        if not missing or not len(self.batch):
            return self
        columns = (self.batch, self.cells0, self.cells1, self.confidence)
        return CoarseMatches(*(torch.cat([one, one[:1].expand(missing)]) for one in columns))


def strongest(
    matches: CoarseMatches, count: int | None, preferred: Tensor | None = None
) -> CoarseMatches:
    """The most confident matches of the whole batch, in their order.

    Args:
        matches: Those of confidence 0 are none.
        count: How many are kept; None keeps all.
        preferred: (N, L) bool, cells of image 0 whose matches go before others; None for none.
    """
    if count is None or len(matches.batch) <= count:
        return matches
    order = matches.confidence
    if preferred is not None:
        order = order + (preferred[matches.batch, matches.cells0] & (order > 0))
    chosen = order.topk(count).indices.sort().values
    return CoarseMatches(
        matches.batch[chosen],
        matches.cells0[chosen],
        matches.cells1[chosen],
        matches.confidence[chosen],
    )


def calibrate(matches: CoarseMatches, knots: tuple[float, ...] | Tensor) -> CoarseMatches:
    """Confidence as the share of right matches, by linear interpolation between the knots.

    Args:
        matches: With the dual softmax as their confidence.
        knots: Shares at evenly spaced values of the dual softmax from 0 to 1; none changes nothing.
            A tensor on the device of the matches saves the wait for its upload.
    """
    if not len(knots):
        return matches
    confidence = matches.confidence.float()
    shares = torch.as_tensor(knots, dtype=confidence.dtype, device=confidence.device)
    position = confidence.clamp(0, 1) * (len(knots) - 1)
    lower = position.floor().clamp(max=len(knots) - 2)
    index = lower.long()
    share = torch.lerp(shares[index], shares[index + 1], position - lower)
    return replace(matches, confidence=share)


def similarity(features0: Tensor, features1: Tensor, temperature: float) -> Tensor:
    """Scaled correlation S of (N, L, C) and (N, S, C) features: (N, L, S), in float32."""
    channels = features0.shape[-1]
    # Half precision overflows in the product and is too coarse for its exponential.
    with exact_products(features0.device):
        product = torch.einsum('nlc,nsc->nls', features0.float(), features1.float())
    return product / (channels * temperature)


class _ScoreBlocks:
    """Similarity of one pair in blocks of rows, -inf where a cell is masked; iterated over twice.

    The scores are kept where they fit, otherwise computed anew each time.
    """

    def __init__(
        self, features0: Tensor, features1: Tensor, mask0: Tensor | None, mask1: Tensor | None
    ) -> None:
        """Take features (L, C), (S, C), float32, the scale included, and masks (L,), (S,)."""
        self._features = features0, features1
        self._masked0 = None if mask0 is None else ~mask0[:, None]
        self._masked1 = None if mask1 is None else ~mask1
        self._rows = max(1, BLOCK_SCORES // len(features1))
        fits = len(features0) * len(features1) <= KEPT_SCORES
        self._kept = list(self._compute()) if fits else None

    def __iter__(self) -> Iterator[Tensor]:
        return self._compute() if self._kept is None else iter(self._kept)

    def _compute(self) -> Iterator[Tensor]:
        features0, features1 = self._features
        for start in range(0, len(features0), self._rows):
            part = slice(start, start + self._rows)
            scores = pointwise(features0[part], features1)
            if self._masked0 is not None:
                scores.masked_fill_(self._masked0[part], -math.inf)
            if self._masked1 is not None:
                scores.masked_fill_(self._masked1, -math.inf)
            yield scores


def mutual_matches(
    features0: Tensor,
    features1: Tensor,
    temperature: float,
    threshold: float,
    inner: tuple[Tensor, Tensor],
    masks: tuple[Tensor | None, Tensor | None] = (None, None),
    capacity: int | None = None,
    score_offset: float | None = None,
) -> CoarseMatches:
    """Mutual nearest neighbours above the threshold, off the border (equations 1 to 3).

    The confidence matrix never stands whole: per pair and block of rows, the logarithm of the dual
    softmax is 2 S(i, j) - logsumexp S(i, .) - logsumexp S(., j).

    Args:
        features0: (N, L, C) transformed coarse features.
        features1: (N, S, C).
        temperature: tau of equation 1.
        threshold: theta_c; a confidence of zero never matches.
        inner: (1 or N, L) and (1 or N, S) bool, the cells that may match.
        masks: (N, L) and (N, S) bool, the cells that take part in the softmax; None for all.
        capacity: Return that many, the most confident, without asking the device how many there
            are: rows of confidence 0 are no matches. None returns just the matches.
        score_offset: Leave the dual softmax out (section 3.3 of the EfficientLoFTR paper): the
            confidence is the softmax of S against one rival of that score. None keeps it.
    """
    # Half precision overflows in the product and is too coarse for its exponential.
    with exact_products(features0.device):
        scale = 1 / (features0.shape[-1] * temperature)
        pairs = [
            _match_pair(
                features0[index].float() * scale,
                features1[index].float(),
                threshold,
                tuple(None if mask is None else mask[index] for mask in masks),
                score_offset,
            )
            for index in range(len(features0))
        ]
    best, partner = (torch.stack(tensors) for tensors in zip(*pairs, strict=True))
    keep = best > 0
    keep &= inner[0] & inner[1].expand(len(best), -1).gather(1, partner)
    if capacity is not None:
        return _fixed_number(best.masked_fill(~keep, 0), partner, capacity)
    batch, cells0 = torch.nonzero(keep, as_tuple=True)
    return CoarseMatches(batch, cells0, partner[batch, cells0], best[batch, cells0])


def _fixed_number(confidence: Tensor, partner: Tensor, count: int) -> CoarseMatches:
    """The most confident of (N, L) cells of image 0, with their partners, in the cells' order."""
    flat, columns = confidence.flatten(), confidence.shape[1]
    chosen = flat.topk(min(count, len(flat))).indices.sort().values
    batch = torch.div(chosen, columns, rounding_mode='floor')
    return CoarseMatches(batch, chosen % columns, partner.flatten()[chosen], flat[chosen])


def _match_pair(
    features0: Tensor,
    features1: Tensor,
    threshold: float,
    masks: tuple[Tensor | None, ...],
    score_offset: float | None,
) -> tuple[Tensor, Tensor]:
    """Confidence (L,) of each cell's mutual nearest neighbour, 0 without one, and that cell."""
    blocks = _ScoreBlocks(features0, features1, *masks)
    logarithms = iter(blocks) if score_offset is not None else _dual_softmax(blocks, features1)
    column_best = features1.new_full((len(features1),), -math.inf)
    best, partner = [], []
    for scores in logarithms:
        maximum, argument = scores.max(dim=1)
        best.append(maximum)
        partner.append(argument)
        column_best = torch.maximum(column_best, scores.amax(dim=0))
    row_best, partners = torch.cat(best), torch.cat(partner)
    confidence = row_best.exp() if score_offset is None else (row_best - score_offset).sigmoid()
    keep = (column_best[partners] == row_best) & (confidence > max(threshold, 0.0))
    return torch.where(keep, confidence, torch.zeros_like(confidence)), partners


def _dual_softmax(blocks: _ScoreBlocks, features1: Tensor) -> Iterator[Tensor]:
    """Blocks of the logarithm of the dual softmax, in the place of the scores."""
    column_sum = features1.new_full((len(features1),), -math.inf)
    row_sums = []
    for scores in blocks:
        row_sums.append(_finite(scores.logsumexp(dim=1, keepdim=True)))
        column_sum = torch.logaddexp(column_sum, scores.logsumexp(dim=0))
    column_sum = _finite(column_sum)
    for scores, row_sum in zip(blocks, row_sums, strict=True):
        yield scores.mul_(2).sub_(row_sum).sub_(column_sum)


def _finite(log_sum: Tensor) -> Tensor:
    """Zero instead of the logarithm of an empty sum, so that -inf minus it stays -inf."""
    return log_sum.masked_fill(log_sum == -math.inf, 0)


def inner_cells(
    grid: tuple[int, int], border: int, mask: Tensor | None, device: torch.device
) -> Tensor:
    """Cells that may match: (1 or N, rows * columns) bool.

    Args:
        grid: Rows and columns.
        border: Cells left out along each side of the valid region.
        mask: (N, rows * columns) bool, the valid region; its bounding box counts as the image.
        device: Where the result lives.
    """
    rows = torch.arange(grid[0], device=device)[None, :, None]
    columns = torch.arange(grid[1], device=device)[None, None, :]
    if mask is None:
        keep = (rows >= border) & (rows < grid[0] - border)
        return (keep & (columns >= border) & (columns < grid[1] - border)).flatten(1)
    valid = mask.view(-1, *grid)
    keep = _inside(rows, valid.any(dim=2)[:, :, None], border)
    keep = keep & _inside(columns, valid.any(dim=1)[:, None, :], border)
    return (keep & valid).flatten(1)


def _inside(positions: Tensor, occupied: Tensor, border: int) -> Tensor:
    """Whether positions lie between the first and the last that is occupied, less the border."""
    beyond = positions.numel()
    last = torch.where(occupied, positions, -beyond).amax(dim=(1, 2), keepdim=True)
    first = torch.where(occupied, positions, beyond).amin(dim=(1, 2), keepdim=True)
    return (positions >= first + border) & (positions <= last - border)
