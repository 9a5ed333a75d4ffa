"""What it costs that threads spin where they wait: `python benchmarks/waiting.py`.

Times a new frame against a cached reference, on all cores, with OpenMP's threads as they are by
default, asleep soon where they wait (as node and command line have them) and at once, on a machine
that does nothing else and beside two endless loops for each core.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

import cv2
import numpy as np

from loftr_ros.rendering.room import render_room_sequence
from loftr_ros.waiting import SPINS

POLICIES: dict[str, dict[str, str]] = {
    'default': {},
    'brief': {'GOMP_SPINCOUNT': str(SPINS)},
    'passive': {'OMP_WAIT_POLICY': 'passive'},
}
HOG = [sys.executable, '-c', 'while True: pass']


def milliseconds(frames: int, weights: str) -> float:
    """Return the median time of a frame, ms, in this process."""
    from loftr_ros.matching.matcher import Matcher  # OpenMP asks for its settings when it is loaded

    matcher = Matcher(weights, max_matches=600)
    images = [view.image for view in render_room_sequence(frames + 3, seed=0)]
    reference, times = matcher.encode(images[0]), []
    for image in images[1:]:
        start = time.perf_counter()
        matcher.match(reference, matcher.encode(image))
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[2:])


def measured(policy: str, frames: int, weights: str) -> float:
    """Return the time that a process of its own measures."""
    command = [sys.executable, __file__, '--child', '--frames', str(frames), '--weights', weights]
    environment = os.environ | POLICIES[policy]
    return float(subprocess.check_output(command, env=environment, text=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--frames', type=int, default=20)
    parser.add_argument('--weights', default='lite')
    parser.add_argument('--child', action='store_true', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    if arguments.child:
        print(milliseconds(arguments.frames, arguments.weights))
        return
    cores = len(os.sched_getaffinity(0))
    print(f'{"beside":24} ' + ' '.join(f'{policy:>12}' for policy in POLICIES))
    for count in (0, 2 * cores):
        hogs = [subprocess.Popen(HOG) for _ in range(count)]
        try:
            times = [measured(p, arguments.frames, arguments.weights) for p in POLICIES]
        finally:
            for hog in hogs:
                hog.kill()
        name = f'{count} endless loops' if count else 'nothing else'
        print(f'{name:24} ' + ' '.join(f'{value:9.0f} ms' for value in times), flush=True)
    print(f'{np.round(os.getloadavg()[0], 1)}: load at the end, of {cores} cores')


if __name__ == '__main__':
    main()
