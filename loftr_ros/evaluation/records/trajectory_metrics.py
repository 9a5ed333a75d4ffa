"""Errors of trajectories by evo, and their files in the formats of TUM and KITTI."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from loftr_ros.evaluation.records.frame_records import matrix_of
from loftr_ros.evaluation.records.segments import segment_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from evo.core.metrics import PE, PathPair, PoseRelation
    from evo.core.trajectory import PoseTrajectory3D

    from loftr_ros.evaluation.records.results import FrameRecord, Values

    Stamped = tuple[int, Values]

RPE_DISTANCES_M = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
MIN_POSES = 3
"""Fewer positions do not determine an alignment."""
STATISTICS = ('rmse', 'mean', 'median', 'std', 'min', 'max')


def estimated_poses(records: Iterable[FrameRecord]) -> list[Stamped]:
    """Return stamps and poses of the frames that the trajectory has."""
    return [(r.stamp_ns, r.odom_T_base) for r in records if r.odom_T_base is not None]


def true_poses(records: Iterable[FrameRecord]) -> list[Stamped]:
    """Return stamps and true poses of the frames that have one."""
    return [(r.stamp_ns, r.world_T_camera) for r in records if r.world_T_camera is not None]


def trajectory_metrics(records: Sequence[FrameRecord]) -> dict[str, Any] | None:
    """Compare the trajectory with the truth at the frames that have both.

    Absolute errors are those after the alignment of S. Umeyama (1991), with scale where the
    trajectory's is unknown; relative ones over distances along the true path (Sturm et al., IROS
    2012; Zhang and Scaramuzza, IROS 2018). Both are computed by evo.

    Returns:
        The figures that docs/evaluation.md lists; None if fewer than three frames have both, or the
        camera did not move or only along one line, where no alignment is determined.

    """
    both = [r for r in records if r.odom_T_base is not None and r.world_T_camera is not None]
    if len(both) < MIN_POSES:
        return None
    estimate, truth = evo_trajectory(estimated_poses(both)), evo_trajectory(true_poses(both))
    if truth.path_length < 1e-3 or estimate.path_length < 1e-9:
        return None
    from evo.core.geometry import GeometryException
    from evo.core.metrics import APE, PoseRelation

    metric = all(r.pose.metric for r in both if r.pose.state == 'ok')
    # On a straight path the alignment of positions leaves the roll open: attitudes start aligned.
    started = copy.deepcopy(estimate)
    started.align_origin(truth)
    try:
        scale = copy.deepcopy(estimate).align(truth, correct_scale=True)[2]
        estimate.align(truth, correct_scale=not metric)
    except GeometryException:  # all positions lie on one line
        return None
    pair = truth, estimate
    return {
        'poses': len(both),
        'gaps': sum(record.gap for record in records),
        'length_m': float(truth.path_length),
        'alignment': 'se3' if metric else 'sim3',
        'scale': float(scale),
        'ate_m': statistics(APE(PoseRelation.translation_part), pair),
        'ate_deg': statistics(APE(PoseRelation.rotation_angle_deg), (truth, started)),
        'rpe': [row for distance in RPE_DISTANCES_M if (row := _relative(distance, pair))],
        'segments': segment_errors(np.stack(truth.poses_se3), np.stack(estimate.poses_se3)),
    }


def evo_trajectory(poses: Sequence[Stamped]) -> PoseTrajectory3D:
    """Make evo's trajectory of stamps and poses."""
    from evo.core.trajectory import PoseTrajectory3D

    values = np.array([values for _, values in poses], np.float64).reshape(-1, 7)
    return PoseTrajectory3D(
        positions_xyz=values[:, :3],
        orientations_quat_wxyz=np.roll(values[:, 3:], 1, axis=1),
        timestamps=np.array([stamp / 1e9 for stamp, _ in poses], np.float64),
    )


def write_trajectory(stem: Path, poses: Sequence[Stamped]) -> None:
    """Write `stem`.tum (seconds, x y z, quaternion x y z w) and `stem`.kitti (3 x 4 by rows).

    The stamps are written from their nanoseconds, as a double does not hold them.
    """
    rows = [
        f'{stamp // 10**9}.{stamp % 10**9:09d} {" ".join(map(repr, values))}\n'
        for stamp, values in poses
    ]
    stem.with_suffix('.tum').write_text(''.join(rows), encoding='utf-8')
    matrices = (matrix_of(values)[:3].ravel().tolist() for _, values in poses)
    rows = [' '.join(map(repr, matrix)) + '\n' for matrix in matrices]
    stem.with_suffix('.kitti').write_text(''.join(rows), encoding='utf-8')


def statistics(metric: PE, pair: PathPair) -> dict[str, float]:
    """Return the statistics of an error of evo."""
    metric.process_data(pair)
    values = metric.get_all_statistics()
    return {name: float(values[name]) for name in STATISTICS}


def _relative(distance: float, pair: PathPair) -> dict[str, Any] | None:
    """Return the relative errors over a distance, or None where the path has no such pair."""
    from evo.core.filters import FilterException
    from evo.core.metrics import RPE, PoseRelation, Unit

    def rpe(relation: PoseRelation) -> RPE:
        return RPE(relation, distance, Unit.meters, all_pairs=True, pairs_from_reference=True)

    try:
        translation = rpe(PoseRelation.translation_part)
        return {
            'distance_m': distance,
            'translation_m': statistics(translation, pair),
            'rotation_deg': statistics(rpe(PoseRelation.rotation_angle_deg), pair),
            'pairs': len(translation.error),
        }
    except FilterException:
        return None
