"""A world of which every match is known, and the matcher that knows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from loftr_ros.frontend import Frame
from loftr_ros.geometry import Camera
from loftr_ros.matching.matches import Matches

CELL = 8
STEP_NS = 100_000_000
Array = npt.NDArray[np.float64]


@dataclass
class World:
    """Two walls that meet at an edge, 5 m before the first camera; images hold their number."""

    noise: float = 0.0
    camera: Camera = field(
        default_factory=lambda: Camera(
            320, 240, np.array([[250, 0, 159.5], [0, 250, 119.5], [0, 0, 1]])
        )
    )
    step: tuple[float, float, float] = (0.05, 0.0, 0.02)
    encoded: list[int] = field(default_factory=list)
    masks: list[npt.NDArray[np.bool_] | None] = field(default_factory=list)
    kept_rows: dict[int, slice] = field(default_factory=dict)
    forgotten: set[int] = field(default_factory=set)

    def frame(self, index: int, stamp_ns: int | None = None) -> Frame:
        """Return the frame number `index`; number 0 is black, and matches nothing."""
        image = np.full((self.camera.height, self.camera.width), index, dtype=np.uint8)
        stamp = STEP_NS * index if stamp_ns is None else stamp_ns
        return Frame(stamp, image, 'camera', self.camera)

    def position(self, index: int) -> Array:
        return np.array(self.step) * index

    def encode(self, image: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None = None) -> int:
        if image.dtype != np.uint8:
            raise ValueError(f'images must be uint8, not {image.dtype}')
        self.encoded.append(int(image[0, 0]))
        self.masks.append(mask)
        return self.encoded[-1]

    def points_of_cells(self, index: int) -> tuple[Array, Array]:
        """Return the centres of the cells, px, and what they see, in the world."""
        rows, columns = self.camera.height // CELL, self.camera.width // CELL
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        cells = np.column_stack([x.ravel(), y.ravel()]).astype(np.float64)
        centres = cells * CELL + (CELL - 1) / 2
        rays = np.column_stack([self.camera.normalize(centres), np.ones(len(centres))])
        position = self.position(index)
        # z = 5 - 0.4 |x|: the wall that is met first is the nearer one.
        distances = [
            (5.0 - position[2] - 0.4 * sign * position[0]) / (1.0 + 0.4 * sign * rays[:, 0])
            for sign in (1.0, -1.0)
        ]
        distance = np.min(distances, axis=0)
        return centres, np.asarray(position + rays * distance[:, None])

    def starting_at(
        self, features: int, points: npt.NDArray[np.float32]
    ) -> tuple[int, npt.NDArray[np.float32]]:
        return features, np.full_like(points, np.nan)

    def match(self, reference: int, query: int) -> Matches:
        rows, columns = self.camera.height // CELL, self.camera.width // CELL
        if reference == 0 or query == 0 or reference in self.forgotten:
            return Matches.empty((rows, columns))
        centres, points = self.points_of_cells(reference)
        seen = self.camera.project(points - self.position(query))
        seen += self.noise * np.random.default_rng(query).normal(size=seen.shape)
        inside = ((seen >= 0) & (seen < [self.camera.width, self.camera.height])).all(axis=1)
        cells = np.flatnonzero(inside)
        kept = self.kept_rows.get(query, slice(None))
        cells = cells[np.isin(cells // columns, np.arange(rows)[kept])]
        return Matches(
            centres[cells].astype(np.float32),
            seen[cells].astype(np.float32),
            np.ones(len(cells), np.float32),
            np.full(len(cells), max(self.noise, 0.05), np.float32),
            cells.astype(np.int64),
            (rows, columns),
        )


@pytest.fixture
def world() -> World:
    return World()
