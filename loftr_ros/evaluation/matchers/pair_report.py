"""Tables, JSON and pictures of an evaluation of pairs."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rich.table import Table

from loftr_ros.evaluation.records.metrics import AUC_THRESHOLDS
from loftr_ros.visualization.matches import draw_matches
from loftr_ros.visualization.training import PairFigures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from loftr_ros.evaluation.matchers.pair_evaluation import MatchedPair, PairResult, SetSummary

MEAN = 'mean of sets'


def summary_table(summaries: Sequence[SetSummary]) -> Table:
    """Lay out the figures per set and matcher, and their mean over the sets with poses.

    AUC is that of USAC_MAGSAC's poses; PoseLib has the same three of its own.
    """
    table = Table(title='Relative pose on pairs of images')
    table.add_column('set')
    table.add_column('matcher')
    auc = [f'AUC@{threshold:g}°' for threshold in AUC_THRESHOLDS]
    for column in (*auc, 'PoseLib', 'R<1° t<10°', 'precision', 'matches', 'ms'):
        table.add_column(column, justify='right')
    previous = ''
    for summary in summaries:
        if previous not in {'', summary.set_name}:
            table.add_section()
        table.add_row('' if summary.set_name == previous else summary.set_name, *_cells(summary))
        previous = summary.set_name
    means = mean_auc(summaries)
    if means:
        table.add_section()
    for name, (matcher, areas) in zip([MEAN, *[''] * len(means)], means.items(), strict=False):
        poselib = mean_auc(summaries, 'poselib_auc').get(matcher, [])
        table.add_row(name, matcher, *map(_percent, areas), ' '.join(map(_percent, poselib)))
    return table


def mean_auc(summaries: Sequence[SetSummary], which: str = 'auc') -> dict[str, list[float]]:
    """Average each matcher's AUC over the sets with poses; empty for fewer than two sets."""
    areas: dict[str, list[list[float]]] = {}
    for summary in summaries:
        if not np.isnan(getattr(summary, which)[0]):
            areas.setdefault(summary.matcher, []).append(getattr(summary, which))
    return {
        matcher: np.mean(rows, axis=0).tolist() for matcher, rows in areas.items() if len(rows) > 1
    }


def to_json(summaries: Sequence[SetSummary], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return all figures as plain values; null stands for what is not known or not estimated."""
    sets: dict[str, dict[str, Any]] = {}
    for summary in summaries:
        sets.setdefault(summary.set_name, {})[summary.matcher] = {
            'auc': dict(zip(map(str, AUC_THRESHOLDS), summary.auc, strict=True)),
            'poselib_auc': dict(zip(map(str, AUC_THRESHOLDS), summary.poselib_auc, strict=True)),
            'good_pairs': summary.good,
            'pairs': len(summary.results),
            'precision': summary.mean('precision'),
            'matches': summary.mean('matches'),
            'milliseconds': summary.mean('milliseconds'),
            'results': [vars(result) for result in summary.results],
        }
    content = {'settings': dict(settings), 'sets': sets, 'mean_auc': mean_auc(summaries)}
    content['mean_poselib_auc'] = mean_auc(summaries, 'poselib_auc')
    finite: dict[str, Any] = _finite(content)
    return finite


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + '\n', encoding='utf-8')


def read_pair_figures(path: Path) -> PairFigures:
    """Read the mean areas of a JSON file that `write_json` wrote, by training pairs.

    Raises:
        ValueError: If it is no such file, or holds no weights that know their training pairs.

    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        weights = content['settings']['weights']
        means = {name: tuple(map(float, areas)) for name, areas in content['mean_auc'].items()}
    except OSError as error:
        raise ValueError(f'{path}: cannot be read ({error.strerror})') from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f'{path}: not a file that `evaluate-pairs --json` wrote') from error
    known = {
        name: one['training_pairs'] for name, one in weights.items() if one.get('training_pairs')
    }
    if not known:
        raise ValueError(f'{path}: no weights in it say how many pairs they were trained on')
    points = tuple((pairs, means[name]) for name, pairs in known.items() if name in means)
    peers = {name: areas for name, areas in means.items() if name not in weights}
    return PairFigures(AUC_THRESHOLDS, points, peers)


def best_and_worst(summary: SetSummary) -> tuple[int, int]:
    """Return the indices of the pairs with the least and the greatest error."""
    errors = [_rank(result) for result in summary.results]
    return errors.index(min(errors)), errors.index(max(errors))


def write_picture(path: Path, pair: MatchedPair, title: str) -> None:
    """Draw a pair with its matches; outliers of the robust estimator are red."""
    result = pair.result
    caption = f'{title} {result.name}: {result.matches} matches'
    inliers = None
    if pair.estimate is not None:
        inliers = pair.estimate.inliers
        caption += f', {result.inliers} inliers, '
        caption += f'error {result.pose_error:.1f} deg' if inliers.any() else 'no pose'
    picture = draw_matches(
        pair.reference.image, pair.query.image, pair.matches, inliers, caption=caption
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), picture[:, :, ::-1]):
        raise OSError(f'could not write {path}')


def _rank(result: PairResult) -> tuple[float, float, int]:
    """Order pairs by their error: of the pose, else by precision, else by fewest matches."""
    wrong = 1 - result.precision if not math.isnan(result.precision) else 1.0
    return (0.0 if math.isnan(result.pose_error) else result.pose_error, wrong, -result.matches)


def _cells(summary: SetSummary) -> list[str]:
    has_poses = not np.isnan(summary.auc[0])
    return [
        summary.matcher,
        *map(_percent, summary.auc),
        ' '.join(map(_percent, summary.poselib_auc)) if has_poses else '-',
        f'{summary.good}/{len(summary.results)}' if has_poses else '-',
        _percent(summary.mean('precision')),
        f'{summary.mean("matches"):.0f}',
        f'{summary.mean("milliseconds"):.0f}',
    ]


def _percent(share: float) -> str:
    return '-' if np.isnan(share) else f'{100 * share:.1f}'


def _finite(value: Any) -> Any:  # noqa: ANN401 - JSON holds anything
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
