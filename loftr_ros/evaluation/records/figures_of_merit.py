"""The figures of a sequence by which runs are shown and compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from loftr_ros.data.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loftr_ros.evaluation.records.results import FrameTimes, SequenceFolder

UNKNOWN = '-'


@dataclass(frozen=True)
class FigureOfMerit:
    """One number per sequence.

    Attributes:
        key: Its name in files.
        label: Its name in tables, with the unit.
        path: Where it stands in the summary of a sequence; empty where it is computed.
        higher_is_better: Whether more of it is better.
        is_time: Whether it depends on the machine and its load.

    """

    key: str
    label: str
    path: tuple[str, ...] = ()
    higher_is_better: bool = False
    is_time: bool = False


FIGURES = (
    FigureOfMerit('ok', 'poses ok [%]', higher_is_better=True),
    FigureOfMerit('inliers', 'inliers', ('inliers', 'p50'), higher_is_better=True),
    FigureOfMerit('inlier_ratio', 'inlier ratio', ('inlier_ratio', 'mean'), higher_is_better=True),
    FigureOfMerit('rotation', 'rotation error [deg]', ('rotation_error_deg', 'p50')),
    FigureOfMerit('direction', 'direction error [deg]', ('direction_error_deg', 'p50')),
    FigureOfMerit('auc', 'pose AUC at 5 deg', ('pose_auc', '5'), higher_is_better=True),
    FigureOfMerit('ate', 'ATE [m]', ('trajectory', 'ate_m', 'rmse')),
    FigureOfMerit('drift', 'drift [%]', ('trajectory', 'segments', 'translation_percent')),
    FigureOfMerit('latency_p50', 'latency p50 [ms]', is_time=True),
    FigureOfMerit('latency_p95', 'latency p95 [ms]', is_time=True),
)


def figures_of(sequence: SequenceFolder) -> dict[str, float]:
    """Read the figures of a sequence by their key; NaN where one is unknown.

    Raises:
        DatasetError: If the summary is missing or damaged.

    """
    summary = sequence.summary()
    values = {each.key: number_at(summary, *each.path) for each in FIGURES if each.path}
    matched = summary.get('matched') or 0
    ok = (summary.get('states') or {}).get('ok', 0)
    values['ok'] = 100 * ok / matched if matched else math.nan
    total = [1e3 * each.total for each in times_of(sequence)]
    for share in (50, 95):
        values[f'latency_p{share}'] = float(np.percentile(total, share)) if total else math.nan
    return values


def times_of(sequence: SequenceFolder) -> list[FrameTimes]:
    """Read the times; a run that was copied without them is as good for all the rest."""
    try:
        return sequence.times()
    except DatasetError:
        return []


def number_at(values: Any, *path: str) -> float:  # noqa: ANN401 - whatever JSON holds
    """Return a number inside of nested objects, NaN where there is none."""
    for name in path:
        values = values.get(name) if isinstance(values, dict) else None
    is_number = isinstance(values, (int, float)) and not isinstance(values, bool)
    return float(values) if is_number else math.nan


def mean_of(values: Iterable[float]) -> float:
    """Return the mean of the known values, NaN where there are none."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def formatted(value: float, unit: str = '', digits: int = 3) -> str:
    """Format a number with significant digits, but integers whole."""
    if math.isnan(value):
        return UNKNOWN
    if abs(value) >= 10 ** (digits - 1):
        return f'{value:.0f}{unit}'
    return f'{value:.{digits}g}{unit}'
