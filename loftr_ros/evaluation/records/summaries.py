"""Figures of merit of a sequence, from the records of its frames."""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import chi2

from loftr_ros.evaluation.records.frame_records import badness
from loftr_ros.evaluation.records.metrics import AUC_THRESHOLDS, pose_auc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike

    from loftr_ros.evaluation.records.results import FrameRecord, FrameTimes, MatchFigures

PARTS = {
    'matching': ('matches', 'inliers', 'confidence', 'sigma_px', 'residual_px', 'precision'),
    'errors': ('rotation_error_deg', 'direction_error_deg', 'translation_error_m'),
}
FIELDS = {name: attrgetter(f'{part}.{name}') for part, names in PARTS.items() for name in names}
"""How to get those fields of a frame whose distributions are summarized."""
SHARES = ('inlier_ratio', 'continued_ratio', 'track_length')
STEPS = ('read', 'encode', 'match', 'pose', 'total')
NEES_BOUND = 0.95


def distribution(values: ArrayLike) -> dict[str, float] | None:
    """Return count, mean, extremes and percentiles; None of nothing."""
    array = np.asarray(values, np.float64)
    if not array.size:
        return None
    p5, p50, p95 = np.percentile(array, [5, 50, 95]).tolist()
    return {
        'count': int(array.size),
        'mean': float(array.mean()),
        'min': float(array.min()),
        'p5': p5,
        'p50': p50,
        'p95': p95,
        'max': float(array.max()),
    }


def summarize(
    records: Sequence[FrameRecord], track_lengths: Iterable[int], worst: Sequence[int] = ()
) -> dict[str, Any]:
    """Return the figures of a sequence, as docs/evaluation.md lists them, but for the trajectory.

    Args:
        records: All frames.
        track_lengths: Frames that saw each track.
        worst: Indices of the worst frames.

    """
    matched = [record for record in records if record.status == 'matched']
    with_matches = [r.matching for r in matched if r.matching.matches]
    summary: dict[str, Any] = {
        'frames': len(records),
        'matched': len(matched),
        'aligned': sum(record.reference.source == 'aligned' for record in matched),
        'refused': sum(record.status == 'refused' for record in records),
        'dropped': sum(record.status == 'dropped' for record in records),
        'keyframes': sum(record.reference.new_keyframe for record in matched),
        'states': dict(sorted(Counter(str(record.pose.state) for record in matched).items())),
        **{name: distribution(_known(map(get, matched))) for name, get in FIELDS.items()},
        'inlier_ratio': distribution([_share(m.inliers, m) for m in with_matches]),
        'continued_ratio': distribution([_share(m.continued_tracks, m) for m in with_matches]),
        'track_length': distribution(list(track_lengths)),
        'pose_auc': _auc(matched),
        'nees': _nees(matched),
        'worst': list(worst),
    }
    return summary


def summarize_times(times: Sequence[FrameTimes]) -> dict[str, Any]:
    """Return percentiles of each step, s, and frames per second of the tracker."""
    steps = {name: distribution([getattr(time, name) for time in times]) for name in STEPS}
    total = sum(time.total for time in times)
    return {'steps_s': steps, 'frames_per_second': len(times) / total if total else None}


def worst_of(records: Iterable[FrameRecord], count: int) -> list[int]:
    """Return the indices of the worst matched frames, the worst first."""
    matched = (record for record in records if record.status == 'matched')
    ranked = sorted(matched, key=lambda record: (-badness(record), record.index))
    return [record.index for record in ranked[:count]]


def total_of(summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return sums over all sequences, and how the means of sequences are distributed.

    Args:
        summaries: Figures of each sequence by its name, with 'status'.

    """
    known = [one for one in summaries.values() if 'frames' in one]
    counts = ('frames', 'matched', 'aligned', 'refused', 'dropped', 'keyframes')
    states: Counter[str] = sum((Counter(one['states']) for one in known), Counter())
    trajectories = [one['trajectory'] for one in known if one.get('trajectory')]
    return {
        'sequences': len(summaries),
        'failed': [name for name, one in summaries.items() if one['status'] == 'failed'],
        **{name: sum(one[name] for one in known) for name in counts},
        'states': dict(sorted(states.items())),
        'mean_of_sequences': {
            name: distribution([one[name]['mean'] for one in known if one.get(name)])
            for name in (*FIELDS, *SHARES, 'nees')
        },
        'ate_m_rmse': distribution([one['ate_m']['rmse'] for one in trajectories]),
    }


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _share(count: int | None, figures: MatchFigures) -> float:
    return (count or 0) / max(figures.matches or 0, 1)


def _auc(matched: Sequence[FrameRecord]) -> dict[str, float] | None:
    """Return the area under the recall curve of the frames whose true motion has a direction."""
    errors = [_pose_error(record) for record in matched if _moved(record)]
    if not errors:
        return None
    areas = pose_auc(errors)
    return {f'{limit:g}': area for limit, area in zip(AUC_THRESHOLDS, areas, strict=True)}


def _moved(record: FrameRecord) -> bool:
    truth = record.errors.true_reference_T_query
    return truth is not None and float(np.linalg.norm(truth[:3])) > 1e-3


def _pose_error(record: FrameRecord) -> float:
    rotation, direction = record.errors.rotation_error_deg, record.errors.direction_error_deg
    if rotation is None or direction is None:
        return float('inf')
    # As in `metrics.pose_error`, the sign of the direction is left open.
    return max(rotation, min(direction, 180 - direction))


def _nees(matched: Sequence[FrameRecord]) -> dict[str, float] | None:
    errors = [record.errors for record in matched]
    pairs = [(e.nees, e.nees_dof) for e in errors if e.nees is not None and e.nees_dof]
    if not pairs:
        return None
    nees, freedom = np.array(pairs, np.float64).T
    per_degree = nees / freedom
    return {
        'count': len(pairs),
        'mean': float(per_degree.mean()),
        'median': float(np.median(per_degree)),
        'within_95': float(np.mean(nees <= chi2.ppf(NEES_BOUND, freedom))),
    }
