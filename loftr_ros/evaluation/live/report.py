"""A live run beside its replay: a table for the terminal, and a page of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from loftr_ros.evaluation.live.comparison import LATENCY_PERCENTILES, agree
from loftr_ros.evaluation.records.figures_of_merit import UNKNOWN, formatted, number_at
from loftr_ros.evaluation.reports.html_page import Note, Page, PageTable, Plot, Section
from loftr_ros.evaluation.reports.report_data import SequenceData
from loftr_ros.visualization import interactive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from loftr_ros.evaluation.live.comparison import LiveRun
    from loftr_ros.evaluation.records.results import FrameRecord

    Figures = Mapping[str, Any]
    Row = tuple[str, ...]

LEFT_OUT = {
    'dropped': 'dropped for newer ones',
    'lost': 'lost before the node received them',
    'refused': 'refused',
    'waiting': 'without calibration or partner',
    'errors': 'ended in an error',
}


def live_table(figures: Figures) -> Table:
    """Return the table for the terminal."""
    table = Table(title='The replay, and what the node did live', title_justify='left')
    table.add_column('')
    table.add_column('replay', justify='right')
    for run in figures['runs']:
        table.add_column(f'live: {run["name"]}', justify='right')
    for row in table_rows(figures):
        table.add_row(*row)
    return table


def table_rows(figures: Figures) -> list[Row]:
    """Return the rows: name, the value of the replay, and that of each time it was played."""
    runs = figures['runs']
    return [
        *_frame_rows(runs),
        *_match_rows(runs),
        *_trajectory_rows(runs),
        *_repeat_rows(figures, len(runs)),
    ]


def live_page(
    figures: Figures, runs: Sequence[LiveRun], replayed: Sequence[FrameRecord], *, metric: bool
) -> Page:
    """Lay out the page."""
    columns = ('', 'replay', *(f'live: {run.name}' for run in runs))
    table = PageTable('What the live run left out', tuple(table_rows(figures)), columns)
    first = figures['runs'][0]
    missing = sum(first['left_out'].values())
    cards = (
        ('frames live', f'{first["frames"]["live"]} of {first["frames"]["replay"]}'),
        ('left out', str(missing)),
        ('latency p50', _ms(number_at(first, 'latency_s', 'p50'))),
        ('latency p95', _ms(number_at(first, 'latency_s', 'p95'))),
        ('position difference', _position(first)),
        ('rotation difference', _number(first, 'agreement', 'rotation_deg', 'rmse', unit=' deg')),
    )
    lead = (
        Note(f'{figures["bag"]}, {figures["mode"]}, played at {figures["rate"]:g} times its rate'),
        Note(f'Replay: {figures["replay"]}'),
    )
    sections = [Section('Live beside the replay', tables=(table,), open=True)]
    for number, run in enumerate(runs):
        plots = tuple(_plots(run, replayed, metric=metric))
        sections.append(Section(run.name, plots=plots, open=not number))
    settings = tuple((name, str(value)) for name, value in figures['node'].items())
    sections.append(Section('Node', tables=(PageTable('Settings', settings),)))
    return Page('Live run', lead, cards, tuple(sections))


def _frame_rows(runs: Sequence[Figures]) -> Iterator[Row]:
    yield 'images sent', UNKNOWN, *(_sent(run) for run in runs)
    frames = (run['frames'] for run in runs)
    total = runs[0]['frames']['replay']
    yield 'frames processed', str(total), *(str(each['live']) for each in frames)
    for key, label in LEFT_OUT.items():
        if key in {'dropped', 'lost'} or any(run['left_out'][key] for run in runs):
            yield f'  {label}', '0', *(str(run['left_out'][key]) for run in runs)
    if any(count for run in runs for count in run['lost_messages'].values()):
        yield 'messages lost in transport', UNKNOWN, *(_lost(run) for run in runs)
    gaps = (run['longest_gap'] for run in runs)
    yield 'longest gap', '0', *(_gap(gap) for gap in gaps)
    yield 'results per second', UNKNOWN, *(_number(run, 'results_hz') for run in runs)
    for share in (*(f'p{each}' for each in LATENCY_PERCENTILES), 'max'):
        values = (number_at(run, 'latency_s', share) for run in runs)
        yield f'latency {share}', UNKNOWN, *map(_ms, values)


def _match_rows(runs: Sequence[Figures]) -> Iterator[Row]:
    for key, label in (('matches', 'matches'), ('inliers', 'inliers'), ('inlier_ratio', 'ratio')):
        values = [run['medians'][key] for run in runs]
        cells = (_number(value, 'live') for value in values)
        yield f'{label}, median', _number(values[0], 'replay'), *cells
    keyframes = [run['keyframes'] for run in runs]
    yield 'keyframes', str(keyframes[0]['replay']), *(str(each['live']) for each in keyframes)
    states = [run['states'] for run in runs]
    yield 'states', _states(states[0]['replay']), *(_states(each['live']) for each in states)


def _trajectory_rows(runs: Sequence[Figures]) -> Iterator[Row]:
    yield 'position, rmse difference', UNKNOWN, *(_position(run) for run in runs)
    for key in ('rmse', 'max'):
        cells = (_number(run, 'agreement', 'rotation_deg', key, unit=' deg') for run in runs)
        yield f'rotation, {key} difference', UNKNOWN, *cells
    ate = runs[0]['ate_m']
    yield (
        'ATE',
        _number(ate, 'replay', unit=' m'),
        *(_number(run, 'ate_m', 'live', unit=' m') for run in runs),
    )
    same = (_number(run, 'ate_m', 'replay_at_the_same_frames', unit=' m') for run in runs)
    yield 'ATE of the replay at the same frames', UNKNOWN, *same


def _repeat_rows(figures: Figures, count: int) -> Iterator[Row]:
    if count > 1:
        cells = (f'{each["equal"]} of {each["common"]} frames' for each in figures['repeats'])
        yield 'every figure as the first time', UNKNOWN, UNKNOWN, *cells


def _plots(run: LiveRun, replayed: Sequence[FrameRecord], *, metric: bool) -> Iterator[Plot]:
    start = replayed[0].stamp_ns
    stamps = {record.index: (record.stamp_ns - start) / 1e9 for record in replayed}
    known = {record.index for record in run.live.records}
    missing = [stamps[r.index] for r in replayed if r.status != 'refused' and r.index not in known]
    milliseconds = 1e3 * np.array([*run.live.latencies.values()])
    if len(milliseconds):
        marks = {
            f'p{share} [ms]': float(np.percentile(milliseconds, share)) for share in (50, 95, 99)
        }
        figure = interactive.histogram(milliseconds, 'from publishing to the pose [ms]', marks)
        yield Plot('Latency', figure)
        times = [stamps[index] for index in run.live.latencies]
        figure = interactive.over_time(
            times,
            {'latency': milliseconds},
            'from publishing to the pose [ms]',
            marks=missing,
            mark_name='left out',
        )
        yield Plot('Latency and what was left out, over time', figure)
    found = agree(replayed, run.live.records, metric=metric)
    if found is None:
        return
    unit = 'm' if metric else "the replay's unit"
    times = [stamps[index] for index in found.indices.tolist()]
    axes = SequenceData(replayed).ground_axes()
    yield Plot(
        'Both trajectories from above',
        interactive.top_view(found.live, found.replayed, axes, unit, ('live', 'replay')),
        tall=True,
    )
    series = {f'position [{unit}]': found.position, 'rotation [deg]': found.rotation_deg}
    figure = interactive.over_time(times, series, 'difference')
    yield Plot('Difference of both trajectories', figure)


def _sent(run: Figures) -> str:
    rate = run['sent_hz']
    return f'{run["sent"]}' + (f' at {rate:.1f} Hz' if rate else '')


def _gap(gap: Figures) -> str:
    return f'{gap["frames"]} frames, {gap["seconds"]:.2f} s' if gap['frames'] else '0'


def _lost(run: Figures) -> str:
    lost = (f'{topic} {count}' for topic, count in run['lost_messages'].items() if count)
    return ', '.join(lost) or '0'


def _position(run: Figures) -> str:
    found = run['agreement']
    if found is None:
        return UNKNOWN
    percent = found['position_percent_of_path']
    share = '' if percent is None else f'{percent:.2g} % of the path'
    if found['alignment'] == 'sim3':
        return share or UNKNOWN
    return f'{found["position"]["rmse"]:.2g} m' + (f', {share}' if share else '')


def _states(states: Mapping[str, int]) -> str:
    return ', '.join(f'{name.replace("_", " ")} {count}' for name, count in states.items())


def _number(values: Any, *path: str, unit: str = '') -> str:  # noqa: ANN401 - whatever JSON holds
    return formatted(number_at(values, *path), unit)


def _ms(seconds: float) -> str:
    return UNKNOWN if math.isnan(seconds) else f'{1e3 * seconds:.0f} ms'
