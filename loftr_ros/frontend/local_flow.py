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
_SPREAD = 0.7
"""How far the neighbours may be apart from each other, as a share of how far the match may be."""
_STIFFNESS = 1e-3
"""Weight of unknown slopes being zero, in units of the neighbours': a lone match just shifts."""


@dataclass(frozen=True, eq=False)
class LocalFlow:
    """For each of N matches the affine motion that its neighbours agree on.

    Attributes:
        pitch: Distance of adjacent cells along x and y, px; 0 where it is unknown.
        offset: float64 (N, 2), query point minus reference point by the affine motion, px.
        slope: float64 (N, 2, 2), change of the offset by the reference point.
        spread: float64 (N,), standard deviation of the neighbours from the affine motion, px.
        misfit: float64 (N,), distance of the match itself from it, px.
        neighbours: int64 (N,), matches that were used, with the match itself.
    """

    pitch: float
    offset: Array
    slope: Array
    spread: Array
    misfit: Array
    neighbours: Indices

    @classmethod
    def of(cls, matches: Matches, scale: float) -> LocalFlow:
        """Fit affine motions by iteratively reweighted least squares with Cauchy's weights.

        Args:
            matches: N matches; those that lie on no grid have no neighbours.
            scale: Distance from the motion at which a match counts half, px.
        """
        reference = matches.reference_points.astype(np.float64)
        moved = matches.query_points.astype(np.float64) - reference
        near, weight = _neighbours(matches)
        pitch = _pitch(matches, reference)
        design = np.ones((*near.shape, 3))
        design[..., 1:] = (reference[near] - reference[:, None]) / max(pitch, 1.0)
        seen = moved[near]
        robust, solution, distance = weight, np.empty((len(matches), 3, 2)), weight
        for _ in range(_ROUNDS):
            solution = _solve(design, seen, robust)
            distance = np.linalg.norm(design @ solution - seen, axis=2)
            robust = weight / (1.0 + (distance / scale) ** 2)
        square = np.sum(robust * distance**2, axis=1) / np.sum(robust, axis=1)
        return cls(
            pitch,
            solution[:, 0],
            np.swapaxes(solution[:, 1:], 1, 2) / max(pitch, 1.0),
            np.sqrt(square / 2.0),
            np.linalg.norm(solution[:, 0] - moved, axis=1),
            np.sum(weight > 0, axis=1),
        )

    def moved(self, points: Array, shifts: Array) -> Array:
        """Return where `shifts` (N, 2) beside the reference points (N, 2) lie in the query, px."""
        slid = np.einsum('nij,nj->ni', self.slope, shifts)
        return np.asarray(points + shifts + self.offset + slid)

    def carries(self, tolerance: float) -> Flags:
        """Tell which matches (N,) agree with their neighbours within `tolerance` px.

        The neighbours have to agree with each other too: other points beside move in the same way.
        """
        agree = (self.misfit < tolerance) & (self.spread < _SPREAD * tolerance)
        return np.asarray((self.neighbours >= _FEWEST) & agree)

    def contradicts(self, tolerance: float) -> Flags:
        """Tell which matches (N,) have enough neighbours, but none that agree so far."""
        return np.asarray((self.neighbours >= _FEWEST) & ~self.carries(tolerance))


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
    certainty = 1.0 / np.maximum(matches.sigma.astype(np.float64), 1e-3) ** 2
    return near, weight * np.nan_to_num(certainty, nan=1e-6)[near]


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
