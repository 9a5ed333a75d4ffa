"""Robust estimators side by side on real images: `python benchmarks/estimators.py data/kitti ...`.

The same matches (RootSIFT by default, or the package's own with `--weights`) go through PoseLib and
OpenCV: the robust estimate alone, and the whole relative pose with its refinement and covariance.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from loftr_ros.data.datasets import open_sequence
from loftr_ros.evaluation.matchers.peers import RootSift
from loftr_ros.evaluation.records.metrics import (
    direction_angle_error,
    pose_auc,
    rotation_angle_error,
)
from loftr_ros.geometry import (
    Camera,
    PoseState,
    RelativePose,
    TwoViewOptions,
    estimate_relative_pose,
)
from loftr_ros.geometry.constants import SHARP
from loftr_ros.geometry.robust import robust_estimator
from loftr_ros.geometry.rotations import rotation_vector, tangent_basis
from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.matches import Matches

Array = npt.NDArray[np.float64]
HEADER = (
    f'{"sequence":22} {"estimator":9} {"estimate":8} {"pairs":>5} {"rot med":>8} {"p90":>6} '
    f'{"dir med":>8} {"p90":>6}  {"AUC 5/10/20":>16} {"ms med":>7} {"p95":>6} '
    f'{"NEES":>7} states'
)


@dataclass(frozen=True, eq=False)
class Pair:
    """Matches of two frames, and the true motion between them."""

    matches: Matches
    camera: Camera
    reference_T_query: Array


@dataclass
class Row:
    """What is counted of one estimator."""

    rotation: list[float] = field(default_factory=list)
    direction: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    nees: list[float] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)

    def add(self, pose: Array | None, truth: Array, seconds: float, state: str) -> None:
        self.states[state] += 1
        self.milliseconds.append(1e3 * seconds)
        known = pose is not None and pose[:3, 3].any()
        self.rotation.append(
            180.0 if pose is None else rotation_angle_error(pose[:3, :3], truth[:3, :3])
        )
        self.direction.append(
            direction_angle_error(pose[:3, 3], truth[:3, 3])
            if pose is not None and known
            else 180.0
        )

    def line(self, sequence: str, estimator: str, estimate: str) -> str:
        auc = '/'.join(
            f'{100 * area:.1f}'
            for area in pose_auc(np.maximum(self.rotation, self.direction).tolist())
        )
        nees = f'{np.median(self.nees):7.2f}' if self.nees else f'{"-":>7}'
        states = ', '.join(f'{count} {name}' for name, count in self.states.most_common())
        return (
            f'{sequence:22} {estimator:9} {estimate:8} {len(self.rotation):5d} '
            f'{np.median(self.rotation):8.3f} {np.quantile(self.rotation, 0.9):6.2f} '
            f'{np.median(self.direction):8.2f} {np.quantile(self.direction, 0.9):6.2f}  {auc:>16} '
            f'{np.median(self.milliseconds):7.1f} {np.quantile(self.milliseconds, 0.95):6.1f} '
            f'{nees} {states}'
        )


def pairs_of(folder: Path, gap: int, matcher: Any) -> Iterator[Pair]:  # noqa: ANN401
    """Match each frame of a sequence to the one `gap` frames later."""
    earlier: list[tuple[Any, Any]] = []
    for truth in open_sequence(folder):
        earlier.append((truth, matcher.encode(truth.frame.image)))
        if len(earlier) <= gap:
            continue
        (first, first_features), (second, second_features) = earlier.pop(0), earlier[-1]
        if first.world_T_camera is None or second.world_T_camera is None:
            continue
        motion = np.linalg.inv(first.world_T_camera) @ second.world_T_camera
        yield Pair(matcher.match(first_features, second_features), first.frame.camera, motion)


def robust_alone(pair: Pair, options: TwoViewOptions) -> tuple[Array | None, float]:
    reference = pair.camera.normalize(pair.matches.reference_points)
    query = pair.camera.normalize(pair.matches.query_points)
    estimator = robust_estimator(options.estimator)
    start = time.process_time()
    found = estimator.relative_pose(reference, query, pair.camera.focal_length, SHARP, options.seed)
    seconds = time.process_time() - start
    if found is None:
        return None, seconds
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = found[0], found[1]
    return pose, seconds


def whole(pair: Pair, options: TwoViewOptions, trusted: bool) -> tuple[RelativePose, float]:
    matches = pair.matches
    start = time.process_time()
    pose = estimate_relative_pose(
        matches.reference_points,
        matches.query_points,
        pair.camera,
        pair.camera,
        matches.sigma if trusted else None,
        matches.confidence if trusted else None,
        options,
    )
    return pose, time.process_time() - start


def normalized_error(pose: RelativePose, truth: Array) -> float:
    """Return the squared error over the covariance, by its 5 degrees of freedom."""
    if pose.reference_T_query is None or pose.covariance is None:
        return float('nan')
    direction = pose.reference_T_query[:3, 3]
    rotvec = rotation_vector(truth[:3, :3] @ pose.reference_T_query[:3, :3].T)
    shift = truth[:3, 3] / np.linalg.norm(truth[:3, 3]) - direction
    free = np.zeros((6, 5))
    free[:3, :2], free[3:, 2:] = tangent_basis(direction), np.eye(3)
    error = free.T @ np.concatenate([shift, rotvec])
    return float(error @ np.linalg.solve(free.T @ pose.covariance @ free, error)) / 5


def compare(name: str, pairs: list[Pair], trusted: bool) -> None:
    for estimator in ('poselib', 'opencv'):
        options = TwoViewOptions(estimator=estimator)
        alone, refined = Row(), Row()
        for pair in pairs:
            truth = pair.reference_T_query
            estimate, seconds = robust_alone(pair, options)
            alone.add(estimate, truth, seconds, 'found' if estimate is not None else 'none')
            pose, seconds = whole(pair, options, trusted)
            refined.add(pose.reference_T_query, truth, seconds, pose.state.name)
            if pose.state is PoseState.OK:
                refined.nees.append(normalized_error(pose, truth))
        print(alone.line(name, estimator, 'robust'))
        print(refined.line(name, estimator, 'refined'), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', nargs='+', type=Path, help='folders of sequences, or bags')
    parser.add_argument('--gap', type=int, default=1, help='frames between the images of a pair')
    parser.add_argument('--weights', help="LoFTR weights to match with, such as 'lite'")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    matcher = Matcher(arguments.weights) if arguments.weights else RootSift()
    print(HEADER)
    for folder in arguments.data:
        pairs = list(pairs_of(folder, arguments.gap, matcher))
        if not pairs:
            print(f'{folder}: no pair of frames with known poses')
            continue
        compare(f'{folder.name} +{arguments.gap}', pairs, bool(arguments.weights))


if __name__ == '__main__':
    main()
