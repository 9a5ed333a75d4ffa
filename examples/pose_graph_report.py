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
COLOURS = {BEFORE: 'tab:orange', AFTER: 'tab:blue'}
LONGEST = 10
"""Paths longer by this than they are wide are drawn wider than they are."""

MIN_POSES = 3
"""Fewer positions determine no alignment."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a pose graph holds, and what it is worth.

    Attributes:
        keyframes: Number of keyframes.
        loops: Number of loop closures.
        believed: Those of them that the kernel leaves more than half of their weight.
        gaps: How often the chain was broken.
        length_m: Length of the path, m.
        ate_before_m: Root mean square of the position errors without loop closures, after alignment
            (S. Umeyama, 1991, without scale), m; None without truth.
        ate_after_m: The same with loop closures, m.
        end_before_m: Position error of the last keyframe without loop closures where the first has
            none, m; None without truth.
        end_after_m: The same with loop closures, m.
    """

    keyframes: int
    loops: int
    believed: int
    gaps: int
    length_m: float
    ate_before_m: float | None = None
    ate_after_m: float | None = None
    end_before_m: float | None = None
    end_after_m: float | None = None


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
        keyframes=len(graph),
        loops=len(loops),
        believed=sum(loop.weight > 0.5 for loop in loops),
        gaps=graph.gaps,
        length_m=float(after.path_length),
        **({} if truth is None else errors(before, after, truth)),
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, each in zip((BEFORE, AFTER), (before, after), strict=True):
        file_interface.write_tum_trajectory_file(str(folder / name), each)
    (folder / SUMMARY).write_text(json.dumps(asdict(summary), indent=2) + '\n', encoding='utf-8')
    _draw(folder / PICTURE, graph, truth, summary)
    return summary


def errors(
    before: PoseTrajectory3D, after: PoseTrajectory3D, truth: PoseTrajectory3D
) -> dict[str, float]:
    """Return the errors of `Summary` without and with loop closures."""
    return {
        'ate_before_m': absolute_error(before, truth),
        'ate_after_m': absolute_error(after, truth),
        'end_before_m': end_error(before, truth),
        'end_after_m': end_error(after, truth),
    }


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


def end_error(estimate: PoseTrajectory3D, truth: PoseTrajectory3D) -> float:
    """Return the position error of the last pose where the first pose has none, m.

    Raises:
        ValueError: They share too few stamps.
    """
    reference, estimate = _associate(truth, estimate)
    estimate.align_origin(reference)
    return float(np.linalg.norm(estimate.positions_xyz[-1] - reference.positions_xyz[-1]))


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
    """Draw the paths from above and, where the truth is known, their errors over time."""
    paths = {
        BEFORE: trajectory(graph.stamps, graph.chained_poses),
        AFTER: trajectory(graph.stamps, graph.poses),
    }
    labels = {BEFORE: 'before', AFTER: 'after'}
    figure = new_figure(7.0, 5.0 if truth is None else 7.5)
    figure.suptitle(f'{summary.keyframes} keyframes, {summary.loops} loop closures')
    heights = (1,) if truth is None else (2, 1)
    rows = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    if truth is not None:
        truth = _associate(truth, paths[AFTER])[0]
        # The first poses of all are one, so that the drift shows.
        truth.align_origin(paths[AFTER])
        labels[BEFORE] += f': ATE {summary.ate_before_m:.3f} m, end {summary.end_before_m:.3f} m'
        labels[AFTER] += f': ATE {summary.ate_after_m:.3f} m, end {summary.end_after_m:.3f} m'
        _draw_errors(rows[1], paths, truth)
    _draw_paths(rows[0], graph, paths, truth, labels)
    save_figure(figure, path)


def _draw_paths(
    axes: Axes,
    graph: PoseGraph,
    paths: dict[str, PoseTrajectory3D],
    truth: PoseTrajectory3D | None,
    labels: dict[str, str],
) -> None:
    places = (paths[AFTER] if truth is None else truth).positions_xyz
    x, y = sorted(np.argsort(-np.ptp(places, axis=0), kind='stable')[:2].tolist())
    if truth is not None:
        axes.plot(places[:, x], places[:, y], label='truth', **TRUTH_STYLE)
    for name, path in paths.items():
        values = path.positions_xyz
        axes.plot(values[:, x], values[:, y], '.-', color=COLOURS[name], label=labels[name])
    stands = dict(zip(graph.stamps, graph.poses[:, :3, 3], strict=True))
    for index, loop in enumerate(graph.loops):
        ends = np.array([stands[loop.reference_ns], stands[loop.query_ns]])
        label = 'loop closures' if index == 0 else None
        axes.plot(ends[:, x], ends[:, y], color='tab:green', linewidth=1.5, label=label)
    axes.set(xlabel=f'{AXIS_NAMES[x]} [m]', ylabel=f'{AXIS_NAMES[y]} [m]')
    across, along = np.ptp(places[:, [x, y]], axis=0)
    if max(across, along) < LONGEST * min(across, along):
        axes.set_aspect('equal', adjustable='datalim')
    axes.grid(alpha=0.3)
    axes.legend()


def _draw_errors(axes: Axes, paths: dict[str, PoseTrajectory3D], truth: PoseTrajectory3D) -> None:
    for name, path in paths.items():
        path = _associate(truth, path)[1]
        error = np.linalg.norm(path.positions_xyz - truth.positions_xyz, axis=1)
        axes.plot(path.timestamps - path.timestamps[0], error, '.-', color=COLOURS[name])
    axes.set(xlabel='time [s]', ylabel='position error [m]')
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
