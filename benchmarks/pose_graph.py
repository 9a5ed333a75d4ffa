"""How long the pose graph of examples/ takes to close a loop.

    python benchmarks/pose_graph.py [KEYFRAMES ...]

Rounds of a kilometre with errors of 0.02 m and 0.002 rad a metre; the last keyframe is bound to the
one of a round before.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from loftr_ros.geometry.rotations import rotation_from_vector
from loftr_ros.geometry.transforms import make_transform

sys.path.insert(0, str(Path(__file__).parents[1] / 'examples'))

from pose_graph import Motion, PoseGraph

ROUND = 1000
CURVE, AHEAD = np.array([0.0, 2 * np.pi / ROUND, 0.0]), np.array([0.0, 0.0, 1.0])
SIGMAS = np.array([0.02, 0.02, 0.02, 0.002, 0.002, 0.002])


def drive(keyframes: int) -> PoseGraph:
    rng, graph = np.random.default_rng(0), PoseGraph()
    for index in range(keyframes):
        error = rng.normal(size=6) * SIGMAS
        rotvec = error[3:] + CURVE
        motion = make_transform(rotation_from_vector(rotvec), error[:3] + AHEAD)
        graph.add_motion(Motion(index, index + 1, motion, np.diag(SIGMAS**2)))
    return graph


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('keyframes', type=int, nargs='*', default=[1000, 2000, 3000])
    for keyframes in parser.parse_args().keyframes:
        graph = drive(keyframes)
        last = graph.stamps[-1]
        start = time.perf_counter()
        graph.add_loop(Motion(max(last - ROUND + 1, 0), last, np.eye(4), np.diag(SIGMAS**2)))
        seconds = time.perf_counter() - start
        (loop,) = graph.loops
        print(f'{len(graph):5d} keyframes, {loop.before:5.0f} sigma off: {seconds:.2f} s')


if __name__ == '__main__':
    main()
