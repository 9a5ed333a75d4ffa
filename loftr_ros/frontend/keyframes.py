"""When a frame becomes the next keyframe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loftr_ros.frontend.frame import Frame
from loftr_ros.frontend.options import TrackerOptions
from loftr_ros.geometry import RelativePose
from loftr_ros.matching.matches import Matches

TILES = 8
"""The overlap is counted in TILES x TILES tiles of the keyframe's image."""


@dataclass
class KeyframeHistory:
    """What the keyframe has seen so far, which later frames are compared with."""

    most_matches: int = 0
    most_tiles: int = 0
    last_matches: int = 0
    last_tiles: int = 0
    failures: int = 0

    def note(self, matches: int, tiles: int) -> tuple[float, float]:
        """Return the shares of matches and tiles that the next frame may be expected to have.

        It will have lost as many again as this one has lost since the one before.
        """
        self.most_matches = max(self.most_matches, matches)
        self.most_tiles = max(self.most_tiles, tiles)
        survival = _expected(matches, self.last_matches) / max(self.most_matches, 1)
        overlap = _expected(tiles, self.last_tiles) / max(self.most_tiles, 1)
        self.last_matches, self.last_tiles = matches, tiles
        return survival, overlap


def needs_keyframe(
    history: KeyframeHistory,
    keyframe: Frame,
    matches: Matches,
    options: TrackerOptions,
    pose_failed: bool = False,
) -> bool:
    """Decide whether a frame with these matches should be the next keyframe; update the history.

    It should if too few matches would survive in the frame after it, if too little of the keyframe
    would still be in view there, or if the matches have moved far enough for a good triangulation.
    The next frame counts since this one is the last that can link it. A frame without matches, or
    whose pose is not believed, says nothing about the view (it may be black or blurred) and would
    be a bad link to the next keyframe: only several of them in a row end one.
    """
    if pose_failed or len(matches) < options.min_matches:
        history.failures += 1
        return history.failures >= options.max_failures
    tiles = covered_tiles(matches.reference_points, keyframe.image.shape[:2])
    history.failures = 0
    survival, overlap = history.note(len(matches), tiles)
    parallax = median_displacement(matches) / keyframe.image.shape[1]
    return (
        survival < options.min_survival
        or overlap < options.min_overlap
        or parallax > options.max_parallax
    )


def _expected(now: int, before: int) -> int:
    return max(now - max(before - now, 0), 0)


def survivors(matches: Matches, pose: RelativePose) -> Matches:
    """Return the matches that speak for keeping a keyframe.

    A metric pose needs enough points that it explains, and these get fewer sooner than matches do:
    on a driving car a keyframe would last until no pose is found any more.
    """
    if not pose.metric:
        return matches
    return matches.select(pose.inliers)


def covered_tiles(points: npt.NDArray[np.float32], size: tuple[int, ...]) -> int:
    """Count the tiles of an image of `size` (height, width) that have one of the points (N, 2)."""
    scale = np.array([TILES / size[1], TILES / size[0]])
    tiles = np.clip((points + 0.5) * scale, 0, TILES - 1).astype(np.int64)
    return len(np.unique(tiles[:, 1] * TILES + tiles[:, 0]))


def median_displacement(matches: Matches) -> float:
    """Return the median distance between the points of the matches, px."""
    offsets = matches.query_points - matches.reference_points
    return float(np.median(np.hypot(offsets[:, 0], offsets[:, 1])))
