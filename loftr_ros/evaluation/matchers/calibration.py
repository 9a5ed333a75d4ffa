"""Whether stated confidence and sigma hold, on matches whose true place is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLOSE_PX = 3.0
# Half a coarse cell: further away, the cell is wrong, which confidence shows and sigma cannot.
CORRECT_PX = 8.0
BINS = 10
FIFTHS = 5


@dataclass(frozen=True)
class ReliabilityBin:
    """Matches of similar confidence.

    Attributes:
        low: Least confidence of the bin.
        high: Greatest confidence of the bin.
        count: Number of matches.
        confidence: Their mean confidence; NaN without matches.
        accuracy: Share of them that is close to the truth; NaN without matches.

    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """What confidence and sigma are worth on one set of matches with known truth.

    Attributes:
        name: Of the set.
        bins: From low to high confidence.
        sigma_ratio: Root mean square of the residuals in units of sigma, per axis, over matches
            within half a coarse cell; 1 where sigma is honest, NaN without such matches.
        sigma_ratios: The same of each fifth of those matches, from small to great sigma: whether
            sigma separates good matches from bad ones.

    """

    name: str
    bins: tuple[ReliabilityBin, ...]
    sigma_ratio: float
    sigma_ratios: tuple[float, ...]

    @property
    def count(self) -> int:
        """Number of matches."""
        return sum(one.count for one in self.bins)

    @property
    def error(self) -> float:
        """Expected calibration error (Naeini et al., AAAI 2015); NaN without matches."""
        gaps = [one.count * abs(one.confidence - one.accuracy) for one in self.bins if one.count]
        return sum(gaps) / self.count if self.count else float('nan')

    @property
    def accuracy(self) -> float:
        """Share of all matches that is close to the truth; NaN without matches."""
        close = sum(one.count * one.accuracy for one in self.bins if one.count)
        return close / self.count if self.count else float('nan')


def measure_calibration(
    name: str, confidence: NDArray[Any], residuals: NDArray[Any], sigma: NDArray[Any]
) -> Calibration:
    """Compare what matches state with what is true.

    Args:
        name: Of the set.
        confidence: (N,), 0 to 1.
        residuals: (N, 2) from the true place, px; infinite where that is not visible.
        sigma: (N,) stated standard deviation per axis, px.

    Raises:
        ValueError: If a residual is NaN: matches without a truth say nothing.

    """
    if np.isnan(residuals).any():
        raise ValueError(f'{name}: matches without a truth cannot be counted')
    errors = np.hypot(*np.asarray(residuals, np.float64).T)
    numbers = np.minimum((np.asarray(confidence, np.float64) * BINS).astype(np.intp), BINS - 1)
    bins = tuple(_bin(number, numbers == number, confidence, errors) for number in range(BINS))
    correct = errors < CORRECT_PX
    sigma = np.asarray(sigma, np.float64)[correct]
    normalised = np.asarray(residuals, np.float64)[correct] / sigma[:, None]
    fifths = np.array_split(normalised[np.argsort(sigma, kind='stable')], FIFTHS)
    ratios = tuple(_root_mean_square(fifth) for fifth in fifths)
    return Calibration(name, bins, _root_mean_square(normalised), ratios)


def _root_mean_square(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else float('nan')


def _bin(
    number: int, inside: NDArray[np.bool_], confidence: NDArray[Any], errors: NDArray[np.float64]
) -> ReliabilityBin:
    low, high, count = number / BINS, (number + 1) / BINS, int(inside.sum())
    if not count:
        return ReliabilityBin(low, high, 0, float('nan'), float('nan'))
    close = float(np.mean(errors[inside] < CLOSE_PX))
    return ReliabilityBin(low, high, count, float(np.mean(confidence[inside])), close)
