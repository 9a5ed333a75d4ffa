"""How well the matches of one precision agree with those of another, on real pairs of images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from loftr_ros.data.images import read_image
from loftr_ros.matching.matches import Matches

DATA = Path(os.environ.get('LOFTR_ROS_DATA', Path(__file__).parents[3] / 'shared' / 'data'))
FOLDERS = {
    'euroc_mh05/mav0/cam0/data': ('*.png', 10),
    'tum_fr3_office/rgb': ('*.png', 1),
    'sevenscenes': ('*.color.jpg', 2),
    'kitti_stereo/image_l': ('*', 2),
}
"""Images in the order of time, and how many later the second of a pair is."""

Image = NDArray[np.uint8]


class PairMatcher(Protocol):
    """Whatever matches two images."""

    def match_images(self, reference: Image, query: Image) -> Matches: ...


@dataclass(frozen=True)
class Agreement:
    """Matches of one precision beside those of float32, over all pairs.

    Attributes:
        matches: Number in float32.
        kept: Share of them that the other has as well: from the same cell, to within half a cell.
        added: Share of the other's that float32 has not.
        shift: Median distance of those that both have, px of the network's images.
    """

    matches: int
    kept: float
    added: float
    shift: float


def real_pairs() -> list[tuple[Image, Image]]:
    """A pair of each sequence, from its third image on; none without the data."""
    pairs = []
    for folder, (pattern, step) in FOLDERS.items():
        paths = sorted((DATA / folder).glob(pattern))[2:]
        if len(paths) > step:
            pairs.append((read_image(paths[0]), read_image(paths[step])))
    return pairs


def agreement(exact: PairMatcher, other: PairMatcher, stride: int = 16) -> Agreement:
    """Compare two matchers on the real pairs; the stride is that of the coarse grid, px."""
    both, total, others, shifts = 0, 0, 0, []
    for reference, query in real_pairs():
        first, second = exact.match_images(reference, query), other.match_images(reference, query)
        cells = first.reference_cells, second.reference_cells
        _, one, two = np.intersect1d(*cells, return_indices=True)
        pixel = query.shape[1] / (stride * first.reference_grid[1])
        offsets = (first.query_points[one] - second.query_points[two]) / pixel
        distances = np.linalg.norm(offsets, axis=1)
        near = distances[distances < stride / 2]
        both, total, others = both + len(near), total + len(first), others + len(second)
        shifts.append(near)
    shift = float(np.median(np.concatenate(shifts)))
    return Agreement(total, both / total, 1 - both / others, shift)
