"""A live run beside the replay of its bag: what it left out, how late it was, how they agree."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from loftr_ros.evaluation.records.frame_records import matrix_of
from loftr_ros.evaluation.records.summaries import summarize
from loftr_ros.evaluation.records.trajectory_metrics import (
    MIN_POSES,
    estimated_poses,
    evo_trajectory,
    trajectory_metrics,
)
from loftr_ros.geometry.transforms import inverse_transform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evo.core.trajectory import PoseTrajectory3D
    from numpy.typing import ArrayLike, NDArray

    from loftr_ros.evaluation.live.results import LiveRecords
    from loftr_ros.evaluation.records.results import FrameRecord

    Array = NDArray[np.float64]

COUNTERS = ('received', 'processed', 'dropped', 'refused', 'errors')
MEDIANS = ('matches', 'inliers', 'inlier_ratio', 'residual_px')
LATENCY_PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True, eq=False)
class LiveRun:
    """One time that the bag was played.

    Attributes:
        name: Its name, also that of its sequence.
        live: What the node made of it.
        sent: Time of each image -> when it was published, ns since 1970.
        counters: What the node counted, by `COUNTERS`.
        lost: Messages of each topic that were published and that the node did not receive.

    """

    name: str
    live: LiveRecords
    sent: Mapping[int, int]
    counters: Mapping[str, int]
    lost: Mapping[str, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class Agreement:
    """Two trajectories at the frames that both have.

    Attributes:
        indices: Places of the frames in the bag, (N,).
        replayed: Positions (N, 3) of the replay.
        live: Positions (N, 3) of the live run, aligned.
        position: Distances (N,), in the replay's unit.
        rotation_deg: Angles (N,) between the attitudes.
        scale: What the live run's unit was multiplied with.
        path_length: Length of the replay's path.

    """

    indices: NDArray[np.int64]
    replayed: Array
    live: Array
    position: Array
    rotation_deg: Array
    scale: float
    path_length: float


def compare_live(run: LiveRun, replayed: Sequence[FrameRecord], *, metric: bool) -> dict[str, Any]:
    """Return the figures that docs/evaluation.md lists for one time that the bag was played."""
    live = run.live.records
    common = {record.index for record in live}
    both = [record for record in replayed if record.index in common]
    sent = sorted(run.sent.values())
    seconds = (sent[-1] - sent[0]) / 1e9 if sent else 0.0
    agreement = agree(replayed, live, metric=metric)
    return {
        'name': run.name,
        'sent': len(sent),
        'sent_hz': (len(sent) - 1) / seconds if seconds > 0 else None,
        'results': len(run.live.latencies),
        'results_hz': (len(run.live.latencies) - 1) / seconds if seconds > 0 else None,
        'frames': {'replay': _used(replayed), 'live': len(live)},
        'left_out': left_out(run),
        'lost_messages': dict(run.lost),
        'longest_gap': longest_gap(replayed, common),
        'keyframes': {'replay': _keyframes(replayed), 'live': _keyframes(live)},
        'latency_s': latency(list(run.live.latencies.values())),
        'states': {'replay': _states(replayed), 'live': _states(live)},
        'medians': _medians(replayed, live),
        'agreement': None if agreement is None else _figures(agreement, metric=metric),
        'ate_m': {
            'replay': _ate(replayed),
            'live': _ate(live),
            'replay_at_the_same_frames': _ate(both),
        },
    }


def left_out(run: LiveRun) -> dict[str, int]:
    """Say where images that were published did not come to a result.

    Returns:
        `dropped` for a newer one, `lost` before the node received them, `refused`, `errors`, and
        `waiting` for a calibration or for the other image of their time.

    """
    counts = run.counters
    done = counts['processed'] + counts['dropped'] + counts['refused'] + counts['errors']
    return {
        'dropped': counts['dropped'],
        'lost': max(0, len(run.sent) - counts['received']),
        'refused': counts['refused'],
        'errors': counts['errors'],
        'waiting': max(0, counts['received'] - done),
    }


def longest_gap(replayed: Sequence[FrameRecord], live: Iterable[int]) -> dict[str, float]:
    """Return the most frames in a row, and the time between two, that the node left out."""
    known = set(live)
    used = [record for record in replayed if record.status != 'refused']
    places = [place for place, record in enumerate(used) if record.index in known]
    if len(places) < 2:
        return {'frames': len(used) - len(places), 'seconds': 0.0}
    start, end = max(itertools.pairwise(places), key=lambda pair: pair[1] - pair[0])
    seconds = (used[end].stamp_ns - used[start].stamp_ns) / 1e9
    return {'frames': end - start - 1, 'seconds': seconds}


def latency(seconds: ArrayLike) -> dict[str, float] | None:
    """Return count, mean, percentiles and maximum; None of nothing."""
    values = np.asarray(seconds, np.float64)
    if not values.size:
        return None
    shares = np.percentile(values, LATENCY_PERCENTILES).tolist()
    return {
        'count': int(values.size),
        'mean': float(values.mean()),
        **{f'p{share}': value for share, value in zip(LATENCY_PERCENTILES, shares, strict=True)},
        'max': float(values.max()),
    }


def agree(
    replayed: Sequence[FrameRecord], live: Sequence[FrameRecord], *, metric: bool
) -> Agreement | None:
    """Compare both trajectories, frame by frame.

    A metric trajectory starts where the replay was at its first frame, and no alignment flatters
    it. One without scale has a unit of its own: its positions are aligned by Umeyama's similarity.

    Returns:
        None where both have less than three poses in common, or these do not determine a scale.

    """
    poses = {record.index: record for record in live if record.odom_T_base is not None}
    both = [r for r in replayed if r.odom_T_base is not None and r.index in poses]
    if len(both) < MIN_POSES:
        return None
    from evo.core.geometry import GeometryException
    from evo.core.metrics import APE, PoseRelation

    reference = evo_trajectory(estimated_poses(both))
    started = evo_trajectory(estimated_poses([poses[record.index] for record in both]))
    started.transform(_start(replayed, live, both[0], poses[both[0].index]))
    aligned, scale = started, 1.0
    if not metric:
        aligned = evo_trajectory(estimated_poses([poses[record.index] for record in both]))
        try:
            scale = float(aligned.align(reference, correct_scale=True)[2])
        except GeometryException:  # all positions lie on one point
            return None
    pairs = (PoseRelation.translation_part, aligned), (PoseRelation.rotation_angle_deg, started)
    position, rotation = (_errors(APE(kind), reference, moved) for kind, moved in pairs)
    return Agreement(
        indices=np.array([record.index for record in both]),
        replayed=reference.positions_xyz,
        live=aligned.positions_xyz,
        position=position,
        rotation_deg=rotation,
        scale=scale,
        path_length=float(reference.path_length),
    )


def repeat(first: LiveRun, again: LiveRun) -> dict[str, Any]:
    """Compare the records of two times that the bag was played, number by number."""
    before, now = ({r.index: r for r in run.live.records} for run in (first, again))
    common = before.keys() & now.keys()
    return {
        'name': again.name,
        'common': len(common),
        'equal': sum(before[index] == now[index] for index in common),
        'only_in_first': len(before.keys() - common),
        'only_in_this': len(now.keys() - common),
    }


def _errors(metric: Any, reference: PoseTrajectory3D, moved: PoseTrajectory3D) -> Array:  # noqa: ANN401
    metric.process_data((reference, moved))
    return np.asarray(metric.error, np.float64)


def _start(
    replayed: Sequence[FrameRecord],
    live: Sequence[FrameRecord],
    both: FrameRecord,
    same: FrameRecord,
) -> Array:
    """Return the pose in the replay's frame of the frame that the live run starts at.

    Where the replay has none, the trajectories start at the first frame of both.
    """
    first = live[0].index
    if first == replayed[0].index:
        return np.eye(4)
    for record in replayed:
        if record.index == first and record.odom_T_base is not None:
            return matrix_of(record.odom_T_base)
    ends = (matrix_of(each.odom_T_base or ()) for each in (both, same))
    odom_T_base, live_T_base = ends
    return odom_T_base @ inverse_transform(live_T_base)


def _figures(agreement: Agreement, *, metric: bool) -> dict[str, Any]:
    position, rotation = agreement.position, agreement.rotation_deg
    return {
        'poses': len(position),
        'alignment': 'start' if metric else 'sim3',
        'unit': 'm' if metric else "of the replay's trajectory",
        'path_length': agreement.path_length,
        'scale': agreement.scale,
        'position': _spread(position),
        'position_percent_of_path': 100
        * float(np.sqrt(np.mean(position**2)))
        / agreement.path_length
        if agreement.path_length
        else None,
        'rotation_deg': _spread(rotation),
    }


def _spread(values: Array) -> dict[str, float]:
    return {
        'rmse': float(np.sqrt(np.mean(values**2))),
        'median': float(np.median(values)),
        'p95': float(np.percentile(values, 95)),
        'max': float(values.max()),
    }


def _used(records: Sequence[FrameRecord]) -> int:
    return sum(record.status != 'refused' for record in records)


def _keyframes(records: Sequence[FrameRecord]) -> int:
    return sum(record.reference.new_keyframe for record in records)


def _states(records: Sequence[FrameRecord]) -> dict[str, int]:
    states: dict[str, int] = summarize(records, ())['states']
    return states


def _medians(
    replayed: Sequence[FrameRecord], live: Sequence[FrameRecord]
) -> dict[str, dict[str, float | None]]:
    replay, now = summarize(replayed, ()), summarize(live, ())
    return {
        name: {
            'replay': (replay[name] or {}).get('p50'),
            'live': (now[name] or {}).get('p50'),
        }
        for name in MEDIANS
    }


def _ate(records: Sequence[FrameRecord]) -> float | None:
    found = trajectory_metrics(records)
    return None if found is None else found['ate_m']['rmse']
