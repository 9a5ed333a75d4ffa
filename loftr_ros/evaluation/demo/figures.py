"""Pictures of a run of the demo: matches, motion against the truth, the node at work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from matplotlib.ticker import MaxNLocator

from loftr_ros.evaluation.demo.analysis import (
    DIRECTION_LIMIT,
    ROTATION_LIMIT,
    Chain,
    PairErrors,
    chain_drift,
    worst_result,
)
from loftr_ros.evaluation.demo.recording import read_images, read_matches
from loftr_ros.visualization.matches import draw_matches
from loftr_ros.visualization.trajectories import new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from loftr_ros.evaluation.demo.recording import PairResult

BLUE, ORANGE, GREY, RED = '#1f6fb4', '#e8710a', '0.35', '#c0392b'
BACKGROUND, WHITE = 24, (245, 245, 245)
TITLE: dict[str, Any] = {'fontsize': 11, 'loc': 'left', 'fontweight': 'bold'}


@dataclass(frozen=True, eq=False, kw_only=True)
class RunData:
    """What the pictures show.

    Attributes:
        name: Name of the sequence.
        results: What the node said, in the order of time.
        errors: Their errors.
        latencies: (N,), s.
        truth: Time of an image, ns -> true pose of the camera in the world (4, 4).
        chain: Estimated trajectory.
        stamps: Times of all images that were sent, ns.
        note: Weights and other conditions, for the title.

    """

    name: str
    results: Sequence[PairResult]
    errors: PairErrors
    latencies: NDArray[np.float64]
    truth: Mapping[int, NDArray[np.float64]]
    chain: Chain
    stamps: Sequence[int]
    note: str = ''

    def seconds(self, stamps: Sequence[int] | NDArray[Any]) -> NDArray[np.float64]:
        """Return times since the first image, s."""
        return (np.asarray(stamps, np.int64) - self.stamps[0]) / 1e9

    @property
    def times(self) -> NDArray[np.float64]:
        """Times of the results since the first image, s."""
        return self.seconds([result.query_ns for result in self.results])


def match_pictures(bag: Path, data: RunData) -> dict[str, NDArray[np.uint8]]:
    """Draw the matches of the first, the middle, the last and the worst result."""
    last = len(data.results) - 1
    chosen = {'start': 0, 'middle': last // 2, 'end': last}
    chosen['worst'] = worst_result(data.results, data.errors)
    results = [data.results[index] for index in chosen.values()]
    matches = read_matches(bag, {result.query_ns for result in results})
    stamps = {stamp for each in results for stamp in (each.reference_ns, each.query_ns)}
    images = read_images(bag, stamps)
    pictures = {}
    for name, index in chosen.items():
        result = data.results[index]
        if result.query_ns not in matches or result.reference_ns not in images:
            continue
        found, inliers = matches[result.query_ns]
        picture = draw_matches(
            images[result.reference_ns],
            images[result.query_ns],
            found,
            inliers if result.reference_T_query is not None else None,
            caption=f'{result.matches} matches, {result.inliers} inliers (red: no inlier)',
        )
        pictures[name] = _with_headline(picture, _headline(name, index, data))
    return pictures


def motion_figure(data: RunData) -> Figure:
    """Draw the errors of the relative poses over time, and the trajectory from above."""
    figure = new_figure(14.0, 7.0)
    figure.suptitle(f'Estimated against true motion: {data.name}', fontsize=14, fontweight='bold')
    grid = figure.add_gridspec(2, 2, width_ratios=(1.15, 1.0))
    rotation = figure.add_subplot(grid[0, 0])
    direction = figure.add_subplot(grid[1, 0], sharex=rotation)
    _draw_errors(rotation, data, data.errors.rotation, ROTATION_LIMIT)
    _draw_errors(direction, data, data.errors.direction, DIRECTION_LIMIT)
    rotation.set_title('Rotation error', **TITLE)
    direction.set_title('Direction error', **TITLE)
    rotation.tick_params(labelbottom=False)
    direction.set_xlabel('time since the first image [s]')
    _draw_from_above(figure.add_subplot(grid[:, 1]), data)
    return figure


def node_figure(data: RunData) -> Figure:
    """Draw matches, latency and dropped images over time."""
    figure = new_figure(12.0, 7.0)
    figure.suptitle(f'The node at work: {data.name}', fontsize=14, fontweight='bold')
    grid = figure.add_gridspec(3, 1, height_ratios=(3, 3, 0.6))
    matches = figure.add_subplot(grid[0])
    latency = figure.add_subplot(grid[1], sharex=matches)
    frames = figure.add_subplot(grid[2], sharex=matches)
    _draw_matches(matches, data)
    _draw_latency(latency, data)
    _draw_frames(frames, data)
    for axes in (matches, latency):
        axes.tick_params(labelbottom=False)
    frames.set_xlabel('time since the first image [s]')
    return figure


def _headline(name: str, index: int, data: RunData) -> str:
    result, errors = data.results[index], data.errors
    reference, query = data.seconds([result.reference_ns, result.query_ns])
    parts = [f'{name}: reference {reference:.2f} s, query {query:.2f} s', result.state]
    if not np.isnan(errors.rotation[index]):
        parts.append(f'rotation error {errors.rotation[index]:.2f} deg')
    if not np.isnan(errors.direction[index]):
        parts.append(f'direction error {errors.direction[index]:.1f} deg')
    return '  |  '.join(parts)


def _with_headline(picture: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """Put a line of text above a picture, as large as fits."""
    width, font = picture.shape[1], cv2.FONT_HERSHEY_SIMPLEX
    natural = cv2.getTextSize(text, font, 1.0, 1)[0][0]
    scale = min(0.7, (width - 24) / natural)
    height = round(16 + 32 * scale)
    strip = np.full((height, width, 3), BACKGROUND, np.uint8)
    cv2.putText(strip, text, (12, round(8 + 26 * scale)), font, scale, WHITE, 1, cv2.LINE_AA)
    return np.vstack([strip, picture])


def _draw_errors(axes: Axes, data: RunData, values: NDArray[np.float64], limit: float) -> None:
    known = ~np.isnan(values)
    times = data.times
    shown = np.maximum(values, limit / 90)  # at the lower end of the scale
    axes.plot(times, shown, 'o', color=BLUE, markersize=4, label=f'relative pose ({known.sum()})')
    axes.axhline(limit, color=GREY, linestyle='--', linewidth=1, label=f'{limit:g}°')
    missing = data.errors.known & ~known
    if known.any():
        median = float(np.median(values[known]))
        axes.axhline(median, color=ORANGE, linewidth=1.4, label=f'median {median:.2g}°')
    top = 2 * max(2 * limit, float(np.max(values[known], initial=0)))
    axes.set_yscale('log')  # good poses and failures differ by orders of magnitude
    axes.set_ylim(limit / 100, top)
    axes.yaxis.set_major_formatter('{x:g}')
    if missing.any():
        label = f'no pose ({missing.sum()})'
        axes.plot(times[missing], np.full(missing.sum(), 0.8 * top), 'x', color=RED, label=label)
    axes.set_ylabel('error [deg]')
    axes.grid(alpha=0.25)
    _legend_above(axes)


def _draw_from_above(axes: Axes, data: RunData) -> None:
    true = np.array([data.truth[stamp][:3, 3] for stamp in sorted(data.truth)])
    stamps = list(data.chain.poses)
    estimate = np.array([data.chain.poses[stamp][:3, 3] for stamp in stamps]).reshape(-1, 3)
    across, along = _horizontal_axes(data.truth)
    axes.plot(true[:, across], true[:, along], '--', color=GREY, linewidth=2, label='truth')
    for number, part in enumerate(_unbroken(stamps, estimate, data.chain.restarts)):
        axes.plot(
            part[:, across],
            part[:, along],
            '.-',
            color=BLUE,
            linewidth=1.4,
            markersize=5,
            label=None if number else _describe_chain(data),
        )
    axes.plot(*true[0, [across, along]], 'o', color='#2a9d4a', markersize=9, label='start')
    if data.chain.restarts:
        places = np.array([data.truth[stamp][:3, 3] for stamp in data.chain.restarts])
        label = f'chain restarted at the truth ({len(places)})'
        axes.plot(places[:, across], places[:, along], 's', color=RED, markersize=6, label=label)
    axes.set_title('Trajectory from above (scale from ground truth)', **TITLE)
    axes.set(xlabel=f'{"xyz"[across]} [m]', ylabel=f'{"xyz"[along]} [m]')
    axes.set_aspect('equal', adjustable='datalim')
    axes.margins(0.12)
    axes.grid(alpha=0.25)
    axes.legend(loc='upper center', bbox_to_anchor=(0.5, -0.08), ncols=2, frameon=False)


def _describe_chain(data: RunData) -> str:
    drift = chain_drift(data.chain, data.truth)
    text = 'estimate: chained relative poses'
    return f'{text}, {drift[0]:.2g} m off after {drift[1]:.3g} m' if drift else text


def _draw_matches(axes: Axes, data: RunData) -> None:
    matches = [result.matches for result in data.results]
    inliers = [result.inliers for result in data.results]
    axes.plot(data.times, matches, '.-', color=BLUE, label='matches')
    axes.plot(data.times, inliers, '.-', color=ORANGE, label='inliers of the pose')
    keyframes = data.seconds([each.query_ns for each in data.results if each.new_keyframe])
    for number, time in enumerate(keyframes):
        label = None if number else f'new keyframe ({len(keyframes)})'
        axes.axvline(time, color=GREY, linestyle=':', linewidth=1, label=label)
    axes.set_title('Matches with the keyframe', **TITLE)
    axes.set_ylabel('count')
    axes.set_ylim(0, 1.15 * max([1, *matches]))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    _legend_above(axes)


def _draw_latency(axes: Axes, data: RunData) -> None:
    values = 1e3 * data.latencies
    axes.plot(data.times, values, '.-', color=BLUE, label='one image')
    if values.size:
        for share, style in ((50, '-'), (95, '--')):
            level = float(np.nanpercentile(values, share))
            label = f'p{share} {level:.0f} ms'
            axes.axhline(level, color=ORANGE, linestyle=style, linewidth=1.2, label=label)
        axes.set_ylim(0, 1.15 * float(np.nanmax(values)))
    axes.set_title('Latency: image published to pose received', **TITLE)
    axes.set_ylabel('latency [ms]')
    axes.grid(alpha=0.25)
    _legend_above(axes)


def _draw_frames(axes: Axes, data: RunData) -> None:
    done = {result.query_ns for result in data.results}
    done |= {data.results[0].reference_ns} if data.results else set()
    used = data.seconds([stamp for stamp in data.stamps if stamp in done])
    skipped = data.seconds([stamp for stamp in data.stamps if stamp not in done])
    axes.vlines(used, 0, 1, color=BLUE, linewidth=1.5, label=f'processed ({len(used)})')
    axes.vlines(
        skipped, 0, 1, color='0.8', linewidth=1.5, label=f'replaced by a newer one ({len(skipped)})'
    )
    axes.set_yticks([])
    axes.set_title('Images', **TITLE)
    _legend_above(axes)


def _legend_above(axes: Axes) -> None:
    axes.legend(
        loc='lower right',
        bbox_to_anchor=(1.0, 1.0),
        ncols=4,
        frameon=False,
        borderaxespad=0.2,
        fontsize=9,
        handlelength=1.4,
        columnspacing=1.2,
    )


def _unbroken(
    stamps: Sequence[int], positions: NDArray[np.float64], restarts: Sequence[int]
) -> list[NDArray[np.float64]]:
    """Cut a trajectory where it starts again."""
    cuts = [stamps.index(stamp) for stamp in restarts if stamp in stamps]
    return [part for part in np.split(positions, cuts) if len(part)]


def _horizontal_axes(truth: Mapping[int, NDArray[np.float64]]) -> tuple[int, int]:
    """Return the two axes of the world that lie across the mean down direction of the camera."""
    down = np.abs(np.mean([pose[:3, 1] for pose in truth.values()], axis=0))
    first, second = sorted(set(range(3)) - {int(np.argmax(down))})
    return first, second


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an RGB picture.

    Raises:
        OSError: It cannot be written.

    """
    if not cv2.imwrite(str(path), image[..., ::-1]):
        raise OSError(f'could not write {path}')
