"""Figures of a run of the demo: latency, states, errors, and the chained trajectory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from loftr_ros.evaluation.records.metrics import direction_angle_error, rotation_angle_error
from loftr_ros.geometry import PoseState
from loftr_ros.geometry.transforms import inverse_transform, make_transform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from loftr_ros.evaluation.demo.recording import PairResult

    Poses = Mapping[int, NDArray[np.float64]]

ROTATION_LIMIT, DIRECTION_LIMIT = 1.0, 10.0


@dataclass(frozen=True, eq=False)
class PairErrors:
    """Errors of the relative poses, one entry per result; NaN where there is none to speak of.

    Attributes:
        rotation: (N,) angles, degrees.
        direction: (N,) angles between the directions of translation, degrees; only for state OK.
        known: bool (N,), whether the true motion is known.

    """

    rotation: NDArray[np.float64]
    direction: NDArray[np.float64]
    known: NDArray[np.bool_]

    @property
    def good(self) -> NDArray[np.bool_]:
        """Whether rotation and direction are both within their limits, bool (N,)."""
        # Comparisons with NaN are False: a pose that is missing is not good.
        return (self.rotation < ROTATION_LIMIT) & (self.direction < DIRECTION_LIMIT)


@dataclass(frozen=True, eq=False)
class Chain:
    """Trajectory of relative poses put one behind the other.

    Attributes:
        poses: Time of an image, ns -> pose of the camera in the world (4, 4).
        restarts: Times of images (ns) where the chain was broken and starts again at the truth.

    """

    poses: Poses
    restarts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Percentiles:
    """Median and 95th percentile; NaN of nothing."""

    p50: float
    p95: float

    @classmethod
    def of(cls, values: Sequence[float] | NDArray[Any]) -> Percentiles:
        """Take them of the values that are not NaN."""
        known = np.asarray(values, np.float64)
        known = known[~np.isnan(known)]
        if not known.size:
            return cls(float('nan'), float('nan'))
        p50, p95 = np.percentile(known, [50, 95])
        return cls(float(p50), float(p95))


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Errors of the relative poses against the truth.

    Attributes:
        results: Results whose true motion is known.
        rotation: Errors of rotation of all poses, degrees.
        direction: Errors of the direction of translation of the poses with state OK, degrees.
        rotation_share: Share of the results with a rotation error below `ROTATION_LIMIT`.
        direction_share: Share of the results with a direction error below `DIRECTION_LIMIT`.
        good_share: Share of the results with both.
        restarts: How often the chain of poses broke.
        drift: Distance of the end of the chain from the truth, and length of the path, m.

    """

    results: int
    rotation: Percentiles
    direction: Percentiles
    rotation_share: float
    direction_share: float
    good_share: float
    restarts: int
    drift: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class ImageCounts:
    """What became of the images.

    Attributes:
        sent: Images that were sent.
        sent_rate: Images per second, Hz.
        received: Images that the node received.
        processed: Images that the node came to a result with (the first one is the reference).
        dropped: Images that a newer one replaced before their turn.
        refused: Images that the node refused.
        errors: Images that ended in an unexpected error of the node.

    """

    sent: int
    sent_rate: float
    received: int
    processed: int
    dropped: int
    refused: int
    errors: int

    @property
    def lost(self) -> int:
        """Images that never came to the node."""
        return max(0, self.sent - self.received)

    @property
    def ignored(self) -> int:
        """Images that the node received and left out, as those without calibration."""
        used = self.processed + self.dropped + self.refused + self.errors
        return max(0, self.received - used)


@dataclass(frozen=True, kw_only=True)
class ResultFigures:
    """Figures of the relative poses.

    Attributes:
        results: Relative poses that the recorder has.
        rate: Results per second, Hz.
        latency: From publishing an image to its pose at the recorder, s.
        matches: Per result.
        inliers: Per result.
        states: How often each state came out.
        keyframes: How often an image became the new reference.

    """

    results: int
    rate: float
    latency: Percentiles
    matches: Percentiles
    inliers: Percentiles
    states: dict[str, int]
    keyframes: int


@dataclass(frozen=True, kw_only=True)
class Computation:
    """What the node computed with.

    Attributes:
        steps: Mean time of each step in the node, ms.
        weights: Name of the weights.
        weights_hash: SHA-256 of their file.
        device: Where the node computed.
        settings: What else the run depends on.

    """

    steps: dict[str, float] = field(default_factory=dict)
    weights: str = ''
    weights_hash: str = ''
    device: str = ''
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What the demo found.

    Attributes:
        source: Name of the sequence.
        size: Width and height of the images, px.
        images: What became of the images.
        poses: Figures of the relative poses.
        accuracy: None where the true motion is not known.
        computation: What the node computed with.

    """

    source: str
    size: tuple[int, int]
    images: ImageCounts
    poses: ResultFigures
    accuracy: Accuracy | None
    computation: Computation = field(default_factory=Computation)


def true_motion(truth: Poses, result: PairResult) -> NDArray[np.float64] | None:
    """Return the true pose (4, 4) of the query in the reference; None where it is unknown."""
    if result.reference_ns not in truth or result.query_ns not in truth:
        return None
    return inverse_transform(truth[result.reference_ns]) @ truth[result.query_ns]


def pair_errors(results: Sequence[PairResult], truth: Poses) -> PairErrors:
    """Compare relative poses with the truth between the same two images."""
    rotation, direction = np.full((2, len(results)), np.nan)
    known = np.zeros(len(results), np.bool_)
    for index, result in enumerate(results):
        true = true_motion(truth, result)
        known[index] = true is not None
        pose = result.reference_T_query
        if true is None or pose is None:
            continue
        rotation[index] = rotation_angle_error(pose[:3, :3], true[:3, :3])
        if result.state == PoseState.OK.name:
            direction[index] = direction_angle_error(pose[:3, 3], true[:3, 3])
    return PairErrors(rotation, direction, known)


def accuracy(errors: PairErrors, chain: Chain, truth: Poses) -> Accuracy | None:
    """Summarize errors; None where no true motion is known."""
    count = int(errors.known.sum())
    if not count:
        return None
    return Accuracy(
        results=count,
        rotation=Percentiles.of(errors.rotation),
        direction=Percentiles.of(errors.direction),
        rotation_share=float((errors.rotation < ROTATION_LIMIT).sum() / count),
        direction_share=float((errors.direction < DIRECTION_LIMIT).sum() / count),
        good_share=float(errors.good.sum() / count),
        restarts=len(chain.restarts),
        drift=chain_drift(chain, truth),
    )


def chain_poses(results: Sequence[PairResult], truth: Poses) -> Chain:
    """Put relative poses one behind the other, each with the length of the true translation.

    A relative pose to a reference whose own pose failed has nothing to hold on to: there the chain
    starts again, at the true pose of that reference.
    """
    poses: dict[int, NDArray[np.float64]] = {}
    restarts: list[int] = []
    for result in results:
        true, pose = true_motion(truth, result), result.reference_T_query
        if true is None or pose is None:
            continue
        if result.reference_ns not in poses:
            if poses:
                restarts.append(result.reference_ns)
            poses[result.reference_ns] = np.asarray(truth[result.reference_ns])
        length = np.linalg.norm(true[:3, 3]) / max(float(np.linalg.norm(pose[:3, 3])), 1e-12)
        step = make_transform(pose[:3, :3], pose[:3, 3] * length)
        poses[result.query_ns] = poses[result.reference_ns] @ step
    return Chain(dict(sorted(poses.items())), tuple(restarts))


def chain_drift(chain: Chain, truth: Poses) -> tuple[float, float] | None:
    """Return how far the end of the chain is from the truth, and how long the path was, m."""
    stamps = sorted(chain.poses)
    if not stamps:
        return None
    path = [truth[stamp][:3, 3] for stamp in sorted(truth) if stamps[0] <= stamp <= stamps[-1]]
    length = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
    error = np.linalg.norm(chain.poses[stamps[-1]][:3, 3] - truth[stamps[-1]][:3, 3])
    return float(error), float(length)


def latencies(results: Sequence[PairResult], sent: Mapping[int, int]) -> NDArray[np.float64]:
    """Return the time from publishing each image to the arrival of its result (N,), s."""
    values = [
        (result.arrival_ns - sent[result.query_ns]) / 1e9 if result.query_ns in sent else np.nan
        for result in results
    ]
    return np.array(values, np.float64)


def result_rate(results: Sequence[PairResult], sent: Mapping[int, int]) -> float:
    """Return results per second from the first image sent to the last result, Hz."""
    if not results or not sent:
        return 0.0
    seconds = (results[-1].arrival_ns - min(sent.values())) / 1e9
    return len(results) / seconds if seconds > 0 else 0.0


def worst_result(results: Sequence[PairResult], errors: PairErrors) -> int:
    """Return the index of the worst result: no pose, then the largest error, then few inliers."""

    def badness(index: int) -> tuple[bool, float, int]:
        worst = np.nan_to_num([errors.rotation[index], errors.direction[index] / 10], nan=0.0).max()
        result = results[index]
        return result.reference_T_query is None, float(worst), -result.inliers

    return max(range(len(results)), key=badness)


def count_states(results: Sequence[PairResult]) -> dict[str, int]:
    """Count the states, the most frequent one first."""
    return dict(Counter(result.state for result in results).most_common())
