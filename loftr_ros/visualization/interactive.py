"""Plots for a browser: trajectories, errors, states, counts, times, intervals.

Colours are readable on light and dark ground; the page that shows the plots sets the ground.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

BLUE, ORANGE, GREEN, RED, PURPLE, GREY = (
    '#3d8fd6',
    '#e8791a',
    '#2fa36b',
    '#d9483b',
    '#9a6bd1',
    '#8b909a',
)
SERIES = (BLUE, ORANGE, GREEN, PURPLE, RED)
STATE_COLOURS = {
    'ok': GREEN,
    'rotation_only': BLUE,
    'degenerate': PURPLE,
    'too_few_matches': ORANGE,
    'lost': RED,
    'refused': GREY,
}
LEGEND = {'orientation': 'h', 'x': 0, 'y': 1.0, 'yanchor': 'bottom', 'bgcolor': 'rgba(0,0,0,0)'}
MARGIN = {'l': 56, 'r': 12, 't': 34, 'b': 44}


def top_view(
    estimate: NDArray[Any],
    truth: NDArray[Any] | None,
    axes: tuple[int, int],
    unit: str = 'm',
    names: tuple[str, str] = ('estimate', 'truth'),
) -> go.Figure:
    """Draw a trajectory and its truth from above, both axes at one scale.

    Args:
        estimate: (N, 3), rows of NaN where the trajectory is broken.
        truth: (M, 3), or None.
        axes: Which of x, y, z go right and up.
        unit: Of the positions.
        names: What both are called.

    """
    across, along = axes
    figure = go.Figure()
    if truth is not None and len(truth):
        figure.add_trace(
            _line(truth[:, across], truth[:, along], names[1], GREY, dash='dash', width=3)
        )
    figure.add_trace(_line(estimate[:, across], estimate[:, along], names[0], BLUE))
    known = estimate[np.isfinite(estimate).all(axis=1)]
    if len(known):
        start = known[:1]
        figure.add_trace(
            go.Scatter(
                x=start[:, across],
                y=start[:, along],
                name='start',
                mode='markers',
                marker={'color': GREEN, 'size': 11},
            )
        )
    figure.update_xaxes(title=f'{"xyz"[across]} [{unit}]')
    figure.update_yaxes(title=f'{"xyz"[along]} [{unit}]', scaleanchor='x')
    return _laid_out(figure)


def coordinates(tracks: Mapping[str, tuple[ArrayLike, NDArray[Any]]], unit: str = 'm') -> go.Figure:
    """Draw x, y and z over time.

    Args:
        tracks: Name -> times (N,), s, and positions (N, 3); 'truth' is drawn dashed.
        unit: Of the positions.

    """
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.04)
    colours = itertools.cycle(SERIES)
    for name, (times, positions) in tracks.items():
        colour = GREY if name == 'truth' else next(colours)
        dash = 'dash' if name == 'truth' else 'solid'
        for axis in range(3):
            line = _line(times, positions[:, axis], name, colour, dash=dash)
            line.update(legendgroup=name, showlegend=axis == 0)
            figure.add_trace(line, row=axis + 1, col=1)
    for axis in range(3):
        figure.update_yaxes(title=f'{"xyz"[axis]} [{unit}]', row=axis + 1, col=1)
    figure.update_xaxes(title='time [s]', row=3, col=1)
    return _laid_out(figure)


def over_time(
    times: ArrayLike,
    series: Mapping[str, ArrayLike],
    label: str,
    *,
    marks: ArrayLike = (),
    mark_name: str = '',
    log: bool = False,
) -> go.Figure:
    """Draw series over time; NaN is a gap.

    Args:
        times: (N,), s.
        series: Name -> (N,).
        label: Of the axis, with the unit.
        marks: Times to mark on the axis.
        mark_name: What they are.
        log: Whether the axis is logarithmic; values of zero are left out then.

    """
    figure = go.Figure()
    for (name, values), colour in zip(series.items(), SERIES * 2, strict=False):
        numbers = np.asarray(values, np.float64)
        if log:
            numbers = np.where(numbers > 0, numbers, np.nan)
        figure.add_trace(_line(times, numbers, name, colour, markers=True))
    _add_marks(figure, np.asarray(marks, np.float64), mark_name)
    figure.update_xaxes(title='time [s]')
    figure.update_yaxes(title=label, type='log' if log else 'linear')
    if not log:
        figure.update_yaxes(rangemode='tozero')
    return _laid_out(figure)


def states(times: ArrayLike, names: Sequence[str], reasons: Sequence[str]) -> go.Figure:
    """Draw the state of each frame over time; the reason shows when one points at it."""
    seconds, labels = np.asarray(times, np.float64), np.array(names, np.str_)
    figure = go.Figure()
    order = [name for name in STATE_COLOURS if name in labels]
    for name in [*order, *sorted(set(names) - set(order))]:
        chosen = np.flatnonzero(labels == name)
        figure.add_trace(
            go.Scatter(
                x=seconds[chosen],
                y=[name.replace('_', ' ')] * len(chosen),
                mode='markers',
                name=f'{name.replace("_", " ")} ({len(chosen)})',
                showlegend=True,
                marker={
                    'color': STATE_COLOURS.get(name, GREY),
                    'symbol': 'line-ns-open',
                    'size': 16,
                },
                text=[reasons[index] for index in chosen.tolist()],
                hovertemplate='%{x:.2f} s %{text}',
            )
        )
    figure.update_xaxes(title='time [s]')
    return _laid_out(figure)


def histogram(values: ArrayLike, label: str, percentiles: Mapping[str, float]) -> go.Figure:
    """Draw a histogram, with percentiles as lines (name -> value)."""
    figure = go.Figure(go.Histogram(x=np.asarray(values), marker={'color': BLUE}, nbinsx=50))
    for (name, value), colour in zip(percentiles.items(), (ORANGE, RED, PURPLE), strict=False):
        figure.add_vline(value, line={'color': colour, 'width': 2})
        trace = _line([None], [None], f'{name}: {value:.4g}', colour)
        figure.add_trace(trace)
    figure.data[0].showlegend = False
    figure.update_xaxes(title=label)
    figure.update_yaxes(title='frames')
    return _laid_out(figure)


def intervals(
    names: Sequence[str],
    values: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    points: Sequence[ArrayLike],
    label: str,
) -> go.Figure:
    """Draw one value with its interval for each run, and the points it comes from.

    Args:
        names: Of the runs.
        values: (R,).
        low: (R,), lower ends; NaN where there is no interval.
        high: (R,), upper ends.
        points: Values of each bag, of each run.
        label: Of the axis, with the unit.

    """
    centre = np.asarray(values, np.float64)
    upper, lower = np.asarray(high, np.float64) - centre, centre - np.asarray(low, np.float64)
    figure = go.Figure()
    # Places, not names: two runs may have names that look like numbers or like each other.
    for place, of_run in enumerate(points):
        numbers = np.asarray(of_run, np.float64)
        figure.add_trace(
            go.Scatter(
                x=np.full(len(numbers), place - 0.15),
                y=numbers,
                mode='markers',
                name='bags',
                showlegend=place == 0,
                marker={'color': GREY, 'size': 7, 'opacity': 0.6},
            )
        )
    figure.add_trace(
        go.Scatter(
            x=np.arange(len(centre)),
            y=centre,
            mode='markers',
            name='mean, 95 %',
            marker={'color': BLUE, 'size': 11},
            error_y={
                'type': 'data',
                'array': np.nan_to_num(upper),
                'arrayminus': np.nan_to_num(lower),
                'color': BLUE,
                'thickness': 2.5,
            },
        )
    )
    figure.update_xaxes(tickvals=list(range(len(names))), ticktext=list(names))
    figure.update_xaxes(range=[-0.6, len(names) - 0.4])
    figure.update_yaxes(title=label, rangemode='tozero')
    return _laid_out(figure)


def _line(
    x: Any,  # noqa: ANN401 - whatever plotly takes
    y: Any,  # noqa: ANN401
    name: str,
    colour: str,
    *,
    dash: str = 'solid',
    width: float = 2,
    markers: bool = False,
) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=y,
        name=name,
        mode='lines+markers' if markers else 'lines',
        line={'color': colour, 'dash': dash, 'width': width},
        marker={'size': 4},
        connectgaps=False,
    )


def _add_marks(figure: go.Figure, marks: NDArray[np.float64], name: str) -> None:
    if len(marks):
        ticks = {'color': GREY, 'symbol': 'line-ns-open', 'size': 14}
        label = f'{name} ({len(marks)})'
        zeros = np.zeros(len(marks))
        figure.add_trace(go.Scatter(x=marks, y=zeros, name=label, mode='markers', marker=ticks))


def _laid_out(figure: go.Figure) -> go.Figure:
    figure.update_layout(template='none', legend=LEGEND, margin=MARGIN)
    figure.update_yaxes(automargin=True)
    return figure
