"""Does the node hold for long? `python benchmarks/soak.py [--seconds 600]`.

Plays a rendered sequence over DDS into the real node at the rate of a camera, and writes memory,
threads, open files, cores and latency over time as JSON and as a picture. The exit code is 1 where
the node ended, an error was reported, or something grew all the time.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from latency import Player, node_process, wait_for_first_pose
from resources import Watch, draw, growths, write_json

from loftr_ros.rendering.room import render_room_sequence

MOST_GROWTH = {'memory, MB': 50.0, 'threads': 1.0, 'open files': 1.0}
"""More from the second fifth to the last is growth that goes on, and no scatter."""


def figures_of(
    player: Player, watch: Watch, sent: int, errors: int, begin: float
) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    """Return the figures of a run, and its latencies over time, s."""
    latencies = [(at - begin, latency) for at, latency in player.latencies]
    milliseconds = 1e3 * np.array([latency for _, latency in latencies] or [np.nan])
    fifth = max(1, len(milliseconds) // 5)
    figures = {
        'sent': sent,
        'poses': len(latencies),
        'dropped': int(player.diagnostics.get('dropped', 0)),
        'errors': errors,
        'latency p50 [ms]': float(np.percentile(milliseconds, 50)),
        'latency p95 [ms]': float(np.percentile(milliseconds, 95)),
        'latency p50 of the first fifth [ms]': float(np.median(milliseconds[:fifth])),
        'latency p50 of the last fifth [ms]': float(np.median(milliseconds[-fifth:])),
        'greatest memory [MB]': max(sample.memory for sample in watch.samples),
        **growths(watch.samples),
    }
    return figures, latencies


def problems_of(figures: dict[str, Any], code: int | None) -> list[str]:
    """Say what does not hold."""
    problems = [
        f'{label} grew by {figures[f"growth: {label}"]:.4g}, allowed are {most:g}'
        for label, most in MOST_GROWTH.items()
        if figures[f'growth: {label}'] > most
    ]
    if code != 0:
        problems.append(f'the node ended with exit code {code}')
    if figures['errors']:
        problems.append(f'{figures["errors"]} unexpected errors')
    if not figures['poses']:
        problems.append('no poses came')
    return problems


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=600.0)
    parser.add_argument('--rate', type=float, default=20.0, help='images per second, Hz')
    parser.add_argument('--width', type=int, default=640)
    parser.add_argument('--height', type=int, default=480)
    parser.add_argument('--views', type=int, default=45, help='images that are rendered')
    parser.add_argument('--json', type=Path, default=Path('soak.json'))
    parser.add_argument('--picture', type=Path, default=Path('soak.png'))
    parser.add_argument('parameters', nargs='*', help='of the node: matcher.longer_side:=480 ...')
    options = parser.parse_args(words)
    size = {'width': options.width, 'height': options.height}
    views = list(render_room_sequence(options.views, **size, rate_hz=options.rate))
    player, watch = Player(), Watch()
    try:
        with node_process(options.parameters) as node:
            wait_for_first_pose(player, views)
            player.latencies.clear()
            watch = Watch()
            watch.begin(node.process.pid)
            sent = player.play(views, options.rate, options.seconds, 10**12)
            time.sleep(2.5)  # for the last frame and the last report
            watch.end()
            errors = int(player.diagnostics.get('errors', 0))
        code = node.process.returncode
    finally:
        player.close()
    figures, latencies = figures_of(player, watch, sent, errors, watch.start)
    problems = problems_of(figures, code)
    title = f'{options.rate:g} Hz, {size["width"]}x{size["height"]}, {options.seconds:g} s'
    write_json(options.json, figures, watch.samples, latencies=latencies, problems=problems)
    draw(options.picture, ' '.join([title, *options.parameters]), watch.samples, latencies)
    for name, value in figures.items():
        print(f'  {name:<36} {value:.6g}')
    print('\n'.join(problems) or f'holds: {options.json}, {options.picture}')
    return int(bool(problems))


if __name__ == '__main__':
    sys.exit(main())
