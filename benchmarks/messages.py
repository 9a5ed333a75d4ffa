"""Time of a set of matches from arrays to the wire: `python benchmarks/messages.py`."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable

# Nobody else shall listen: what is measured is this machine alone.
os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
os.environ.setdefault('ROS_DOMAIN_ID', '101')

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from loftr_ros.codecs.conversions import correspondences_from_msg, correspondences_to_msg
from loftr_ros.codecs.correspondences import Correspondences, View
from loftr_ros.geometry import Camera
from loftr_ros.msg import Correspondences as CorrespondencesMsg

LIMIT_MS = 1.0


def make_correspondences(count: int) -> Correspondences:
    rng = np.random.default_rng(0)
    camera = Camera(640, 480, np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]))
    view = View(1, 'camera', (480, 640), camera)
    reference, query = rng.uniform(0, 480, (2, count, 2)).astype(np.float32)
    confidence, sigma = rng.uniform(0, 1, (2, count)).astype(np.float32)
    ids = np.arange(count, dtype=np.int64)
    return Correspondences(
        reference=view,
        query=view,
        reference_points=reference,
        query_points=query,
        confidence=confidence,
        sigma=sigma,
        inliers=confidence > 0.5,
        track_ids=ids,
    )


def measure(function: Callable[[], object], rounds: int) -> dict[str, float]:
    """Return median and spread of the time of a call, ms."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append((time.perf_counter() - start) * 1e3)
    p5, p25, p50, p75, p95 = np.percentile(times, [5, 25, 50, 75, 95]).tolist()
    return {
        'median': p50,
        'p5': p5,
        'p25': p25,
        'p75': p75,
        'p95': p95,
        'mean': statistics.fmean(times),
    }


def benchmark(count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Measure conversion and publishing of `count` matches with one subscriber listening."""
    correspondences = make_correspondences(count)
    message = correspondences_to_msg(correspondences)
    rclpy.init()
    publishing, listening = Node('publisher'), Node('subscriber')
    received: list[CorrespondencesMsg] = []
    publisher = publishing.create_publisher(CorrespondencesMsg, 'correspondences', 10)
    listening.create_subscription(CorrespondencesMsg, 'correspondences', received.append, 10)
    executor = SingleThreadedExecutor()
    executor.add_node(listening)
    while not publisher.get_subscription_count():
        time.sleep(0.01)

    def convert_and_publish() -> None:
        publisher.publish(correspondences_to_msg(correspondences))

    try:
        measure(convert_and_publish, 20)
        return {
            'convert': measure(lambda: correspondences_to_msg(correspondences), rounds),
            'publish': measure(lambda: publisher.publish(message), rounds),
            'convert and publish': measure(convert_and_publish, rounds),
            'read back': measure(lambda: correspondences_from_msg(message), rounds),
        }
    finally:
        while not received:
            executor.spin_once(0.1)
        if len(received[0].confidence) != count:
            raise RuntimeError('the subscriber received other matches')
        executor.shutdown()
        rclpy.shutdown()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--matches', type=int, default=2000, help='number of matches')
    parser.add_argument('--rounds', type=int, default=500, help='repetitions of each measurement')
    parser.add_argument('--json', action='store_true', help='print JSON rather than a table')
    arguments = parser.parse_args()
    results = benchmark(arguments.matches, arguments.rounds)
    if arguments.json:
        print(json.dumps({'matches': arguments.matches, 'unit': 'ms', 'results': results}))
    else:
        print(f'{arguments.matches} matches, {arguments.rounds} rounds, ms')
        for name, times in results.items():
            spread = f'p5 {times["p5"]:.3f}, p95 {times["p95"]:.3f}'
            print(f'  {name:<20} median {times["median"]:.3f} ({spread})')
    return int(results['convert and publish']['median'] >= LIMIT_MS)


if __name__ == '__main__':
    sys.exit(main())
