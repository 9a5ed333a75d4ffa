"""Track ids: the same id stands for the same point of the scene over frames."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from loftr_ros.frontend.local_flow import Array, Flags, LocalFlow
from loftr_ros.frontend.neighbours import mutual_neighbours
from loftr_ros.matching.matches import Matches

Ids = npt.NDArray[np.int64]
Points = npt.NDArray[np.float32]

_ROUNDING = 0.01
"""Distance of a reference point from the point that it was put at, px: that of float32."""
_BESIDE = 0.05
"""Share of the tolerance for points beside those of cells: neighbours that agree err together."""


@dataclass(frozen=True, eq=False)
class TrackedMatches:
    """Matches whose points are those that the ids stand for.

    Attributes:
        matches: N matches; the points of an id that was handed over lie beside the cell's centre.
        ids: int64 (N,), unique.
    """

    matches: Matches
    ids: Ids


@dataclass(frozen=True, eq=False)
class _Waiting:
    """Points of the reference image that have an id, but no cell yet.

    Attributes:
        ids: int64 (N,).
        points: float32 (N, 2), px.
        starts: float32 (N, 2), the points of their cells, px; NaN where these are not known.
        variances: float64 (N,), of the points about those that the ids stood for at first, px^2.
        beside: bool (N,), whether a cell whose point lies beside may go on with the id.
    """

    ids: Ids
    points: Points
    starts: Points
    variances: Array
    beside: Flags

    @classmethod
    def none(cls) -> _Waiting:
        nothing = np.empty((0, 2), dtype=np.float32)
        none = np.empty(0, dtype=np.bool_)
        return cls(np.empty(0, dtype=np.int64), nothing, nothing, np.empty(0), none)

    def select(self, chosen: Flags | npt.NDArray[np.int64]) -> _Waiting:
        return _Waiting(*(getattr(self, field.name)[chosen] for field in fields(self)))


class Tracks:
    """Ids of the points of one reference image after the other.

    A point of a reference image is that of a cell of its grid, so its id is the number of that cell
    plus an offset that differs for each reference. When another image becomes the reference, the
    points that have an id lie anywhere between the points of its cells. A matcher that can start
    anywhere has for each a cell whose point is less than a pixel away. Otherwise the nearest cell
    goes on with the id. The cell remembers the shift from its point; from then on each of its
    matches is moved by that shift, along the affine motion of the matches around it (`LocalFlow`),
    so that what is observed is the same point of the scene and not the cell.

    Within a reference an id belongs to its cell, but a match that neither its neighbours nor the
    pose support gets an id of its own, which is never seen again (`LocalFlow.trusted`). An id
    gathers the variance of each handover, and ends with the reference where these would pass the
    tolerance; beside the points of cells also where neighbours move apart, as at the edges of
    objects.
    """

    def __init__(self, tolerance: float) -> None:
        """Start with no ids.

        Args:
            tolerance: Largest standard deviation of a point that is handed over from the one its id
                stood for at first, in units of the residual scale of the matches.
        """
        self.tolerance = tolerance
        self._first_id = 0
        self._next_id = 0
        self._cell_ids: Ids = np.empty(0, dtype=np.int64)
        self._cell_shifts: Array = np.empty((0, 2))
        self._cell_variances: Array = np.empty(0)
        self._waiting = _Waiting.none()
        self._landed = _Waiting.none()
        self._started = False

    def follow(self, matches: Matches, explained: Flags | None = None) -> TrackedMatches:
        """Give ids to matches with the present reference.

        Args:
            matches: N matches.
            explained: bool (N,), whether the pose explains them; None without a pose.
        """
        self._fit_grid(matches)
        flow = LocalFlow.of(matches)
        carried = flow.carries()
        trusted = (matches.reference_cells >= 0) & flow.trusted(explained)
        able = trusted if self._started else trusted & carried
        self._take_over(matches, able, flow.pitch)
        cells = np.where(trusted, matches.reference_cells, -1)
        shifts = np.zeros((len(matches), 2))
        shifts[trusted] = self._cell_shifts[cells[trusted]]
        if not self._started:
            cells[np.any(shifts, axis=1) & ~carried] = -1
        ids = self._ids(cells)
        self._cell_ids[cells[cells >= 0]] = ids[cells >= 0]
        shifts[cells < 0] = 0.0
        along = flow.moved(matches.reference_points.astype(np.float64), shifts)
        beside = flow.beside(matches.query_points.astype(np.float64), shifts, carried)
        landed = np.where(carried[:, None], along, beside)
        variance = np.where(carried, flow.variance, matches.sigma.astype(np.float64) ** 2)
        self._land(cells, ids, landed, variance, (self.tolerance * flow.scale) ** 2, carried)
        return _moved(matches, ids, shifts, beside if self._started else along)

    @property
    def landed(self) -> Points:
        """Points (N, 2) of ids in the query image of the last matches, px, the oldest first."""
        return self._landed.points

    def hand_over(self, starts: Points | None = None) -> None:
        """Make the query image of the matches that were followed last the next reference.

        Args:
            starts: float32 (N, 2), points of its cells that the `landed` points go on from, px; NaN
                for those that end. None or NaN for all: they go on from the nearest cells.
        """
        landed, self._landed = self._landed, _Waiting.none()
        self._started = starts is not None and bool(np.isfinite(starts).any())
        if starts is not None and self._started:
            landed = replace(landed, starts=starts)
            self._waiting = landed.select(np.asarray(np.isfinite(starts).all(axis=1)))
        else:
            self._waiting = landed.select(landed.beside)
        self._first_id = self._next_id
        self._cell_ids = np.empty(0, dtype=np.int64)
        self._cell_shifts = np.empty((0, 2))
        self._cell_variances = np.empty(0)

    def forget(self) -> None:
        """Start over with no ids to hand over; none that was given is given again."""
        self._landed = _Waiting.none()
        self.hand_over()

    def _take_over(self, matches: Matches, able: Flags, pitch: float) -> None:
        """Let cells that are matched for the first time go on with the ids that wait nearest."""
        cells = matches.reference_cells
        new = np.flatnonzero(able)
        new = new[self._cell_ids[cells[new]] < 0]
        # Half the diagonal of a cell: no point of the image is farther from the nearest centre.
        near = self._waiting.points, pitch / np.sqrt(2.0)
        places, radius = (self._waiting.starts, _ROUNDING) if self._started else near
        taken, waiting = mutual_neighbours(matches.reference_points[new], places, radius)
        continued = new[taken]
        self._cell_ids[cells[continued]] = self._waiting.ids[waiting]
        self._cell_shifts[cells[continued]] = (
            self._waiting.points[waiting] - matches.reference_points[continued]
        )
        self._cell_variances[cells[continued]] = self._waiting.variances[waiting]
        self._waiting = self._waiting.select(np.delete(np.arange(len(self._waiting.ids)), waiting))

    def _land(
        self, cells: Ids, ids: Ids, landed: Array, variance: Array, limit: float, carried: Flags
    ) -> None:
        """Remember the points that the next reference may go on with; cells (N,), -1 for none."""
        able = np.flatnonzero(cells >= 0)
        able = able[np.argsort(ids[able])]
        variances = self._cell_variances[cells[able]] + variance[able]
        points = landed[able].astype(np.float32)
        beside = carried[able] & (variances < _BESIDE**2 * limit)
        everything = _Waiting(ids[able], points, np.full_like(points, np.nan), variances, beside)
        self._landed = everything.select(variances < limit)

    def _fit_grid(self, matches: Matches) -> None:
        missing = matches.reference_grid[0] * matches.reference_grid[1] - len(self._cell_ids)
        if missing > 0:
            self._cell_ids = np.append(self._cell_ids, np.full(missing, -1, dtype=np.int64))
            self._cell_shifts = np.concatenate([self._cell_shifts, np.zeros((missing, 2))])
            self._cell_variances = np.append(self._cell_variances, np.zeros(missing))
            self._next_id = max(self._next_id, self._first_id + len(self._cell_ids))

    def _ids(self, cells: Ids) -> Ids:
        """Return the ids (N,) of `cells` (N,), new ones where needed; -1 gets one of its own."""
        ids = np.where(cells >= 0, self._first_id + cells, -1)
        gridded = cells >= 0
        known = self._cell_ids[cells[gridded]]
        ids[gridded] = np.where(known >= 0, known, ids[gridded])
        ids[~gridded] = self._next_id + np.arange(np.sum(~gridded))
        self._next_id += int(np.sum(~gridded))
        return np.asarray(ids, dtype=np.int64)


def _moved(matches: Matches, ids: Ids, shifts: Array, landed: Array) -> TrackedMatches:
    """Return the matches with those that have a shift (N, 2) at the points of their ids."""
    shifted = np.any(shifts, axis=1, keepdims=True)
    moved = replace(
        matches,
        reference_points=(matches.reference_points + shifts).astype(np.float32),
        query_points=np.where(shifted, landed, matches.query_points).astype(np.float32),
    )
    return TrackedMatches(moved, ids)
