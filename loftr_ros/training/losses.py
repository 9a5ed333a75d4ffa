"""The paper's losses: focal over coarse cells, weighted L2 on offsets (section 3.5)."""

from __future__ import annotations

import torch
from torch import Tensor

from loftr_ros.matching.fine_matching import FineOffsets
from loftr_ros.training.pairs import Labels

ALPHA = 0.25
GAMMA = 2.0


def coarse_loss(scores: Tensor, labels: Labels, power: float = 0.0) -> Tensor:
    """Focal cross-entropy of the dual softmax, per true match.

    Args:
        scores: (B, L, S) similarity before the softmax.
        labels: The true matches; a batch without any costs only its false confidence. Two cells of
            which nothing is known cost nothing.
        power: q of the generalized cross-entropy of true cells (Z. Zhang and M. Sabuncu, NeurIPS
            2018), in which labels that cannot be found weigh little; 0: the paper's focal loss.
    """
    log_confidence = scores.log_softmax(dim=1) + scores.log_softmax(dim=2)
    confidence = log_confidence.exp()
    count = max(len(labels.batch), 1)
    true = log_confidence[labels.batch, labels.cells0, labels.cells1]
    if power:
        positive = ALPHA * (1 - (power * true).exp()) / power
    else:
        positive = -ALPHA * (1 - true.exp()) ** GAMMA * true
    negative = -ALPHA * confidence**GAMMA * torch.log1p(-confidence.clamp(max=1 - 1e-6))
    if labels.known0 is not None and labels.known1 is not None:
        # A cell that is known to match something else, or nothing, says something about all others.
        negative = negative * (labels.known0[:, :, None] | labels.known1[:, None, :])
    true_negative = negative[labels.batch, labels.cells0, labels.cells1]
    return (positive.sum() + negative.sum() - true_negative.sum()) / count


def fine_loss(predicted: FineOffsets, target: Tensor) -> Tensor:
    """Squared error of the offset weighted by the inverse deviation (equation 6).

    Args:
        predicted: Offsets in units of the window's half side.
        target: (M, 2) true offsets in the same unit; those outside of the window are left out.
    """
    inside = target.abs().amax(dim=1) < 1
    if not inside.any():
        return predicted.offset.sum() * 0
    inverse = 1 / predicted.deviation[inside].clamp(min=1e-3)
    weight = (inverse / inverse.mean()).detach()
    error = (predicted.offset[inside] - target[inside]).square().sum(dim=1)
    return (weight * error).mean()
