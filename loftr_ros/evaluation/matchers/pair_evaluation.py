"""Run a matcher over sets of pairs and measure what comes out."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic

import cv2
import numpy as np

from loftr_ros.data.middlebury import DisparityPair, open_middlebury
from loftr_ros.evaluation.matchers.conditions import CLEAN, Condition, View
from loftr_ros.evaluation.matchers.pairs import PoseSet
from loftr_ros.evaluation.matchers.peers import Features, PairMatcher
from loftr_ros.evaluation.matchers.resizing import ResizedImage, resize
from loftr_ros.evaluation.matchers.robust import (
    EssentialPose,
    estimate_pose,
    estimate_pose_by_poselib,
)
from loftr_ros.evaluation.records.metrics import (
    direction_angle_error,
    disparity_errors,
    epipolar_distances,
    pose_auc,
    pose_error,
    precision,
    rotation_angle_error,
)
from loftr_ros.geometry.transforms import inverse_transform

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from numpy.typing import NDArray

    from loftr_ros.evaluation.matchers.pairs import PairSet, PosePair
    from loftr_ros.geometry import Camera
    from loftr_ros.matching.matches import Matches

CACHED_IMAGES = 16
SMALLEST_SIDE = 32
GOOD_ROTATION = 1.0
GOOD_DIRECTION = 10.0

NAN = float('nan')


@dataclass(frozen=True)
class EvaluationOptions:
    """What all matchers have in common.

    Attributes:
        longer_side: Larger images are resized to this, px.
        threshold: Inlier threshold of the robust estimator, px of the resized image.
        epipolar_limit: A match counts as precise up to this distance, px of the resized image.
        disparity_limit: The same for disparities, px of the original image.
        seed: Of OpenCV's random numbers, set before each estimate.

    Raises:
        ValueError: If images would become too small to hold anything.

    """

    longer_side: int = 640
    threshold: float = 1.0
    epipolar_limit: float = 2.0
    disparity_limit: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.longer_side < SMALLEST_SIDE:
            raise ValueError(f'longer_side is at least {SMALLEST_SIDE} px, not {self.longer_side}')


@dataclass(frozen=True, kw_only=True)
class PairResult:
    """Figures of one matcher on one pair; NaN where there is nothing to measure.

    Attributes:
        name: Names the pair within its set.
        matches: Number of matches.
        inliers: Number of those that the robust estimator kept.
        rotation_error: Degrees; NaN without an estimate.
        direction_error: Between the directions of translation, degrees, 0 to 180.
        pose_error: As `metrics.pose_error`, degrees; infinite without an estimate.
        poselib_error: The same of PoseLib's estimate; NaN where it is not installed.
        precision: Share of matches near their epipolar line or true disparity.
        milliseconds: For encoding both images and matching them.

    """

    name: str
    matches: int
    inliers: int = 0
    rotation_error: float = NAN
    direction_error: float = NAN
    pose_error: float = NAN
    poselib_error: float = NAN
    precision: float
    milliseconds: float

    @property
    def is_good(self) -> bool:
        """Whether rotation and signed direction are both close to the truth."""
        return self.rotation_error < GOOD_ROTATION and self.direction_error < GOOD_DIRECTION


@dataclass(frozen=True)
class SetSummary:
    """Figures of one matcher on one set of pairs.

    Attributes:
        set_name: Name of the set.
        matcher: Name of the matcher.
        results: Figures of each pair.

    """

    set_name: str
    matcher: str
    results: tuple[PairResult, ...]

    @property
    def auc(self) -> list[float]:
        """Area under the recall curve at 5, 10, 20 degrees, 0 to 1; NaN for disparities."""
        return pose_auc([r.pose_error for r in self.results if not np.isnan(r.pose_error)])

    @property
    def poselib_auc(self) -> list[float]:
        """The same of PoseLib's estimates; NaN where it is not installed, too."""
        return pose_auc([r.poselib_error for r in self.results if not np.isnan(r.poselib_error)])

    @property
    def good(self) -> int:
        """Number of pairs with rotation < 1 and direction of translation < 10 degrees."""
        return sum(result.is_good for result in self.results)

    def mean(self, name: str) -> float:
        """Average a field of `PairResult` over the pairs in which it is known."""
        values = np.array([getattr(result, name) for result in self.results], np.float64)
        known = values[~np.isnan(values)]
        return float(known.mean()) if len(known) else NAN


class FeatureCache(Generic[Features]):
    """Features of the images used last, with the time that each took."""

    def __init__(self, matcher: PairMatcher[Features], size: int = CACHED_IMAGES) -> None:
        self._matcher = matcher
        self._size = size
        self._features: OrderedDict[Hashable, tuple[Features, float]] = OrderedDict()

    def encode(self, key: Hashable, image: NDArray[Any]) -> tuple[Features, float]:
        """Return an image's features and the milliseconds they took when they were computed."""
        if key not in self._features:
            started = time.perf_counter()
            features = self._matcher.encode(image)
            self._features[key] = features, 1e3 * (time.perf_counter() - started)
        self._features.move_to_end(key)
        if len(self._features) > self._size:
            self._features.popitem(last=False)
        return self._features[key]


@dataclass(frozen=True, eq=False)
class MatchedPair:
    """A pair, its matches in the resized images and, where it has poses, the estimate.

    Attributes:
        reference: The resized reference image.
        query: The resized query image.
        matches: In pixels of the resized images.
        estimate: Of the relative pose; None for disparity pairs.
        result: The figures.

    """

    reference: ResizedImage
    query: ResizedImage
    matches: Matches
    estimate: EssentialPose | None
    result: PairResult


class PairEvaluator(Generic[Features]):
    """Evaluate one matcher; every matcher gets the same images and the same estimator."""

    def __init__(
        self,
        name: str,
        matcher: PairMatcher[Features],
        options: EvaluationOptions = EvaluationOptions(),
        condition: Condition = CLEAN,
    ) -> None:
        self.name = name
        self.options = options
        self.condition = condition
        self._matcher = matcher

    def evaluate(self, pair_set: PairSet, on_pair: Callable[[], None] = lambda: None) -> SetSummary:
        """Evaluate all pairs of a set.

        Args:
            pair_set: The pairs.
            on_pair: Called after each pair.

        Raises:
            DatasetError: If an image cannot be read.

        """
        cache = FeatureCache(self._matcher)
        self._warm_up(pair_set)
        results = []
        for index in range(len(pair_set)):
            results.append(self.match(pair_set, index, cache).result)
            on_pair()
        return SetSummary(pair_set.name, self.name, tuple(results))

    def match(
        self, pair_set: PairSet, index: int, cache: FeatureCache[Features] | None = None
    ) -> MatchedPair:
        """Match and measure one pair of a set."""
        cache = cache or FeatureCache(self._matcher)
        if isinstance(pair_set, PoseSet):
            return self._match_poses(pair_set, pair_set.pairs[index], cache)
        return self._match_disparity(open_middlebury(pair_set.folders[index]), cache)

    def _warm_up(self, pair_set: PairSet) -> None:
        """Match once, so that no timing contains what a matcher does only the first time."""
        if len(pair_set):
            self.match(pair_set, 0)

    def _match_poses(
        self, pair_set: PoseSet, pair: PosePair, cache: FeatureCache[Features]
    ) -> MatchedPair:
        views = [
            self._view(pair_set, index, query=query)
            for index, query in ((pair.reference, False), (pair.query, True))
        ]
        reference, query = (view.image for view in views)
        before, after = (view.original_T_view for view in views)
        pair = replace(
            pair, reference_T_query=inverse_transform(before) @ pair.reference_T_query @ after
        )
        # As a query, a frame may look otherwise than as a reference.
        keys = (pair.reference, False), (pair.query, self.condition.query_only)
        matches, milliseconds = self._run(cache, keys, reference, query)
        cv2.setRNGSeed(self.options.seed)
        points = matches.reference_points, matches.query_points
        cameras = reference.calibration, query.calibration
        estimate = estimate_pose(*points, *cameras, self.options.threshold)
        distances = epipolar_distances(*points, *cameras, pair.reference_T_query)
        result = PairResult(
            name=f'{pair.reference}-{pair.query}',
            matches=len(matches),
            inliers=int(estimate.inliers.sum()),
            **_pose_errors(estimate, pair),
            poselib_error=self._poselib_error(points, cameras, pair),
            precision=precision(distances, self.options.epipolar_limit),
            milliseconds=milliseconds,
        )
        return MatchedPair(reference, query, matches, estimate, result)

    def _poselib_error(
        self,
        points: tuple[NDArray[Any], NDArray[Any]],
        cameras: tuple[Camera, Camera],
        pair: PosePair,
    ) -> float:
        try:
            found = estimate_pose_by_poselib(*points, *cameras, self.options.threshold)
        except ImportError:
            return NAN
        return pose_error(found.reference_T_query, pair.reference_T_query)

    def _view(self, pair_set: PoseSet, index: int, *, query: bool) -> View:
        truth = pair_set.sequence[index]
        if truth.frame.camera is None:
            raise ValueError(f'{pair_set.name} has poses but no calibration')
        image = resize(truth.frame.image, self.options.longer_side, truth.frame.camera)
        return self.condition.view(image, truth, (pair_set.name, index), query)

    def _match_disparity(self, pair: DisparityPair, cache: FeatureCache[Features]) -> MatchedPair:
        reference = resize(pair.left, self.options.longer_side)
        query = resize(pair.right, self.options.longer_side)
        keys = (pair.name, 'left'), (pair.name, 'right')
        matches, milliseconds = self._run(cache, keys, reference, query)
        left = reference.to_original(matches.reference_points)
        right = query.to_original(matches.query_points)
        share = precision(
            disparity_errors(left, right, pair.disparity), self.options.disparity_limit
        )
        result = PairResult(
            name=pair.name, matches=len(matches), precision=share, milliseconds=milliseconds
        )
        return MatchedPair(reference, query, matches, None, result)

    def _run(
        self,
        cache: FeatureCache[Features],
        keys: tuple[Hashable, Hashable],
        reference: ResizedImage,
        query: ResizedImage,
    ) -> tuple[Matches, float]:
        """Match two images; return the matches and the milliseconds for all of it."""
        reference_features, reference_time = cache.encode(keys[0], reference.image)
        query_features, query_time = cache.encode(keys[1], query.image)
        started = time.perf_counter()
        matches = self._matcher.match(reference_features, query_features)
        matching_time = 1e3 * (time.perf_counter() - started)
        return matches, reference_time + query_time + matching_time


def _pose_errors(estimate: EssentialPose, pair: PosePair) -> dict[str, float]:
    """Return the errors of rotation, direction and pose, degrees, as fields of `PairResult`."""
    pose, true = estimate.reference_T_query, pair.reference_T_query
    if pose is None:
        return {'pose_error': float('inf')}
    return {
        'rotation_error': rotation_angle_error(pose[:3, :3], true[:3, :3]),
        'direction_error': direction_angle_error(pose[:3, 3], true[:3, 3]),
        'pose_error': pose_error(pose, true),
    }
