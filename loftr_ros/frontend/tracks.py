"""Track ids: the same id stands for the same point of the scene over frames."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from loftr_ros.matching.matches import Matches

Ids = npt.NDArray[np.int64]
Points = npt.NDArray[np.float32]


class TrackIds:
    """Ids of the points of one reference image after the other.

    A point of a reference image is a cell of its coarse grid, so its id is the number of that cell
    plus an offset that differs for each reference. Where a point that already has an id lands close
    to the centre of a cell of the next reference, that cell goes on with the id.
    """

    def __init__(self, radius: float) -> None:
        """Start with no ids; `radius` is the largest distance of a handover, px."""
        self.radius = radius
        self._offset = 0
        self._cell_ids: Ids = np.empty(0, dtype=np.int64)
        self._waiting_points: Points = np.empty((0, 2), dtype=np.float32)
        self._waiting_ids: Ids = np.empty(0, dtype=np.int64)

    def assign(self, matches: Matches) -> Ids:
        """Return the ids (N,) of matches with the present reference."""
        self._fit_grid(matches)
        cells = matches.reference_cells
        ids = np.full(len(matches), -1, dtype=np.int64)
        ids[cells >= 0] = self._cell_ids[cells[cells >= 0]]
        new = np.flatnonzero(ids < 0)
        ids[new] = self._continue(matches.reference_points[new])
        fresh = ids < 0
        ids[fresh] = self._fresh(cells[fresh])
        self._cell_ids[cells[cells >= 0]] = ids[cells >= 0]
        return ids

    def hand_over(self, matches: Matches, ids: Ids) -> None:
        """Make the query image of `matches` with these `ids` (N,) the next reference."""
        self._offset += len(self._cell_ids)
        self._cell_ids = np.empty(0, dtype=np.int64)
        self._waiting_points = matches.query_points
        self._waiting_ids = ids

    def forget(self) -> None:
        """Start over with no ids to hand over; none that was given is given again."""
        self.hand_over(Matches.empty(), np.empty(0, dtype=np.int64))

    def _fit_grid(self, matches: Matches) -> None:
        cells = matches.reference_grid[0] * matches.reference_grid[1]
        if cells > len(self._cell_ids):
            added = np.full(cells - len(self._cell_ids), -1, dtype=np.int64)
            self._cell_ids = np.concatenate([self._cell_ids, added])

    def _continue(self, points: Points) -> Ids:
        """Take the ids of the waiting points that are mutually nearest to `points` (N, 2)."""
        ids = np.full(len(points), -1, dtype=np.int64)
        if not len(points) or not len(self._waiting_ids):
            return ids
        nearest = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True).match(points, self._waiting_points)
        pairs = [(p.queryIdx, p.trainIdx) for p in nearest if p.distance <= self.radius]
        if pairs:
            taken = np.array(pairs)
            ids[taken[:, 0]] = self._waiting_ids[taken[:, 1]]
            self._waiting_points = np.delete(self._waiting_points, taken[:, 1], axis=0)
            self._waiting_ids = np.delete(self._waiting_ids, taken[:, 1])
        return ids

    def _fresh(self, cells: Ids) -> Ids:
        """Return new ids (N,) for `cells` (N,); a match that lies on no grid (-1) gets one too."""
        ids = self._offset + cells
        loose = np.flatnonzero(cells < 0)
        ids[loose] = self._offset + len(self._cell_ids) + np.arange(len(loose))
        self._offset += len(loose)
        return ids
