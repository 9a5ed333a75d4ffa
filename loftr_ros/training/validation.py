"""Held-out pairs: how good a network's matches are, and what it may claim about them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from scipy.optimize import minimize_scalar, nnls
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from loftr_ros.matching.network import LoFTR, NetworkMatches
    from loftr_ros.rendering.planes import PinholeCameras
    from loftr_ros.training.pairs import PairSource, PairTruth, TrainingPairs

CORRECT_PX = 8.0
"""Residuals up to half a coarse cell are errors of the refinement; beyond, the cell is wrong."""
CLOSE_PX = 3.0
"""What confidence is the share of: matches this close to the truth."""
FEWEST_FOR_EXPONENT = 1000
KNOTS = 11
BATCH = 8


@dataclass(frozen=True, eq=False)
class PosedMatches:
    """The matches of one pair of cameras with known poses.

    Attributes:
        points0: float32 (M, 2), px.
        points1: float32 (M, 2), px.
        matrix0: float64 (3, 3), intrinsics in px.
        matrix1: float64 (3, 3).
        camera0_T_camera1: float64 (4, 4).
    """

    points0: NDArray[np.float32]
    points1: NDArray[np.float32]
    matrix0: NDArray[np.float64]
    matrix1: NDArray[np.float64]
    camera0_T_camera1: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MatchSamples:
    """Matches whose true place is known.

    Attributes:
        confidence: float32 (N,), as stated.
        residuals: float32 (N, 2), px; infinite where the true place is not visible.
        sigma: float32 (N,), px, as stated.
        aligned: bool (N,), whether the points are aligned on the images.
    """

    confidence: NDArray[np.float32]
    residuals: NDArray[np.float32]
    sigma: NDArray[np.float32]
    aligned: NDArray[np.bool_]

    @property
    def errors(self) -> NDArray[np.float32]:
        """Distances from the truth (N,), px."""
        return np.asarray(np.hypot(*self.residuals.T), np.float32)

    def select(self, chosen: NDArray[np.bool_]) -> MatchSamples:
        """Some of the matches."""
        return MatchSamples(
            self.confidence[chosen],
            self.residuals[chosen],
            self.sigma[chosen],
            self.aligned[chosen],
        )


@dataclass(frozen=True, eq=False)
class HeldOutMatches:
    """What a network finds on held-out pairs.

    Attributes:
        samples: All matches with a known truth.
        labels: Number of true coarse matches.
        posed: The matches of each pair.
    """

    samples: MatchSamples
    labels: int
    posed: tuple[PosedMatches, ...]

    def figures(self) -> dict[str, float]:
        """Precision, recall and pixel error."""
        errors = self.samples.errors
        right = int((errors < 4).sum())
        correct = errors[errors < CORRECT_PX]
        return {
            'precision_4px': right / max(len(errors), 1),
            'recall': right / max(self.labels, 1),
            'median_px': float(np.median(correct)) if len(correct) else math.nan,
        }


class PoseMeasure(Protocol):
    """Figures of the relative poses that matches lead to."""

    def __call__(self, posed: Sequence[PosedMatches], /) -> Mapping[str, float]:
        """Estimate a pose for each pair and compare it with the truth."""


def match_held_out(
    network: LoFTR, source: PairSource, count: int, threshold: float | None = None
) -> HeldOutMatches:
    """Match pairs of a source.

    Args:
        network: In any mode; it is put into evaluation mode.
        source: The same pairs whenever it starts from the same seed.
        count: Number of pairs.
        threshold: Smallest dual softmax; None for that of the network.
    """
    network.eval()
    found: list[MatchSamples] = []
    posed: list[PosedMatches] = []
    labels = 0
    for start in range(0, count, BATCH):
        pairs = source.draw(min(BATCH, count - start))
        matches = _match(network, pairs, threshold)
        found.append(_samples(matches, pairs.truth))
        posed.extend(_posed(matches, pairs))
        labels += len(pairs.labels.batch)
    return HeldOutMatches(_joined(found), labels, tuple(posed))


def match_residuals(matches: NetworkMatches, truth: PairTruth) -> Tensor:
    """Found points minus their true places (M, 2), px.

    Infinite where the true place is not visible, NaN where it is not known.
    """
    places, seen = truth.select(matches.coarse.batch).transfer(matches.points0[:, None])
    residuals = matches.points1 - places[:, 0]
    return torch.where(seen | residuals.isnan(), residuals, math.inf)


def fit_sigma(samples: MatchSamples) -> tuple[float, float]:
    """Scale and exponent that make the heat map's deviation the deviation of the error.

    Of all ``scale * deviation ** exponent`` it is the one under which the residuals of right
    matches are most likely, as normal noise. For each exponent the best scale is known.

    Args:
        samples: With the heat map's deviation, px, as sigma.

    Returns:
        The scale and the exponent; the exponent is 1 where few matches determine it.
    """
    correct = samples.select(samples.errors < CORRECT_PX)
    if not len(correct.sigma):
        return 1.0, 1.0
    squares = np.mean(np.square(correct.residuals, dtype=np.float64), axis=1)
    logarithm = np.log(correct.sigma.astype(np.float64))

    def log_scale(exponent: float) -> float:
        return 0.5 * float(np.log(np.mean(squares * np.exp(-2 * exponent * logarithm))))

    def surprise(exponent: float) -> float:
        return log_scale(exponent) + exponent * float(logarithm.mean())

    exponent = 1.0
    if len(correct.sigma) >= FEWEST_FOR_EXPONENT:
        best = minimize_scalar(surprise, bounds=(0.0, 4.0), method='bounded')
        exponent = round(float(best.x), 3)
    return round(math.exp(log_scale(exponent)), 4), exponent


def fit_confidence(samples: MatchSamples) -> tuple[float, ...]:
    """Knots of the rising, piecewise linear map from dual softmax to share of close matches.

    Of all such maps through zero it has the least squared error (Brier score): the steps from knot
    to knot are a least-squares problem with steps that are not negative.

    Args:
        samples: With the dual softmax as confidence, from very small values on.

    Returns:
        ``KNOTS`` values; none where there are too few matches to know.
    """
    if len(samples.confidence) < 100 * KNOTS:
        return ()
    right = (samples.errors < CLOSE_PX).astype(np.float64)
    position = samples.confidence.astype(np.float64)[:, None] * (KNOTS - 1)
    ramps = np.clip(position - np.arange(KNOTS - 1), 0, 1)
    steps, _ = nnls(ramps, right)
    knots = np.minimum(np.concatenate([[0.0], np.cumsum(steps)]), 1.0)
    return tuple(round(float(knot), 4) for knot in knots)


def _match(network: LoFTR, pairs: TrainingPairs, threshold: float | None) -> NetworkMatches:
    with torch.no_grad():
        maps = network.encode(torch.cat([pairs.images0, pairs.images1]))
        return network.match(*maps.halves(), threshold)


def _samples(matches: NetworkMatches, truth: PairTruth) -> MatchSamples:
    residuals = match_residuals(matches, truth)
    known = ~residuals.isnan().any(dim=1)
    columns = matches.coarse.confidence[known], residuals[known], matches.sigma[known]
    confidence, offsets, sigma = (column.float().cpu().numpy() for column in columns)
    return MatchSamples(confidence, offsets, sigma, matches.aligned[known].cpu().numpy())


def _joined(parts: Sequence[MatchSamples]) -> MatchSamples:
    names = 'confidence', 'residuals', 'sigma', 'aligned'
    return MatchSamples(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def _posed(matches: NetworkMatches, pairs: TrainingPairs) -> list[PosedMatches]:
    batch = matches.coarse.batch.cpu().numpy()
    points0, points1 = matches.points0.cpu().numpy(), matches.points1.cpu().numpy()
    cameras = _as_numpy(pairs.truth.camera0), _as_numpy(pairs.truth.camera1)
    result = []
    for index, ((matrix0, pose0), (matrix1, pose1)) in enumerate(zip(*cameras, strict=True)):
        own = batch == index
        motion = np.linalg.inv(pose0) @ pose1
        result.append(PosedMatches(points0[own], points1[own], matrix0, matrix1, motion))
    return result


def _as_numpy(
    cameras: PinholeCameras,
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Intrinsics and pose of each camera."""
    matrices, poses = cameras.matrix.cpu().double(), cameras.world_T_camera.cpu().double()
    return list(zip(matrices.numpy(), poses.numpy(), strict=True))
