"""Odometry on sequences with known poses: `python benchmarks/odometry.py data`.

The folder holds `kitti_stereo` (run in the mode stereo), `sevenscenes` (rgbd) and `euroc_mh05`
(mono); those that are missing are left out. The package's matcher and RootSIFT feed the same
tracker and odometry. Errors over segments are KITTI's, of lengths of 10 to 50 m from every frame
on; the absolute trajectory error is evo's, after alignment, with scale where the trajectory has
none.
"""

from __future__ import annotations

import argparse
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

from loftr_ros.data.datasets import open_sequence
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
SEQUENCES = {'kitti_stereo': 'stereo', 'sevenscenes': 'rgbd', 'euroc_mh05': 'mono'}
LENGTHS = (10.0, 20.0, 30.0, 40.0, 50.0)
HEADER = (
    f'{"sequence":13} {"mode":6} {"matcher":9} {"frames":>6} {"segments %":>10} {"deg/m":>7} '
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

    def line(self, start: int) -> str:
        truth, estimate = np.stack(self.truth)[start:], np.stack(self.estimate)[start:]
        segments = segment_errors(truth, estimate, LENGTHS, step=1) if self.metric else None
        drift = f'{"-":>10} {"-":>7}'
        if segments is not None:
            drift = f'{segments["translation_percent"]:10.3f} {segments["rotation_deg_per_m"]:7.4f}'
        nees = f'{np.mean(self.nees[start:]):6.2f} {np.median(self.nees[start:]):6.2f}'
        states = ', '.join(f'{count} {name}' for name, count in self.states.most_common())
        return (
            f'{len(truth):6d} {drift} {absolute_errors(truth, estimate, not self.metric)} {nees} '
            f'{np.median(self.milliseconds):5.0f} {states}'
        )


def absolute_errors(truth: Array, estimate: Array, scaled: bool) -> str:
    reference, path = path_of(truth), path_of(estimate)
    path.align(reference, correct_scale=scaled)
    figures = []
    for relation in (PoseRelation.translation_part, PoseRelation.rotation_angle_deg):
        metric = APE(relation)
        metric.process_data((reference, path))
        figures.append(metric.get_all_statistics()['rmse'])
    return f'{figures[0]:7.4f} {figures[1]:7.3f}'


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


def steps_of(folder: Path, mode: str, session: Session[Any]) -> Iterator[tuple[Step, Array]]:
    for frame in open_sequence(folder, mode=mode):
        if frame.world_T_camera is not None:
            yield session.process(frame.frame), frame.world_T_camera


def run(folder: Path, mode: str, matcher: Any, options: TrackerOptions) -> Run:  # noqa: ANN401
    session = Session(matcher, SessionOptions(options), odometry=BaseOdometry())
    found = Run()
    poses: dict[int, Array] = {}
    latest = np.eye(4)
    for step, truth in steps_of(folder, mode, session):
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
    parser.add_argument('data', type=Path, help='folder of the sequences')
    parser.add_argument('--weights', default='lite', help='LoFTR weights to match with')
    parser.add_argument('--longer-side', type=int, default=640, help='0 for the full image, px')
    parser.add_argument('--reference', default='keyframe', choices=('keyframe', 'previous'))
    parser.add_argument('--start', type=int, default=0, help='frames that are not measured')
    parser.add_argument('--sequence', action='append', choices=tuple(SEQUENCES))
    parser.add_argument('--matcher', action='append', choices=('loftr', 'rootsift'))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    options = TrackerOptions(reference=arguments.reference)
    parameters = NodeParameters().with_values(
        {'matcher.weights': arguments.weights, 'matcher.longer_side': arguments.longer_side}
    )
    print(HEADER)
    for name in arguments.sequence or SEQUENCES:
        folder = arguments.data / name
        for kind in arguments.matcher or ('loftr', 'rootsift'):
            if not folder.is_dir():
                continue
            matcher = load_matcher(parameters) if kind == 'loftr' else Peer()
            found = run(folder, SEQUENCES[name], matcher, options)
            print(
                f'{name:13} {SEQUENCES[name]:6} {kind:9} {found.line(arguments.start)}', flush=True
            )
    print('* poses that odometry could not go on by')


if __name__ == '__main__':
    main()
