"""What a pose graph did to a trajectory: files, errors against the truth by evo, and a picture."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from evo.core.metrics import APE, PoseRelation
from evo.core.sync import associate_trajectories
from evo.core.trajectory import PoseTrajectory3D
from evo.tools import file_interface
from matplotlib.axes import Axes
from pose_graph import PoseGraph

from loftr_ros.visualization.trajectories import AXIS_NAMES, TRUTH_STYLE, new_figure, save_figure

Array = npt.NDArray[np.float64]

PICTURE, SUMMARY = 'trajectory.png', 'summary.json'
BEFORE, AFTER = 'before.tum', 'after.tum'
MIN_POSES = 3
"""Fewer positions determine no alignment."""


@dataclass(frozen=True)
class Summary:
    """What a pose graph holds, and what it is worth.

    Attributes:
        keyframes: Number of keyframes.
        loops: Number of loop closures.
        believed: Those of them that the kernel leaves more than half of their weight.
        gaps: How often the chain was broken.
        length_m: Length of the way, m.
        ate_before_m: Root mean square of the position errors without loop closures, after alignment
            (S. Umeyama, 1991, without scale), m; None without truth.
        ate_after_m: The same with loop closures, m.
    """

    keyframes: int
    loops: int
    believed: int
    gaps: int
    length_m: float
    ate_before_m: float | None = None
    ate_after_m: float | None = None


def write_report(graph: PoseGraph, folder: Path, truth_file: Path | None = None) -> Summary:
    """Write picture, summary and trajectories of the camera before and after into a folder.

    Args:
        graph: At least one keyframe.
        folder: Made where it is missing.
        truth_file: True poses of the camera in the format of TUM; their frame does not matter.

    Raises:
        ValueError: There is no keyframe, the truth cannot be read or shares too few stamps.
    """
    if not len(graph):
        raise ValueError('there is no keyframe yet')
    before = trajectory(graph.stamps, graph.chained_poses)
    after = trajectory(graph.stamps, graph.poses)
    truth = None if truth_file is None else read_truth(truth_file)
    loops = graph.loops
    summary = Summary(
        len(graph),
        len(loops),
        sum(loop.weight > 0.5 for loop in loops),
        graph.gaps,
        float(after.path_length),
        *([] if truth is None else [absolute_error(each, truth) for each in (before, after)]),
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, each in ((BEFORE, before), (AFTER, after)):
        file_interface.write_tum_trajectory_file(str(folder / name), each)
    (folder / SUMMARY).write_text(json.dumps(asdict(summary), indent=2) + '\n', encoding='utf-8')
    _draw(folder / PICTURE, graph, truth, summary)
    return summary


def trajectory(stamps: Sequence[int], poses: Array) -> PoseTrajectory3D:
    """Make evo's trajectory of times (ns) and poses (N, 4, 4)."""
    return PoseTrajectory3D(poses_se3=list(poses), timestamps=np.array(stamps, np.float64) / 1e9)


def read_truth(path: Path) -> PoseTrajectory3D:
    """Read a file in the format of TUM.

    Raises:
        ValueError: It is missing or malformed.
    """
    try:
        return file_interface.read_tum_trajectory_file(str(path))
    except (OSError, file_interface.FileInterfaceException) as error:
        raise ValueError(f'ground truth {path} cannot be read: {error}') from error


def absolute_error(estimate: PoseTrajectory3D, truth: PoseTrajectory3D) -> float:
    """Return the root mean square of the position errors after alignment, m.

    Raises:
        ValueError: They share too few stamps.
    """
    reference, estimate = _associate(truth, estimate)
    estimate.align(reference)
    metric = APE(PoseRelation.translation_part)
    metric.process_data((reference, estimate))
    return float(metric.get_all_statistics()['rmse'])


def _associate(
    truth: PoseTrajectory3D, estimate: PoseTrajectory3D
) -> tuple[PoseTrajectory3D, PoseTrajectory3D]:
    times = truth.timestamps
    common = np.abs(times[:, None] - estimate.timestamps).min(axis=0) < 0.01
    if np.count_nonzero(common) < MIN_POSES:
        raise ValueError(
            f'ground truth from {times[0]:.3f} to {times[-1]:.3f} s shares fewer than {MIN_POSES} '
            f'stamps with the keyframes from {estimate.timestamps[0]:.3f} s on'
        )
    return associate_trajectories(copy.deepcopy(truth), copy.deepcopy(estimate))


def _draw(path: Path, graph: PoseGraph, truth: PoseTrajectory3D | None, summary: Summary) -> None:
    before, after = (
        trajectory(graph.stamps, poses) for poses in (graph.chained_poses, graph.poses)
    )
    if truth is not None:
        # The first poses of all are one, so that the drift shows.
        truth = copy.deepcopy(_associate(truth, after)[0])
        truth.align_origin(after)
    places = after.positions_xyz if truth is None else truth.positions_xyz
    x, y = sorted(np.argsort(-np.ptp(places, axis=0), kind='stable')[:2].tolist())
    figure = new_figure(8.0, 6.0)
    axes = figure.add_subplot()
    if truth is not None:
        axes.plot(places[:, x], places[:, y], label='truth', **TRUTH_STYLE)
    lines = (
        (before, 'tab:orange', 'before', summary.ate_before_m),
        (after, 'tab:blue', 'after', summary.ate_after_m),
    )
    for each, colour, name, error in lines:
        label = name if error is None else f'{name}: ATE {error:.3f} m'
        values = each.positions_xyz
        axes.plot(values[:, x], values[:, y], '.-', color=colour, label=label)
    _draw_loops(axes, graph, x, y)
    title = f'{summary.keyframes} keyframes, {summary.loops} loop closures'
    axes.set(title=title, xlabel=f'{AXIS_NAMES[x]} [m]', ylabel=f'{AXIS_NAMES[y]} [m]')
    axes.set_aspect('equal', adjustable='datalim')
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, path)


def _draw_loops(axes: Axes, graph: PoseGraph, x: int, y: int) -> None:
    places = dict(zip(graph.stamps, graph.poses[:, :3, 3], strict=True))
    for index, loop in enumerate(graph.loops):
        ends = np.array([places[loop.reference_ns], places[loop.query_ns]])
        label = 'loop closures' if index == 0 else None
        axes.plot(ends[:, x], ends[:, y], color='tab:green', linewidth=1, label=label)
