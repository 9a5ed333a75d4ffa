"""The summary of a run of the demo: as a table, as Markdown and as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

from rich.table import Table

from loftr_ros.evaluation.demo.analysis import DIRECTION_LIMIT, ROTATION_LIMIT

if TYPE_CHECKING:
    from pathlib import Path

    from loftr_ros.evaluation.demo.analysis import Accuracy, ImageCounts, Percentiles, Summary

Rows = list[tuple[str, str]]


def summary_rows(summary: Summary) -> Rows:
    """Return names and values of the table, units included."""
    width, height = summary.size
    poses, computation = summary.poses, summary.computation
    weights = f'{computation.weights} ({computation.weights_hash[:12]})'
    return [
        ('images', f'{summary.source}, {width}x{height} px'),
        *_image_rows(summary.images),
        ('results', f'{poses.results}, {poses.rate:.2f} per second'),
        ('latency', f'p50 {_ms(poses.latency.p50)}, p95 {_ms(poses.latency.p95)}'),
        ('steps in the node', _steps(computation.steps)),
        ('matches', f'median {_count(poses.matches)}'),
        ('inliers', f'median {_count(poses.inliers)}'),
        ('states', ', '.join(f'{name} {count}' for name, count in poses.states.items())),
        ('new keyframes', str(poses.keyframes)),
        *_accuracy_rows(summary.accuracy),
        ('weights', f'{weights}, {computation.device}'),
        *computation.settings.items(),
    ]


def summary_table(summary: Summary) -> Table:
    """Return the table for the terminal."""
    table = Table(title='What the node did', title_justify='left', show_header=False)
    table.add_column(style='bold', no_wrap=True)
    table.add_column(overflow='fold')
    for row in summary_rows(summary):
        table.add_row(*row)
    return table


def write_json(path: Path, summary: Summary) -> None:
    """Write all figures; angles in degrees, times in seconds, null where there is none."""
    values = dataclasses.asdict(summary)
    for part in ('images', 'poses', 'computation'):
        values |= values.pop(part)
    values |= {'lost': summary.images.lost, 'ignored': summary.images.ignored}
    path.write_text(json.dumps(_without_nan(values), indent=2) + '\n', encoding='utf-8')


def write_markdown(path: Path, summary: Summary, pictures: dict[str, str]) -> None:
    """Write a page with the table and the pictures.

    Args:
        path: The file.
        summary: The figures.
        pictures: File name -> what it shows.

    """
    lines = [f'# loftr_ros demo: {summary.source}', '', '| | |', '|---|---|']
    lines += [f'| {name} | {value.replace("|", "/")} |' for name, value in summary_rows(summary)]
    for file, caption in pictures.items():
        lines += ['', f'## {caption}', '', f'![{caption}]({file})']
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')


def _image_rows(images: ImageCounts) -> Rows:
    missing = [
        f'{images.dropped} dropped for newer ones',
        f'{images.lost} lost in transport',
        f'{images.refused} refused',
    ]
    if images.errors:
        missing.append(f'{images.errors} unexpected errors, see node.log')
    if images.ignored:
        missing.append(f'{images.ignored} left out')
    return [
        ('sent', f'{images.sent} at {images.sent_rate:.1f} Hz'),
        ('processed', f'{images.processed} ({", ".join(missing)})'),
    ]


def _accuracy_rows(accuracy: Accuracy | None) -> Rows:
    if accuracy is None:
        return [('errors', 'unknown: the sequence has no true poses')]
    shares = accuracy.rotation_share, accuracy.direction_share, accuracy.good_share
    rotation, direction, good = (f'{100 * share:.0f} %' for share in shares)
    times = accuracy.restarts
    chain = f'restarted at the truth: {times} x' if times else 'unbroken'
    if accuracy.drift is not None:
        chain += f', {accuracy.drift[0]:.2g} m off after {accuracy.drift[1]:.3g} m'
    return [
        ('rotation error', f'{_angles(accuracy.rotation)}, {rotation} below {ROTATION_LIMIT:g}°'),
        (
            'direction error',
            f'{_angles(accuracy.direction)}, {direction} below {DIRECTION_LIMIT:g}°',
        ),
        ('both below', f'{good} of {accuracy.results} results'),
        ('chain of poses', chain),
    ]


def _angles(values: Percentiles) -> str:
    return f'median {values.p50:.2f}°, p95 {values.p95:.2f}°'


def _ms(seconds: float) -> str:
    return 'unknown' if math.isnan(seconds) else f'{1e3 * seconds:.0f} ms'


def _count(values: Percentiles) -> str:
    return 'unknown' if math.isnan(values.p50) else f'{values.p50:.0f}'


def _steps(steps: dict[str, float]) -> str:
    return ', '.join(f'{name} {value:.0f} ms' for name, value in steps.items()) or 'unknown'


def _without_nan(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
