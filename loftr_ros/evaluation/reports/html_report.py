"""The report of an evaluation as one HTML file: `loftr-ros report RUN -o report.html`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from loftr_ros.data.errors import DatasetError
from loftr_ros.evaluation.records.figures_of_merit import (
    FIGURES,
    UNKNOWN,
    FigureOfMerit,
    figures_of,
    formatted,
    mean_of,
    number_at,
    times_of,
)
from loftr_ros.evaluation.records.results import FRAMES, SUMMARY
from loftr_ros.evaluation.reports.html_page import (
    Note,
    Page,
    PageTable,
    Picture,
    Plot,
    Section,
    write_page,
)
from loftr_ros.evaluation.reports.report_data import SequenceData
from loftr_ros.matching.matches import Matches
from loftr_ros.visualization import interactive
from loftr_ros.visualization.matches import draw_matches

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from loftr_ros.evaluation.records.results import (
        FrameTimes,
        MatchArrays,
        RunFolder,
        SequenceFolder,
    )

REPORT = 'report.html'
# Beyond so many sequences, the pictures of the worst frames of all of them would fill the file.
PICTURES = 24


def write_report(run: RunFolder, path: Path) -> None:
    """Write the report of a run.

    Raises:
        DatasetError: If a file of the run is missing or damaged.
        OSError: If the report cannot be written.

    """
    write_page(path, report_page(run))


def report_page(run: RunFolder) -> Page:
    """Lay out the report of a run."""
    pictures = max(1, PICTURES // max(len(run.sequences), 1))
    failed = [s for s in run.sequences if s.info.status == 'failed']
    lead = [Note(', '.join(run.info.inputs)), Note(weights_line(run))]
    lead += [Note(f'{s.name} failed: {s.info.error}', 'bad') for s in failed]
    lead += [
        Note(f'{s.name} was interrupted: its results are those of the first part', 'bad')
        for s in run.sequences
        if s.info.status == 'interrupted'
    ]
    readable = [s for s in run.sequences if has_figures(s)]
    figures = {sequence.name: figures_of(sequence) for sequence in readable}
    sections = [Section('All sequences', tables=(overview(run, figures),), open=True)]
    sections += [
        sequence_section(sequence, pictures, is_first=sequence is readable[0])
        for sequence in readable
    ]
    sections.append(run_section(run))
    return Page(
        f'Evaluation {run.path.name}', tuple(lead), tuple(cards(run, figures)), tuple(sections)
    )


def has_figures(sequence: SequenceFolder) -> bool:
    """Return whether there are results; a sequence that failed may have those of its first part."""
    return (sequence.path / SUMMARY).is_file() and (sequence.path / FRAMES).is_file()


def weights_line(run: RunFolder) -> str:
    """Name the weights and where they ran."""
    info = run.info
    return f'Weights {info.weights} ({info.weights_sha256[:12]}), {info.precision} on {info.device}'


def cards(run: RunFolder, figures: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str]]:
    """Return the figures that matter most: means over the sequences."""
    sequences = [s for s in run.sequences if s.name in figures]
    frames = sum(int(number_at(s.summary(), 'frames')) for s in sequences)
    shown = []
    for each in FIGURES:
        mean = mean_of(of[each.key] for of in figures.values())
        shown.append((each.label.partition(' [')[0], formatted(mean, unit_of(each))))
    return [('sequences', str(len(run.sequences))), ('frames', str(frames)), *shown]


def unit_of(figure: FigureOfMerit) -> str:
    """Return the unit in a figure's label, with a blank before it."""
    unit = figure.label.partition(' [')[2].rstrip(']')
    return f' {unit}' if unit else ''


def overview(run: RunFolder, figures: Mapping[str, Mapping[str, float]]) -> PageTable:
    """List all sequences with their figures."""
    rows = []
    for sequence in run.sequences:
        of = figures.get(sequence.name, {})
        cells = (formatted(of.get(each.key, math.nan)) for each in FIGURES)
        rows.append((sequence.name, sequence.info.status, *cells))
    columns = ('sequence', 'ended', *(each.label for each in FIGURES))
    return PageTable('Medians over frames, shares and errors', tuple(rows), columns)


def sequence_section(sequence: SequenceFolder, pictures: int, *, is_first: bool) -> Section:
    """Lay out one sequence: figures, plots, and its worst frames."""
    summary = sequence.summary()
    alignment = (summary.get('trajectory') or {}).get('alignment')
    data = SequenceData(sequence.frames(), similarity=alignment == 'sim3')
    notes = [Note(f'{sequence.info.path}: {sequence.info.layout}, {sequence.info.mode}')]
    notes += [Note(f'Warning: {text}', 'bad') for text in sequence.info.warnings]
    return Section(
        sequence.name,
        tuple(notes),
        (PageTable('Accuracy', tuple(_accuracy_rows(summary))),),
        tuple(plots(data, times_of(sequence))),
        tuple(worst_pictures(sequence, data, pictures)),
        open=is_first,
    )


def plots(data: SequenceData, times: Sequence[FrameTimes]) -> Iterator[Plot]:
    """Yield the plots of a sequence that its records allow."""
    if data.estimated:
        yield from _trajectory_plots(data)
    seconds = data.seconds(data.matched)
    errors = {
        'rotation [deg]': data.values('errors.rotation_error_deg'),
        'direction [deg]': data.values('errors.direction_error_deg'),
    }
    if np.isfinite([*errors.values()]).any():
        figure = interactive.over_time(seconds, errors, 'error of relative pose [deg]', log=True)
        yield Plot('Error of the relative poses', figure)
    names = [r.pose.state or r.status for r in data.records if r.status != 'reference']
    others = [r for r in data.records if r.status != 'reference']
    if others:
        reasons = [r.reason for r in others]
        yield Plot('States', interactive.states(data.seconds(others), names, reasons))
        keyframes = data.seconds([r for r in data.matched if r.reference.new_keyframe])
        counts = {name: data.values(f'matching.{name}') for name in ('matches', 'inliers')}
        figure = interactive.over_time(
            seconds, counts, 'count', marks=keyframes, mark_name='new keyframe'
        )
        yield Plot('Matches', figure)
    if times:
        yield Plot('Latency of the tracker', _latency_figure(times))


def worst_pictures(sequence: SequenceFolder, data: SequenceData, count: int) -> Iterator[Picture]:
    """Yield the worst frames with their matches; what is damaged is left out."""
    records = {record.index: record for record in data.records}
    for index in sequence.worst()[:count]:
        try:
            found = sequence.matches(index)
        except DatasetError:
            continue
        record = records.get(index)
        title = f'Frame {index} with {found.reference_index}'
        if record is not None:
            errors = (
                f'{name} {value:.2g} deg'
                for name, value in (
                    ('rotation error', record.errors.rotation_error_deg),
                    ('direction error', record.errors.direction_error_deg),
                )
                if value is not None
            )
            title += ': ' + ', '.join(
                [(record.pose.state or record.status).replace('_', ' '), *errors]
            )
        yield Picture(title, _draw(found))


def run_section(run: RunFolder) -> Section:
    """List what was run, with what and where."""
    info = run.info
    weights = (('weights', info.weights), ('sha256', info.weights_sha256))
    tables = (
        PageTable('Weights', (*weights, ('device', info.device), ('precision', info.precision))),
        PageTable('Parameters', _rows(info.parameters)),
        PageTable('Versions', _rows(info.versions)),
        PageTable('Machine', _rows({**info.machine, 'threads': info.threads})),
    )
    return Section('Parameters, versions, machine', tables=tables)


def _trajectory_plots(data: SequenceData) -> Iterator[Plot]:
    truth = data.true_positions()
    estimate = data.broken(data.estimated_positions())
    aligned = data.alignment
    unit, how = 'm', ''
    if aligned is None:
        unit, truth, how = 'its own unit', truth[:0], ', not aligned: there is no truth'
    elif data.similarity:
        how = f', aligned with scale {aligned.scale:.3g}'
    view = interactive.top_view(estimate, truth, data.ground_axes(), unit)
    yield Plot(f'Trajectory from above{how}', view, tall=True)
    gaps = [i for i, record in enumerate(data.estimated) if record.gap and i]
    times = data.seconds(data.estimated)
    times = np.insert(times, gaps, times[gaps]) if gaps else times
    tracks = {'truth': (data.seconds(data.true), truth)} if len(truth) else {}
    tracks['estimate'] = (times, estimate)
    yield Plot('Trajectory, each axis', interactive.coordinates(tracks, unit), tall=True)
    seconds, distances = data.position_errors()
    if len(seconds):
        figure = interactive.over_time(seconds, {'position': distances}, 'distance [m]')
        yield Plot('Distance from the truth, after the alignment', figure)


def _latency_figure(times: Sequence[FrameTimes]) -> Any:  # noqa: ANN401 - plotly has no types
    total = 1e3 * np.array([each.total for each in times])
    marks = {f'p{share} [ms]': float(np.percentile(total, share)) for share in (50, 95, 99)}
    return interactive.histogram(total, 'time for a frame [ms]', marks)


def _accuracy_rows(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    def text(*path: str, unit: str = '') -> str:
        return formatted(number_at(summary, *path), unit)

    states = ', '.join(f'{k.replace("_", " ")} {v}' for k, v in summary['states'].items())
    yield 'frames', f'{text("frames")}, {text("refused")} refused'
    yield 'states', states or UNKNOWN
    for name in ('rotation', 'direction'):
        field = f'{name}_error_deg'
        yield f'{name} error', f'{text(field, "p50", unit=" deg")} median, {text(field, "p95")} p95'
    auc = summary.get('pose_auc') or {}
    yield 'pose AUC', ', '.join(f'{v:.3f} at {k} deg' for k, v in auc.items()) or UNKNOWN
    yield 'NEES per degree of freedom', text('nees', 'mean')
    yield 'track length', text('track_length', 'mean', unit=' frames, mean')
    trajectory = summary.get('trajectory')
    if trajectory:
        yield 'true path', f'{text("trajectory", "length_m", unit=" m")}, {trajectory["gaps"]} gaps'
        ate = text('trajectory', 'ate_m', 'rmse', unit=' m')
        alignment, scale = trajectory['alignment'], trajectory['scale']
        yield 'ATE', f'{ate} rmse after {alignment} alignment, scale {scale:.3g}'
        yield from _distance_rows(trajectory)


def _distance_rows(trajectory: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for row in trajectory['rpe']:
        moved = formatted(number_at(row, 'translation_m', 'rmse'), ' m')
        rotated = formatted(number_at(row, 'rotation_deg', 'rmse'), ' deg')
        yield f'RPE over {row["distance_m"]:g} m', f'{moved}, {rotated} rmse'
    moved = formatted(number_at(trajectory, 'segments', 'translation_percent'), ' %')
    rotated = formatted(number_at(trajectory, 'segments', 'rotation_deg_per_m'), ' deg/m')
    yield 'KITTI segments', f'{moved}, {rotated}'


def _rows(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(value)) for name, value in values.items())


def _draw(found: MatchArrays) -> Any:  # noqa: ANN401 - an array of a picture
    matches = Matches(
        found.reference_points,
        found.query_points,
        found.confidence,
        found.sigma,
        np.full(len(found.confidence), -1, np.int64),
        (0, 0),
    )
    return draw_matches(found.reference_image, found.query_image, matches, found.inliers)
