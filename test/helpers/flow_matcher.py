"""A matcher for tests that needs no weights: corners followed by optical flow."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from loftr_ros.matching.config import LITE
from loftr_ros.matching.limits import NetworkSize, SizeLimits
from loftr_ros.matching.matches import Matches

CELL = 8


@dataclass(frozen=True)
class FlowFeatures:
    """A grey image is all that optical flow needs."""

    grey: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_] | None = None

    @property
    def image_size(self) -> tuple[int, int]:
        height, width = self.grey.shape
        return height, width


class FlowMatcher:
    """Real matches of small motions, quick and without a network."""

    def __init__(self) -> None:
        self.weights_name = 'flow'
        self.weights_hash = hashlib.sha256(b'flow').hexdigest()
        self.device = 'cpu'
        self.confidence_threshold: float | None = None
        self.max_matches: int | None = None
        self.longer_side: int | None = None

    def warm_up(self, height: int, width: int) -> float:
        self.match_images(np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8))
        return 0.0

    def network_size(self, height: int, width: int) -> NetworkSize:
        return SizeLimits(self.longer_side).fit((height, width), LITE)

    def encode(
        self, image: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None = None
    ) -> FlowFeatures:
        if image.dtype != np.uint8:
            raise ValueError(f'images must be uint8, not {image.dtype}')
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        return FlowFeatures(np.asarray(grey, np.uint8), mask)

    def starting_at(
        self, features: FlowFeatures, points: npt.NDArray[np.float32]
    ) -> tuple[FlowFeatures, npt.NDArray[np.float32]]:
        return features, np.full_like(points, np.nan)

    def signature(self, features: FlowFeatures) -> npt.NDArray[np.float32]:
        small = cv2.resize(features.grey, (40, 30), interpolation=cv2.INTER_AREA).astype(np.float32)
        values = (small - small.mean()).ravel()
        return np.asarray(values / max(float(np.linalg.norm(values)), 1e-6), np.float32)

    def match_images(self, reference: npt.NDArray[Any], query: npt.NDArray[Any]) -> Matches:
        return self.match(self.encode(reference), self.encode(query))

    def match(self, reference: FlowFeatures, query: FlowFeatures) -> Matches:
        height, width = reference.image_size
        grid = (height // CELL, width // CELL)
        corners = cv2.goodFeaturesToTrack(
            reference.grey,
            300,
            0.01,
            CELL,
            mask=None if reference.mask is None else reference.mask.astype(np.uint8),
        )
        if corners is None or reference.image_size != query.image_size:
            return Matches.empty(grid)
        moved, status, _ = cv2.calcOpticalFlowPyrLK(
            reference.grey,
            query.grey,
            corners,
            None,  # type: ignore[call-overload]
        )
        points = corners.reshape(-1, 2)
        columns, rows = (np.minimum(points // CELL, np.array(grid[::-1]) - 1)).astype(np.int64).T
        cells = rows * grid[1] + columns
        # As in LoFTR, no two matches share a cell of the reference.
        found = np.flatnonzero(status.ravel() == 1)
        kept = found[np.unique(cells[found], return_index=True)[1]][: self.max_matches]
        return Matches(
            points[kept].astype(np.float32),
            moved.reshape(-1, 2)[kept].astype(np.float32),
            np.full(len(kept), 0.9, np.float32),
            np.full(len(kept), 0.5, np.float32),
            cells[kept],
            grid,
        )
