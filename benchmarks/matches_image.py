"""Time to draw ~/matches_image and to make it a message: `python benchmarks/matches_image.py`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np

from loftr_ros.codecs.images import image_to_msg
from loftr_ros.frontend import Frame, TrackingResult
from loftr_ros.geometry import RelativePose
from loftr_ros.matching.matches import Matches
from loftr_ros.rendering.room import render_room_sequence
from loftr_ros.ros.outputs import draw_result, matches_image_to_msg

LIMIT_MS = 3.0


def make_result(count: int, width: int, height: int) -> TrackingResult:
    """Return a result between two views of a rendered room with `count` matches."""
    views = [view.image for view in render_room_sequence(2, width, height)]
    rng = np.random.default_rng(0)
    reference = rng.uniform(0, (width - 1, height - 1), (count, 2)).astype(np.float32)
    query = reference + rng.normal(0, width / 40, (count, 2)).astype(np.float32)
    confidence = rng.uniform(0.2, 1, count).astype(np.float32)
    ids = np.arange(count, dtype=np.int64)
    sigma = np.full(count, 0.5, np.float32)
    matches = Matches(reference, query, confidence, sigma, ids, (height // 8, width // 8))
    pose = RelativePose.rotation_only(
        np.eye(3),
        np.eye(3) * 1e-6,
        method='homography',
        inliers=rng.uniform(0, 1, count) > 0.2,
        median_residual=0.5,
        reason='made up',
    )
    first, second = (Frame(index, image, 'camera') for index, image in enumerate(views))
    return TrackingResult(
        reference=first,
        query=second,
        matches=matches,
        track_ids=ids,
        pose=pose,
        new_keyframe=False,
        seconds={},
    )


def measure(function: Callable[[], object], rounds: int) -> dict[str, float]:
    """Return percentiles of the time of a call, ms."""
    for _ in range(5):
        function()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append((time.perf_counter() - start) * 1e3)
    names = {'p5': 5, 'median': 50, 'p95': 95}
    return {name: float(np.percentile(times, percent)) for name, percent in names.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--matches', type=int, default=1500)
    parser.add_argument('--width', type=int, default=640, help='of each image, px')
    parser.add_argument('--height', type=int, default=480, help='of each image, px')
    parser.add_argument('--rounds', type=int, default=300)
    parser.add_argument('--json', action='store_true', help='print JSON rather than a table')
    arguments = parser.parse_args()
    cv2.setNumThreads(1)  # what it costs the node, whose other cores match
    result = make_result(arguments.matches, arguments.width, arguments.height)
    picture = draw_result(result)
    results = {
        'draw': measure(lambda: draw_result(result), arguments.rounds),
        'convert': measure(lambda: image_to_msg(picture), arguments.rounds),
        'both': measure(lambda: matches_image_to_msg(result), arguments.rounds),
    }
    if arguments.json:
        print(json.dumps({**vars(arguments), 'unit': 'ms', 'results': results}))
    else:
        size = f'{arguments.width}x{arguments.height}'
        print(f'{arguments.matches} matches, two images of {size}, {arguments.rounds} rounds, ms')
        for name, times in results.items():
            spread = f'p5 {times["p5"]:.2f}, p95 {times["p95"]:.2f}'
            print(f'  {name:<8} median {times["median"]:.2f} ({spread})')
    return int(results['both']['median'] >= LIMIT_MS)


if __name__ == '__main__':
    sys.exit(main())
