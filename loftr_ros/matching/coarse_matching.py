"""Matching of coarse cells: dual softmax, threshold, mutual nearest neighbours (section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


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


def strongest(matches: CoarseMatches, count: int | None) -> CoarseMatches:
    """The most confident matches of the whole batch, in their order; None keeps all."""
    if count is None or len(matches.batch) <= count:
        return matches
    chosen = matches.confidence.topk(count).indices.sort().values
    return CoarseMatches(
        matches.batch[chosen],
        matches.cells0[chosen],
        matches.cells1[chosen],
        matches.confidence[chosen],
    )


def calibrate(matches: CoarseMatches, knots: tuple[float, ...]) -> CoarseMatches:
    """Confidence as the share of right matches, by linear interpolation between the knots.

    Args:
        matches: With the dual softmax as their confidence.
        knots: Shares at evenly spaced values of the dual softmax from 0 to 1; none changes nothing.
    """
    if not knots:
        return matches
    confidence = matches.confidence.float()
    shares = torch.tensor(knots, device=confidence.device)
    position = confidence.clamp(0, 1) * (len(knots) - 1)
    lower = position.floor().clamp(max=len(knots) - 2)
    index = lower.long()
    share = torch.lerp(shares[index], shares[index + 1], position - lower)
    return replace(matches, confidence=share)


def similarity(features0: Tensor, features1: Tensor, temperature: float) -> Tensor:
    """Scaled correlation S of (N, L, C) and (N, S, C) features: (N, L, S), in float32."""
    channels = features0.shape[-1]
    # Half precision overflows in the product and is too coarse for its exponential.
    with torch.autocast(features0.device.type, enabled=False):
        product = torch.einsum('nlc,nsc->nls', features0.float(), features1.float())
    return product / (channels * temperature)


def mask_similarity(scores: Tensor, mask0: Tensor | None, mask1: Tensor | None) -> Tensor:
    """Put cells outside of the (N, L) and (N, S) masks out of every softmax."""
    if mask0 is not None:
        scores = scores.masked_fill(~mask0[:, :, None], -1e9)
    if mask1 is not None:
        scores = scores.masked_fill(~mask1[:, None, :], -1e9)
    return scores


def dual_softmax(scores: Tensor) -> Tensor:
    """P(i, j) = softmax(S(i, .))_j softmax(S(., j))_i (equation 2): (N, L, S)."""
    return scores.softmax(dim=1) * scores.softmax(dim=2)


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
        bottom, right = grid
        keep = (rows >= border) & (rows < bottom - border)
        return (keep & (columns >= border) & (columns < right - border)).flatten(1)
    valid = mask.view(-1, *grid)
    bottoms = valid.sum(dim=1).amax(dim=-1)[:, None, None]
    rights = valid.sum(dim=2).amax(dim=-1)[:, None, None]
    keep = (rows >= border) & (rows < bottoms - border)
    keep = keep & (columns >= border) & (columns < rights - border)
    return (keep & valid).flatten(1)


def mutual_matches(
    confidence: Tensor, threshold: float, inner0: Tensor, inner1: Tensor
) -> CoarseMatches:
    """Mutual nearest neighbours above the threshold, off the border (equation 3).

    Args:
        confidence: (N, L, S).
        threshold: theta_c; a confidence of zero never matches.
        inner0: (1 or N, L) bool.
        inner1: (1 or N, S) bool.
    """
    row_best, row_arg = confidence.max(dim=2)
    column_best = confidence.amax(dim=1)
    keep = (row_best > max(threshold, 0.0)) & (column_best.gather(1, row_arg) == row_best)
    keep = keep & inner0 & inner1.expand(len(confidence), -1).gather(1, row_arg)
    batch, cells0 = torch.nonzero(keep, as_tuple=True)
    return CoarseMatches(batch, cells0, row_arg[batch, cells0], row_best[batch, cells0])
