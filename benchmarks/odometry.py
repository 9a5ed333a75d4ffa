"""Odometry on sequences with known poses: `python benchmarks/odometry.py data/kitti_stereo ...`.

Whatever `loftr-ros evaluate` opens is tracked, in each mode that the sequence has images for. The
package's matcher and RootSIFT feed the same tracker and odometry; the ratio of their trajectory
errors stands below. Errors over segments are KITTI's, of lengths of 10 to 50 m from every frame on;
the absolute trajectory error is evo's, after alignment, with scale where the trajectory has none.
"""

from __future__ import annotations

import argparse
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from evo.core.metrics import APE, PoseRelation
from evo.core.trajectory import PosePath3D

from loftr_ros.data.datasets import MODES, open_sequence
from loftr_ros.data.errors import DatasetError
from loftr_ros.evaluation.matchers.peers import Keypoints, RootSift
from loftr_ros.evaluation.records.segments import segment_errors
from loftr_ros.frontend import (
    BaseOdometry,
    Session,
    SessionOptions,
    Step,
    TrackerOptions,
    TrackingResult,
)
from loftr_ros.geometry.quaternions import quaternion_from_rotation
from loftr_ros.geometry.rotations import rotation_vector, tangent_basis
from loftr_ros.geometry.transforms import inverse_transform
from loftr_ros.matching.matches import Matches
from loftr_ros.settings.matcher import load_matcher
from loftr_ros.settings.parameters import NodeParameters

Array = npt.NDArray[np.float64]
MATCHERS = 'loftr', 'rootsift'
LENGTHS = (10.0, 20.0, 30.0, 40.0, 50.0)
HEADER = (
    f'{"sequence":16} {"mode":6} {"matcher":9} {"frames":>6} {"segments %":>10} {"deg/m":>7} '
    f'{"ATE m":>7} {"ATE deg":>7} {"NEES":>6} {"median":>6} {"ms":>5} states'
)


class Peer:
    """RootSIFT for the tracker: its ratio of distances is no probability to be right."""

    def __init__(self) -> None:
        self._matcher = RootSift()

    def encode(
        self, image: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None = None
    ) -> Keypoints:
        if mask is not None:
            raise ValueError('this matcher takes no mask')
        return self._matcher.encode(image)

    def starting_at(
        self, features: Keypoints, points: npt.NDArray[np.float32]
    ) -> tuple[Keypoints, npt.NDArray[np.float32]]:
        return features, np.full_like(points, np.nan)

    def match(self, reference: Keypoints, query: Keypoints) -> Matches:
        found = self._matcher.match(reference, query)
        return replace(found, confidence=np.full(len(found), 0.8, np.float32))


@dataclass
class Run:
    """What one matcher gave on one sequence."""

    truth: list[Array] = field(default_factory=list)
    estimate: list[Array] = field(default_factory=list)
    nees: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    metric: bool = True

    def paths(self, start: int) -> tuple[Array, Array]:
        return np.stack(self.truth)[start:], np.stack(self.estimate)[start:]

    def trajectory_error(self, start: int) -> float:
        return absolute_errors(*self.paths(start), not self.metric)[0]

    def line(self, start: int) -> str:
        truth, estimate = self.paths(start)
        segments = segment_errors(truth, estimate, LENGTHS, step=1) if self.metric else None
        drift = f'{"-":>10} {"-":>7}'
        if segments is not None:
            drift = f'{segments["translation_percent"]:10.3f} {segments["rotation_deg_per_m"]:7.4f}'
        nees = f'{np.mean(self.nees[start:]):6.2f} {np.median(self.nees[start:]):6.2f}'
        states = ', '.join(f'{count} {name}' for name, count in self.states.most_common())
        shift, angle = absolute_errors(truth, estimate, not self.metric)
        return (
            f'{len(truth):6d} {drift} {shift:7.4f} {angle:7.3f} {nees} '
            f'{np.median(self.milliseconds):5.0f} {states}'
        )


def absolute_errors(truth: Array, estimate: Array, scaled: bool) -> tuple[float, float]:
    """Return the root mean square errors of position, m, and rotation, degrees."""
    reference, path = path_of(truth), path_of(estimate)
    path.align(reference, correct_scale=scaled)
    figures = []
    for relation in (PoseRelation.translation_part, PoseRelation.rotation_angle_deg):
        metric = APE(relation)
        metric.process_data((reference, path))
        figures.append(metric.get_all_statistics()['rmse'])
    return figures[0], figures[1]


def path_of(poses: Array) -> PosePath3D:
    # By quaternions: written with few digits, a true rotation matrix is no exact rotation.
    quaternions = np.stack([quaternion_from_rotation(pose[:3, :3]) for pose in poses])
    return PosePath3D(poses[:, :3, 3], np.roll(quaternions, 1, axis=1))


def normalized_error(result: TrackingResult, truth: Array) -> float:
    """Return the squared error over the covariance, by its degrees of freedom (6, 5 or 3)."""
    pose, covariance = result.pose.reference_T_query, result.pose.covariance
    if pose is None or covariance is None:
        return float('nan')
    free, shift = np.eye(6), truth[:3, 3] - pose[:3, 3]
    if not result.pose.metric:
        direction = pose[:3, 3]
        free = np.zeros((6, 5))
        free[3:, 2:] = np.eye(3)
        if direction.any():
            free[:3, :2] = tangent_basis(direction)
            shift = truth[:3, 3] / max(float(np.linalg.norm(truth[:3, 3])), 1e-12) - direction
        else:
            free = free[:, 2:]
            covariance = np.where(np.isfinite(covariance), covariance, 0.0)
    error = free.T @ np.concatenate([shift, rotation_vector(truth[:3, :3] @ pose[:3, :3].T)])
    spread = free.T @ covariance @ free
    return float(error @ np.linalg.solve(spread, error)) / free.shape[1]


def modes_of(folder: Path) -> list[str]:
    """Return the modes that a sequence has images for, the metric ones first."""
    found = []
    for mode in ('stereo', 'rgbd', 'mono'):
        try:
            open_sequence(folder, mode=mode)
        except DatasetError:
            continue
        found.append(mode)
    return found or ['mono']


def steps_of(
    folder: Path, mode: str, most: int | None, session: Session[Any]
) -> Iterator[tuple[Step, Array]]:
    for frame in itertools.islice(open_sequence(folder, mode=mode), most):
        if frame.world_T_camera is not None:
            yield session.process(frame.frame), frame.world_T_camera


def run(
    folder: Path,
    mode: str,
    matcher: Any,  # noqa: ANN401
    options: TrackerOptions,
    most: int | None,
) -> Run:
    session = Session(matcher, SessionOptions(options), odometry=BaseOdometry())
    found = Run()
    poses: dict[int, Array] = {}
    latest = np.eye(4)
    for step, truth in steps_of(folder, mode, most, session):
        result, estimate = step.result, step.estimate
        found.truth.append(truth)
        if result is not None:
            poses.setdefault(result.reference.stamp_ns, found.truth[0])
            poses[result.query.stamp_ns] = truth
            motion = inverse_transform(poses[result.reference.stamp_ns]) @ truth
            found.nees.append(normalized_error(result, motion))
            found.milliseconds.append(1e3 * result.seconds['total'])
            found.states[result.pose.state.name if estimate else f'{result.pose.state.name}*'] += 1
            if estimate is not None:
                latest = estimate.odom_T_base
                found.metric &= estimate.metric
        found.estimate.append(latest)
    found.nees = [value for value in found.nees if np.isfinite(value)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', nargs='+', type=Path, help='folders of sequences, or bags')
    parser.add_argument('--weights', default='lite', help='LoFTR weights to match with')
    parser.add_argument('--longer-side', type=int, default=640, help='0 for the full image, px')
    parser.add_argument('--reference', default='keyframe', choices=('keyframe', 'previous'))
    parser.add_argument('--start', type=int, default=0, help='frames that are not measured')
    parser.add_argument('--frames', type=int, help='at most so many of each sequence')
    parser.add_argument('--mode', action='append', choices=MODES)
    parser.add_argument('--matcher', action='append', choices=MATCHERS)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    options = TrackerOptions(reference=arguments.reference)
    parameters = NodeParameters().with_values(
        {'matcher.weights': arguments.weights, 'matcher.longer_side': arguments.longer_side}
    )
    print(HEADER)
    for folder in arguments.data:
        for mode in arguments.mode or modes_of(folder):
            errors = []
            for kind in arguments.matcher or MATCHERS:
                matcher = load_matcher(parameters) if kind == 'loftr' else Peer()
                found = run(folder, mode, matcher, options, arguments.frames)
                line = found.line(arguments.start)
                print(f'{folder.name:16} {mode:6} {kind:9} {line}', flush=True)
                errors.append(found.trajectory_error(arguments.start))
            if len(errors) == len(MATCHERS):
                print(
                    f'{"":16} {"":6} ATE of loftr by that of rootsift: {errors[0] / errors[1]:.2f}'
                )
    print('* poses that odometry could not go on by')


if __name__ == '__main__':
    main()
