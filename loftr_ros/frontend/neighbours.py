"""Nearest neighbours of points of the plane within a small radius."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Points = npt.NDArray[np.float32]

_STRIDE = 2**32


def mutual_neighbours(first: Points, second: Points, radius: float) -> tuple[Indices, Indices]:
    """Find the pairs of points that are nearest to each other.

    Args:
        first: (N, 2).
        second: (M, 2).
        radius: Largest distance of a pair.

    Returns:
        The indices of the pairs in `first` and in `second`, (K,) each.
    """
    one, other = _pairs_within(first, second, radius)
    distances = np.hypot(*(first[one] - second[other]).T)
    order = np.argsort(distances, kind='stable')[: int(np.sum(distances <= radius))]
    one, other = one[order], other[order]
    # The first occurrence of a point is its nearest pair.
    nearest_one = np.isin(np.arange(len(one)), np.unique(one, return_index=True)[1])
    nearest_other = np.isin(np.arange(len(one)), np.unique(other, return_index=True)[1])
    mutual = nearest_one & nearest_other
    return one[mutual], other[mutual]


def _pairs_within(first: Points, second: Points, radius: float) -> tuple[Indices, Indices]:
    """Return all pairs from the same or adjacent squares of a grid of the size of `radius`."""
    first_squares, second_squares = _squares(first, radius), _squares(second, radius)
    # One number for each square, with rows so far apart that neighbours never wrap around.
    first_keys, second_keys = first_squares @ [1, _STRIDE], second_squares @ [1, _STRIDE]
    order = np.argsort(second_keys, kind='stable')
    second_keys = second_keys[order]
    ones, others = [], []
    for step in (dx + dy * _STRIDE for dx in (-1, 0, 1) for dy in (-1, 0, 1)):
        begin = np.searchsorted(second_keys, first_keys + step, side='left')
        count = np.searchsorted(second_keys, first_keys + step, side='right') - begin
        ones.append(np.repeat(np.arange(len(first)), count))
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        others.append(order[np.repeat(begin, count) + within])
    return np.concatenate(ones), np.concatenate(others)


def _squares(points: Points, radius: float) -> Indices:
    return np.floor(points / max(radius, 1.0)).astype(np.int64).reshape(-1, 2)
