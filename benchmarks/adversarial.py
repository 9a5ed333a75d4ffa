"""What the tracker believes when it is misled: `python benchmarks/adversarial.py data/kitti ...`.

Sequences from disk and a rendered room are spoilt in each way of `loftr_ros.evaluation.adversarial`
and tracked. Wrong is an estimate that is OK but misses by more than 5 degrees and 3 deviations.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from loftr_ros.evaluation.adversarial import CASES, Count
from loftr_ros.evaluation.datasets import open_sequence
from loftr_ros.evaluation.demo_feed import room_source
from loftr_ros.evaluation.sequences import GroundTruthFrame
from loftr_ros.frontend import Tracker, TrackerOptions, TrackingState
from loftr_ros.geometry import PoseState
from loftr_ros.matching.matcher import Matcher

HEADER = (
    f'{"case":18} {"frames":>6} {"OK":>5} {"wrong":>5} {"rot":>5} {"none":>5}  '
    f'{"searching":>9} {"restarted":>9} {"recovered":>9} {"frozen":>6}'
)


def sources(folders: list[Path], count: int) -> dict[str, list[GroundTruthFrame]]:
    """Read the first frames with a pose of each sequence, and render a room."""
    found = {'room': list(room_source(count).frames)}
    for folder in folders:
        sequence = open_sequence(folder)
        if sequence.layout == 'kitti':
            sequence = open_sequence(folder, mode='stereo')
        known = (item for item in sequence if item.world_T_camera is not None)
        found[folder.name] = list(itertools.islice(known, count))
    return found


def track(frames: list[GroundTruthFrame], tracker: Tracker[Any]) -> Count:
    """Track a sequence and count what is believed."""
    poses = {
        item.frame.stamp_ns: item.world_T_camera
        for item in frames
        if item.world_T_camera is not None
    }
    counted = Count()
    for item in frames:
        result = tracker.process(item.frame)
        if result is None:
            continue
        reference, query = poses[result.reference.stamp_ns], poses[result.query.stamp_ns]
        counted.add(result, np.linalg.inv(reference) @ query)
    return counted


def line(name: str, count: Count) -> str:
    states, tracking = count.states, count.tracking
    total, ok, turned = sum(states.values()), states[PoseState.OK], states[PoseState.ROTATION_ONLY]
    seen = [
        tracking[state]
        for state in (TrackingState.SEARCHING, TrackingState.RESTARTED, TrackingState.RECOVERED)
    ]
    gaps = ' '.join(f'{number:9d}' for number in seen)
    return (
        f'{name:18} {total:6d} {ok:5d} {count.wrong:5d} {turned:5d} {total - ok - turned:5d}  '
        f'{gaps} {tracking[TrackingState.FROZEN]:6d}'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', nargs='*', type=Path, help='folders of sequences, or bags')
    parser.add_argument('--frames', type=int, default=14, help='of each sequence')
    parser.add_argument('--cases', nargs='*', default=list(CASES), choices=list(CASES))
    parser.add_argument('--reference', choices=('keyframe', 'previous'), default='keyframe')
    parser.add_argument('--weights', default='lite')
    parser.add_argument('--device', default='auto')
    parser.add_argument('--each', action='store_true', help='a line for each sequence too')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    matcher = Matcher(arguments.weights, device=arguments.device)
    found = sources(arguments.data, arguments.frames)
    options = TrackerOptions(reference=arguments.reference)
    print(HEADER)
    everything, totals = Count(), defaultdict[str, Count](Count)
    for case, (name, frames) in itertools.product(arguments.cases, found.items()):
        spoilt = CASES[case](frames, np.random.default_rng(0))
        if not spoilt:
            continue
        count = track(spoilt, Tracker(matcher, options))
        if arguments.each:
            print(line(f'  {name}', count), flush=True)
        totals[case].join(count)
        everything.join(count)
        if name == list(found)[-1]:
            print(line(case, totals[case]), flush=True)
    print(line('all', everything))
    ok = everything.states[PoseState.OK]
    print(f'wrong among OK: {everything.wrong} of {ok} ({everything.wrong / max(ok, 1):.2%})')


if __name__ == '__main__':
    main()
