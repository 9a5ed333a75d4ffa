#!/usr/bin/env python3
"""How many features VINS would get of a sequence, and for how long it would see them.

    python examples/feature_tracks_report.py DATA [--reference previous]

Runs the tracker of the node on a dataset or bag, without ROS.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from feature_tracks import FeatureTracks

from loftr_ros.codecs.correspondences import Correspondences
from loftr_ros.data.datasets import DatasetError, open_sequence
from loftr_ros.data.sequences import GroundTruthSequence
from loftr_ros.frontend import Tracker, TrackerOptions
from loftr_ros.matching.matcher import Matcher

SOLVED = 4
"""VINS-Fusion solves for features seen in so many frames (feature_manager.cpp)."""


def describe(sequence: GroundTruthSequence, reference: str) -> str:
    """Track a sequence and say what became of its features."""
    tracker = Tracker(Matcher(longer_side=640), TrackerOptions(reference=reference))
    tracks, counts = FeatureTracks(), []
    frames: Counter[int] = Counter()
    for item in sequence:
        result = tracker.process(item.frame)
        if result is None:
            continue
        features = tracks.update(Correspondences.of(result))
        counts.append(0 if features is None else len(features.ids))
        if features is not None:
            frames.update(features.ids.tolist())
    if not frames:
        return f'{sequence.name}: no frame has features'
    lengths = np.array(list(frames.values()))
    return (
        f'{sequence.name}, reference {reference}: features of a frame {np.median(counts):.0f} '
        f'(median; least {min(counts)}), seen in {lengths.mean():.1f} frames on average; '
        f'{np.count_nonzero(lengths >= SOLVED)} of {len(lengths)} in {SOLVED} or more'
    )


def main() -> int:
    """Describe one sequence.

    Returns:
        Exit code: 0, or 1 with the reason on standard error.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('data', type=Path, help='folder of a dataset, or a bag')
    parser.add_argument('--reference', choices=('keyframe', 'previous'), default='keyframe')
    options = parser.parse_args()
    try:
        print(describe(open_sequence(options.data), options.reference))
    except DatasetError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
