"""Track ids: the same id stands for the same point of the scene over frames."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from loftr_ros.frontend.neighbours import mutual_neighbours
from loftr_ros.matching.matches import Matches

Ids = npt.NDArray[np.int64]
Points = npt.NDArray[np.float32]


class TrackIds:
    """Ids of the points of one reference image after the other.

    A point of a reference image is a cell of its coarse grid, so its id is the number of that cell
    plus an offset that differs for each reference. Where a point that already has an id lands close
    to the centre of a cell of the next reference, that cell goes on with the id. The distance
    between the two is remembered, so that an id does not wander off over many handovers.
    """

    def __init__(self, radius: float) -> None:
        """Start with no ids; `radius` is the largest distance of a handover, px."""
        self.radius = radius
        self._first_id = 0
        self._next_id = 0
        self._cell_ids: Ids = np.empty(0, dtype=np.int64)
        self._cell_shifts: Points = np.empty((0, 2), dtype=np.float32)
        self._waiting_ids: Ids = np.empty(0, dtype=np.int64)
        self._waiting_points: Points = np.empty((0, 2), dtype=np.float32)

    def assign(self, matches: Matches) -> Ids:
        """Return the ids (N,) of matches with the present reference."""
        self._fit_grid(matches)
        cells = matches.reference_cells
        gridded = cells >= 0
        ids = np.full(len(matches), -1, dtype=np.int64)
        ids[gridded] = self._cell_ids[cells[gridded]]
        new = np.flatnonzero(gridded & (ids < 0))
        taken, waiting = mutual_neighbours(
            matches.reference_points[new], self._waiting_points, self.radius
        )
        continued = new[taken]
        ids[continued] = self._waiting_ids[waiting]
        shifts = matches.reference_points[continued] - self._waiting_points[waiting]
        self._cell_shifts[cells[continued]] = shifts
        self._waiting_ids = np.delete(self._waiting_ids, waiting)
        self._waiting_points = np.delete(self._waiting_points, waiting, axis=0)

        fresh = ids < 0
        ids[fresh] = self._fresh(cells[fresh])
        self._cell_ids[cells[gridded]] = ids[gridded]
        return ids

    def hand_over(self, matches: Matches, ids: Ids) -> None:
        """Make the query image of `matches` with these `ids` (N,) the next reference."""
        cells = matches.reference_cells
        gridded = cells >= 0
        points = matches.query_points.copy()
        # The id stands for the point beside the centre of its cell from which it was taken over.
        points[gridded] -= self._cell_shifts[cells[gridded]]
        self._waiting_ids, self._waiting_points = ids, points
        self._first_id = self._next_id
        self._cell_ids = np.empty(0, dtype=np.int64)
        self._cell_shifts = np.empty((0, 2), dtype=np.float32)

    def forget(self) -> None:
        """Start over with no ids to hand over; none that was given is given again."""
        self.hand_over(Matches.empty(), np.empty(0, dtype=np.int64))

    def _fit_grid(self, matches: Matches) -> None:
        missing = matches.reference_grid[0] * matches.reference_grid[1] - len(self._cell_ids)
        if missing > 0:
            self._cell_ids = np.append(self._cell_ids, np.full(missing, -1, dtype=np.int64))
            added = np.zeros((missing, 2), dtype=np.float32)
            self._cell_shifts = np.concatenate([self._cell_shifts, added])
            self._next_id = max(self._next_id, self._first_id + len(self._cell_ids))

    def _fresh(self, cells: Ids) -> Ids:
        """Return new ids (N,) for `cells` (N,); a match that lies on no grid (-1) gets one too."""
        ids = self._first_id + cells
        loose = np.flatnonzero(cells < 0)
        ids[loose] = self._next_id + np.arange(len(loose))
        self._next_id += len(loose)
        return ids
