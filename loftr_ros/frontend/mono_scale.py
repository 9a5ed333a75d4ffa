"""The scale of monocular motions, carried on by the points that they share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from loftr_ros.frontend.tracker import TrackingResult
from loftr_ros.geometry import MetricOptions
from loftr_ros.geometry.depth import PointDepths
from loftr_ros.geometry.stereo import triangulate_depth

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

MIN_SHARED = 8
"""With fewer shared points two motions have no common scale."""
_PRECISE = 4.0
"""A depth counts if it is so many times larger than its standard deviation."""
_UNITLESS = MetricOptions(depth_range=(1e-9, 1e9), disparity_sigma=0.0)


class PointScale:
    """Depths of the points of the present reference, in the unit of the trajectory.

    The pair of views with the widest parallax so far gives each point its depth. Another motion of
    length 1 with the same reference, or with the next one, which goes on with the track ids, sees
    the same points; the ratio of their depths is its length.
    """

    def __init__(self) -> None:
        """Start with no points."""
        self._depths: dict[int, tuple[float, float]] = {}

    def forget(self) -> None:
        """Start over; the next motion defines the unit."""
        self._depths = {}

    @property
    def median_depth(self) -> float | None:
        """Median depth of the points; None without points."""
        inverses = [inverse for inverse, _ in self._depths.values()]
        return 1.0 / float(np.median(inverses)) if inverses else None

    def length_of(self, result: TrackingResult) -> tuple[float, float] | None:
        """Return the length of a motion of unknown scale, and its standard deviation.

        The points' errors have a common cause in both motions, so that the spread of the ratios
        is divided by the root of `MIN_SHARED` only, however many points there are.
        """
        ids, depths = unit_depths(result)
        ratios = [
            inverse / self._depths[number][0]
            for number, inverse in zip(ids.tolist(), depths.inverse.tolist(), strict=True)
            if number in self._depths
        ]
        if len(ratios) < MIN_SHARED:
            return None
        logarithms = np.log(ratios)
        middle = float(np.median(logarithms))
        spread = 1.4826 * float(np.median(np.abs(logarithms - middle)))
        length = float(np.exp(middle))
        return length, length * spread / np.sqrt(MIN_SHARED)

    def remember(self, result: TrackingResult, reference_T_query: Array) -> None:
        """Keep the depths of a motion whose translation has the right length by now."""
        length = float(np.linalg.norm(reference_T_query[:3, 3]))
        if length > 0:
            ids, depths = unit_depths(result)
            inverses, sigmas = depths.inverse / length, depths.sigma / length
            for number, inverse, sigma in zip(
                ids.tolist(), inverses.tolist(), sigmas.tolist(), strict=True
            ):
                known = self._depths.get(number)
                if known is None or sigma / inverse < known[1] / known[0]:
                    self._depths[number] = inverse, sigma
        if result.new_keyframe:
            self._move(result, reference_T_query)

    def _move(self, result: TrackingResult, reference_T_query: Array) -> None:
        """Go over to the query's image; what it does not see is forgotten."""
        camera = result.reference.camera
        ids = result.track_ids.tolist()
        here = [index for index, number in enumerate(ids) if number in self._depths]
        if camera is None or not here:
            self.forget()
            return
        inverse, sigma = np.array([self._depths[ids[index]] for index in here]).T
        plane = camera.normalize(result.matches.reference_points[here])
        rays = np.column_stack([plane, np.ones(len(here))])
        # r / w is the point; its depth before the query camera is (r - w t) . z / w.
        ahead = (rays - inverse[:, None] * reference_T_query[:3, 3]) @ reference_T_query[:3, 2]
        kept = ahead > 0
        self._depths = {
            ids[index]: (float(one), float(spread))
            for index, one, spread in zip(
                np.array(here)[kept],
                inverse[kept] / ahead[kept],
                sigma[kept] / ahead[kept] ** 2,
                strict=True,
            )
        }


def unit_depths(result: TrackingResult) -> tuple[Ids, PointDepths]:
    """Triangulate the inliers of a full pose, for a translation of length 1.

    Returns:
        The track ids (K,) of the points with a precise depth, and their depths in the reference.
    """
    pose, reference, query = result.pose, result.reference.camera, result.query.camera
    if pose.reference_T_query is None or reference is None or query is None:
        return np.empty(0, np.int64), PointDepths.unknown(0)
    unit = pose.reference_T_query.copy()
    length = float(np.linalg.norm(unit[:3, 3]))
    if length == 0:
        return np.empty(0, np.int64), PointDepths.unknown(0)
    unit[:3, 3] /= length
    matches = result.matches
    depths = triangulate_depth(
        matches.reference_points[pose.inliers],
        matches.query_points[pose.inliers],
        reference,
        query,
        unit,
        matches.sigma[pose.inliers],
        _UNITLESS,
    )
    with np.errstate(invalid='ignore'):
        precise = depths.known() & (depths.inverse > _PRECISE * depths.sigma)
    return result.track_ids[pose.inliers][precise], depths.select(precise)
