"""Depth of the points of a reference image, from its depth image or its right view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from loftr_ros.frontend.frame import Frame, RightView
from loftr_ros.geometry import MetricOptions
from loftr_ros.geometry.constants import SURELY
from loftr_ros.geometry.depth import PointDepths, sample_depth
from loftr_ros.geometry.stereo import triangulate_depth
from loftr_ros.geometry.transforms import inverse_transform
from loftr_ros.matching.matches import Matches

Features = TypeVar('Features')
Indices = npt.NDArray[np.int64]
MatchRight = Callable[[Features, RightView], Matches]


class ReferenceDepths(Generic[Features]):
    """Depths of the points of one reference image.

    The right image is matched when depths are first asked for, and never again.

    Attributes:
        problem: Why there are none, where that can be said; otherwise empty.
        swapped: Whether left and right look swapped.
    """

    def __init__(self, frame: Frame, features: Features) -> None:
        """Find depths for the image of `frame`, whose features are known."""
        self._frame = frame
        self._features = features
        self.problem = ''
        self.swapped = False
        self._stereo: tuple[Matches, PointDepths] | None = None

    def at(
        self, matches: Matches, match_right: MatchRight[Features], options: MetricOptions
    ) -> PointDepths:
        """Return the depths of the reference points of `matches` (N), as far as they are known.

        Args:
            matches: Matches of the frame with a later one.
            match_right: Matches features of the left image with a right view.
            options: Options of depth.

        Raises:
            ValueError: The right image cannot be matched.
        """
        if self._frame.depth is not None:
            return sample_depth(self._frame.depth, matches.reference_points, options)
        if self._stereo is None:
            self._stereo = self._match_stereo(match_right, options)
        seen, depths = self._stereo
        found, here = common_points(seen, matches)
        columns = [np.full(len(matches), np.nan) for _ in range(3)]
        for column, values in zip(
            columns, (depths.inverse, depths.sigma, depths.shared), strict=True
        ):
            column[here] = values[found]
        return PointDepths(*columns)

    def _match_stereo(
        self, match_right: MatchRight[Features], options: MetricOptions
    ) -> tuple[Matches, PointDepths]:
        right, camera = self._frame.right, self._frame.camera
        if right is None or camera is None:
            return Matches.empty(), PointDepths.unknown(0)
        matches = match_right(self._features, right)
        with np.errstate(divide='ignore', invalid='ignore'):
            sigma = matches.sigma / np.sqrt(matches.confidence)
        points = matches.reference_points, matches.query_points
        cameras = camera, right.camera
        depths = triangulate_depth(*points, *cameras, right.left_T_right, sigma, options)
        right_T_left = inverse_transform(right.left_T_right)
        exchanged = triangulate_depth(*points, *cameras[::-1], right_T_left, sigma, options)
        before, after = _in_front(depths), _in_front(exchanged)
        # A sign test: of points that may be anywhere as many lie on each side.
        self.swapped = after - before > SURELY * np.sqrt(after + before)
        if self.swapped:
            self.problem = (
                f'left and right look swapped: {after} of {len(matches)} matches between them have '
                f'a depth if the images are exchanged, {before} as they are'
            )
        return matches, depths


def _in_front(depths: PointDepths) -> int:
    """Count the points that are clearly in front of the cameras, and not at infinity."""
    with np.errstate(invalid='ignore'):
        return int(np.count_nonzero(depths.inverse > SURELY * depths.sigma))


def common_points(first: Matches, second: Matches) -> tuple[Indices, Indices]:
    """Find the matches of two queries that start at the same point of the reference.

    It is the same cell of the grid, or of a matcher without a grid exactly the same point.

    Returns:
        The indices of these matches in `first` and in `second`, (K,) each.
    """
    _, one, other = np.intersect1d(_keys(first), _keys(second), return_indices=True)
    return one, other


def _keys(matches: Matches) -> npt.NDArray[np.complex128]:
    points = matches.reference_points.astype(np.float64)
    on_grid = matches.reference_cells >= 0
    # A cell is a number below zero, which no point of an image is.
    return np.where(on_grid, -1.0 - matches.reference_cells, points @ np.array([1.0, 1.0j]))
