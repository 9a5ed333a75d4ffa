"""How the image moves around each match, from the matches of the cells beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from loftr_ros.matching.matches import Matches

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

_REACH = 2
_WIDTH = 1.5
"""Neighbours within `_REACH` cells count, with a Gaussian weight of `_WIDTH` cells."""
_ROUNDS = 3
_FEWEST = 6
_OUTLIER = 2.5
"""Distance of outliers in units of the residual scale, a median: 3 standard deviations in 2-D."""
_SPREAD = 1.2
"""How far the neighbours of a point between them may be apart, in the same units."""
_FLOOR = 0.5
_CEILING = 1.0 / 6.0
"""Limits of the residual scale: a share of the median sigma, and of the distance of cells."""
_NEAR = 0.5
"""Share of the distance of cells by which a match that the pose explains may leave its neighbours:
such points lie before others, but a match that is farther off is of another cell."""
_STIFFNESS = 1e-3
"""Weight of unknown slopes being zero, in units of the neighbours': a lone match just shifts."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LocalFlow:
    """For each of N matches the affine motion that its neighbours agree on.

    Attributes:
        pitch: Distance of adjacent cells along x and y, px; 0 where it is unknown.
        offset: float64 (N, 2), query point minus reference point by the affine motion, px.
        slope: float64 (N, 2, 2), change of the offset by the reference point.
        spread: float64 (N,), standard deviation of the neighbours from the affine motion, px.
        misfit: float64 (N,), distance of the match itself from it, px, larger for matches that
            are less sure than most: times sigma, relative to the median sigma.
        scale: Residual scale of all matches: the median distance from their affine motions, px.
        trust: float64 (N,), weight of the match itself beside that of the affine motion, 0 to 1.
        residual: float64 (N, 2), the match's own offset minus that of the affine motion, px.
        neighbours: int64 (N,), matches that were used, with the match itself.
    """

    pitch: float
    offset: Array
    slope: Array
    spread: Array
    misfit: Array
    scale: float
    trust: Array
    residual: Array
    neighbours: Indices

    @classmethod
    def of(cls, matches: Matches) -> LocalFlow:
        """Fit affine motions by iteratively reweighted least squares with Cauchy's weights.

        Args:
            matches: N matches; those that lie on no grid have no neighbours.
        """
        reference = matches.reference_points.astype(np.float64)
        moved = matches.query_points.astype(np.float64) - reference
        near, weight = _neighbours(matches)
        pitch = _pitch(matches, reference)
        design = np.ones((*near.shape, 3))
        design[..., 1:] = (reference[near] - reference[:, None]) / max(pitch, 1.0)
        seen = moved[near]
        robust, solution, distance = weight, np.empty((len(matches), 3, 2)), weight
        sigma, residual, scale = _sigma(matches), moved, 1.0
        for _ in range(_ROUNDS):
            solution = _solve(design, seen, robust)
            distance = np.linalg.norm(design @ solution - seen, axis=2)
            residual = moved - solution[:, 0]
            scale = _scale(np.linalg.norm(residual, axis=1), sigma, pitch)
            robust = weight / (1.0 + (distance / scale) ** 2)
        square = np.sum(robust * distance**2, axis=1) / np.sum(robust, axis=1) / 2.0
        return cls(
            pitch=pitch,
            offset=solution[:, 0],
            slope=np.swapaxes(solution[:, 1:], 1, 2) / max(pitch, 1.0),
            spread=np.sqrt(square),
            misfit=np.linalg.norm(residual, axis=1) * sigma / _median(sigma),
            scale=scale,
            trust=square / (square + sigma**2),
            residual=residual,
            neighbours=np.sum(weight > 0, axis=1),
        )

    def moved(self, points: Array, shifts: Array) -> Array:
        """Return where `shifts` (N, 2) beside the reference points (N, 2) lie in the query, px.

        The motion of the point is the mean of the match and of the affine motion around it,
        weighted by their inverse variances.
        """
        slid = np.einsum('nij,nj->ni', self.slope, shifts)
        motion = self.offset + self.trust[:, None] * self.residual
        return np.asarray(points + shifts + motion + slid)

    def beside(self, query: Array, shifts: Array, carried: Flags) -> Array:
        """Return where points `shifts` (N, 2) beside the matches lie, by each match itself, px.

        Args:
            query: float64 (N, 2), where the matches lie.
            shifts: float64 (N, 2), of the reference points.
            carried: bool (N,), which of them move by the affine motion around, not by a shift.
        """
        slid = np.einsum('nij,nj->ni', self.slope, shifts)
        return np.asarray(query + shifts + carried[:, None] * slid)

    @property
    def variance(self) -> Array:
        """Variance of the moved points (N,) per axis, px^2."""
        return np.asarray(self.spread**2 * (1.0 - self.trust))

    def outliers(self) -> Flags:
        """Return which matches (N,) have enough neighbours, but contradict them."""
        return np.asarray((self.neighbours >= _FEWEST) & ~(self.misfit < _OUTLIER * self.scale))

    def trusted(self, explained: Flags | None = None) -> Flags:
        """Return which matches (N,) may be believed: by their neighbours, or else by the pose.

        Args:
            explained: bool (N,), whether the pose explains them; None without a pose.
        """
        if explained is None:
            return ~self.outliers()
        alone = self.neighbours < _FEWEST
        agree = ~alone & (self.misfit < _OUTLIER * self.scale)
        near = np.linalg.norm(self.residual, axis=1) < _NEAR * self.pitch
        return agree | (explained & (alone | near))

    def carries(self) -> Flags:
        """Return which matches (N,) agree with enough neighbours, and these with each other.

        Then other points beside the match move alike.
        """
        agree = (self.misfit < _OUTLIER * self.scale) & (self.spread < _SPREAD * self.scale)
        return np.asarray((self.neighbours >= _FEWEST) & agree)


def _scale(distance: Array, sigma: Array, pitch: float) -> float:
    """Return the median distance, px, within limits from the matches' sigma and their grid."""
    # Exact matches are not outliers for a hundredth of a pixel; where neighbours are apart by a
    # good part of a cell they agree on nothing, however bad all the others are.
    scale = max(_median(distance), _FLOOR * _median(sigma))
    return min(scale, _CEILING * pitch) if pitch else scale


def _median(values: Array) -> float:
    return float(np.median(values)) if len(values) else 1.0


def _sigma(matches: Matches) -> Array:
    """Return the standard deviations (N,), px; those that are unknown are very large."""
    known = np.nan_to_num(matches.sigma.astype(np.float64), nan=1e3, posinf=1e3)
    return np.asarray(np.clip(known, 1e-3, 1e3))


def _neighbours(matches: Matches) -> tuple[Indices, Array]:
    """Return the matches (N, K) around each match, and their weights (N, K), 0 for none."""
    rows, columns = matches.reference_grid
    table = np.full((rows + 2 * _REACH, columns + 2 * _REACH), -1, dtype=np.int64)
    gridded = np.flatnonzero(matches.reference_cells >= 0)
    row, column = np.divmod(matches.reference_cells[gridded], max(columns, 1))
    table[row + _REACH, column + _REACH] = gridded
    steps = np.arange(-_REACH, _REACH + 1)
    dy, dx = (step.ravel() for step in np.meshgrid(steps, steps, indexing='ij'))
    near = np.full((len(matches), len(dx)), -1, dtype=np.int64)
    near[:, len(dx) // 2] = np.arange(len(matches))
    near[gridded] = table[row[:, None] + _REACH + dy, column[:, None] + _REACH + dx]
    weight = np.exp(-0.5 * (dx**2 + dy**2) / _WIDTH**2) * (near >= 0)
    near = np.maximum(near, 0)
    return near, weight / _sigma(matches)[near] ** 2


def _pitch(matches: Matches, reference: Array) -> float:
    """Return the distance of adjacent cells, px, from the matches in the corners of the grid."""
    gridded = matches.reference_cells >= 0
    if not gridded.any():
        return 0.0
    cells = np.column_stack(np.divmod(matches.reference_cells[gridded], matches.reference_grid[1]))
    steps = np.ptp(cells, axis=0).sum()
    return float(np.ptp(reference[gridded], axis=0).sum() / steps) if steps else 0.0


def _solve(design: Array, seen: Array, weight: Array) -> Array:
    """Return the weighted least squares solutions (N, 3, 2)."""
    total = np.sum(weight, axis=1)[:, None, None]
    weighted = np.swapaxes(design * weight[..., None], 1, 2)
    normal = weighted @ design + _STIFFNESS * total * np.diag([0.0, 1.0, 1.0])
    return np.asarray(np.linalg.solve(normal, weighted @ seen))
