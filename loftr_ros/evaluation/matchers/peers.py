"""Classical matchers to compare with, behind the same interface as the package's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import cv2
import numpy as np

from loftr_ros.data.images import to_grey
from loftr_ros.matching.matches import Matches

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Features = TypeVar('Features')


class PairMatcher(Protocol[Features]):
    """What evaluation asks of a matcher: features once per image, then matches per pair."""

    def encode(self, image: NDArray[Any]) -> Features:
        """Compute the features of an image (H, W) or (H, W, 3), 8 bit."""

    def match(self, reference: Features, query: Features) -> Matches:
        """Match the features of two images."""


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Points of an image and their descriptors.

    Attributes:
        points: float32 (N, 2), px.
        descriptors: (N, D), float32 or uint8.

    """

    points: NDArray[np.float32]
    descriptors: NDArray[Any]


class RootSift:
    """SIFT (Lowe, IJCV 2004) with Hellinger distance (Arandjelovic and Zisserman, CVPR 2012).

    Nearest neighbours pass Lowe's ratio test in both directions and are mutual.
    """

    def __init__(
        self, features: int = 4000, contrast_threshold: float = 0.01, ratio: float = 0.85
    ) -> None:
        self.ratio = ratio
        self._detector = cv2.SIFT_create(  # type: ignore[attr-defined]
            features, contrastThreshold=contrast_threshold
        )

    def encode(self, image: NDArray[Any]) -> Keypoints:
        """Detect and describe points."""
        return _detect(self._detector, image, np.dtype(np.float32), 128, _root)

    def match(self, reference: Keypoints, query: Keypoints) -> Matches:
        """Match mutual nearest neighbours that pass the ratio test."""
        if min(len(reference.points), len(query.points)) < 2:
            return Matches.empty()
        cosines = reference.descriptors @ query.descriptors.T
        nearest, ratios = _nearest(cosines)
        backward, _ = _nearest(cosines.T)
        index = np.arange(len(nearest))
        kept = np.flatnonzero((backward[nearest] == index) & (ratios < self.ratio))
        pair = reference.points[kept], query.points[nearest[kept]]
        return ungridded_matches(*pair, 1 - ratios[kept])


class Orb:
    """ORB (Rublee et al., ICCV 2011) with brute-force matching and cross check."""

    def __init__(self, features: int = 2000) -> None:
        self._detector = cv2.ORB_create(nfeatures=features)  # type: ignore[attr-defined]
        self._matcher = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True)

    def encode(self, image: NDArray[Any]) -> Keypoints:
        """Detect and describe points."""
        return _detect(
            self._detector, image, np.dtype(np.uint8), 32, lambda descriptors: descriptors
        )

    def match(self, reference: Keypoints, query: Keypoints) -> Matches:
        """Match mutual nearest neighbours."""
        if not len(reference.points) or not len(query.points):
            return Matches.empty()
        found = self._matcher.match(reference.descriptors, query.descriptors)
        first = np.array([match.queryIdx for match in found], np.intp)
        second = np.array([match.trainIdx for match in found], np.intp)
        distances = np.array([match.distance for match in found], np.float32)
        pair = reference.points[first], query.points[second]
        return ungridded_matches(*pair, 1 - distances / 256)


def _detect(
    detector: cv2.Feature2D,
    image: NDArray[Any],
    dtype: np.dtype[Any],
    length: int,
    normalize: Callable[[NDArray[Any]], NDArray[Any]],
) -> Keypoints:
    keypoints, descriptors = detector.detectAndCompute(to_grey(image), None)
    if not keypoints:
        return Keypoints(np.empty((0, 2), np.float32), np.empty((0, length), dtype))
    points = np.array([keypoint.pt for keypoint in keypoints], np.float32)
    return Keypoints(points, normalize(descriptors))


def _root(descriptors: NDArray[Any]) -> NDArray[np.float32]:
    sums = np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-12)
    return np.asarray(np.sqrt(descriptors / sums), np.float32)


def _nearest(cosines: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return each row's nearest column and the ratio of its distance to the second nearest."""
    best_two = np.argpartition(-cosines, 1, axis=1)[:, :2]
    values = np.take_along_axis(cosines, best_two, axis=1)
    swapped = values[:, 0] < values[:, 1]
    nearest = np.where(swapped, best_two[:, 1], best_two[:, 0])
    distances = np.sqrt(np.maximum(2 - 2 * values, 0))
    ratios = distances.min(axis=1) / np.maximum(distances.max(axis=1), 1e-9)
    return nearest, ratios.astype(np.float32)


def ungridded_matches(
    reference_points: NDArray[Any], query_points: NDArray[Any], confidence: NDArray[Any]
) -> Matches:
    """Return matches (N, 2), px, of a matcher that has no grid and states no sigma: it is 1 px."""
    count = len(reference_points)
    return Matches(
        reference_points=np.asarray(reference_points, np.float32),
        query_points=np.asarray(query_points, np.float32),
        confidence=np.clip(confidence, 0, 1).astype(np.float32),
        sigma=np.ones(count, np.float32),
        reference_cells=np.full(count, -1, np.int64),
        reference_grid=(0, 0),
    )
