"""What the tracker believes when it is misled: `python benchmarks/adversarial.py data/kitti ...`.

Sequences from disk and rendered rooms are corrupted in each manner of `corrupted_sequences`
and tracked. Wrong is an estimate that is OK but misses by more than 5 degrees and 3 deviations, its
own and those of true poses (see `benchmarks/covariance.py`). The uncorrupted sequences come first:
a tracker that believes nothing is never wrong.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from corrupted_sequences import CASES, EXACT_CASES, Count, TruthNoise
from covariance import truth_noise
from estimators import pairs_of

from loftr_ros.data.datasets import open_sequence
from loftr_ros.data.sequences import GroundTruthFrame
from loftr_ros.evaluation.matchers.peers import RootSift
from loftr_ros.frontend import Frame, Tracker, TrackerOptions, TrackingState
from loftr_ros.geometry import Camera, PoseState
from loftr_ros.rendering.room import render_room_sequence
from loftr_ros.settings.matcher import load_matcher
from loftr_ros.settings.parameters import NodeParameters

METRIC_MODES = {'kitti': 'stereo', 'sevenscenes': 'rgbd'}
UNCORRUPTED = 'uncorrupted'

HEADER = (
    f'{"case":18} {"frames":>6} {"OK":>5} {"wrong":>5} {"rot":>5} {"none":>5}  '
    f'{"searching":>9} {"restarted":>9} {"recovered":>9} {"frozen":>6}'
)


def sources(
    folders: list[Path], start: int, count: int, seeds: list[int]
) -> dict[str, tuple[list[GroundTruthFrame], TruthNoise]]:
    """Read some frames with a pose of each sequence, and render rooms."""
    found = {}
    for folder in folders:
        layout = open_sequence(folder).layout
        sequence = open_sequence(folder, mode=METRIC_MODES.get(layout, 'mono'))
        known = (item for item in sequence if item.world_T_camera is not None)
        frames = list(itertools.islice(known, min(start, len(sequence) - count - 1), None))[:count]
        noise = truth_noise(list(pairs_of(folder, 1, RootSift())))
        found[folder.name] = frames, TruthNoise(*noise)
    for seed in seeds:
        frames = room(count, seed)
        found[f'room {seed}'] = frames, TruthNoise()
        bare = [replace(one, frame=replace(one.frame, depth=None)) for one in frames]
        found[f'room {seed} mono'] = bare, TruthNoise()
    return found


def room(count: int, seed: int) -> list[GroundTruthFrame]:
    frames = []
    for view in render_room_sequence(count, seed=seed):
        height, width = view.image.shape
        camera = Camera(width, height, view.matrix)
        frame = Frame(view.stamp_ns, view.image, 'camera', camera, view.depth)
        frames.append(GroundTruthFrame(frame, view.world_T_camera))
    return frames


def track(frames: list[GroundTruthFrame], noise: TruthNoise, tracker: Tracker[Any]) -> Count:
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
        counted.add(result, np.linalg.inv(reference) @ query, noise)
    return counted


def line(name: str, count: Count) -> str:
    states, tracking = count.states, count.tracking
    total, ok, rotated = sum(states.values()), states[PoseState.OK], states[PoseState.ROTATION_ONLY]
    seen = [
        tracking[state]
        for state in (TrackingState.SEARCHING, TrackingState.RESTARTED, TrackingState.RECOVERED)
    ]
    gaps = ' '.join(f'{number:9d}' for number in seen)
    return (
        f'{name:18} {total:6d} {ok:5d} {count.wrong:5d} {rotated:5d} {total - ok - rotated:5d}  '
        f'{gaps} {tracking[TrackingState.FROZEN]:6d}'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', nargs='*', type=Path, help='folders of sequences, or bags')
    parser.add_argument('--frames', type=int, default=14, help='of each sequence')
    parser.add_argument('--start', type=int, default=0, help='first frame of each sequence')
    parser.add_argument('--rooms', nargs='*', type=int, default=[0, 1], help='seeds')
    parser.add_argument('--seed', type=int, default=0, help='of what corrupts the sequences')
    names = [UNCORRUPTED, *CASES]
    parser.add_argument('--cases', nargs='*', default=names, choices=names)
    parser.add_argument('--reference', choices=('keyframe', 'previous'), default='keyframe')
    parser.add_argument('--weights', default='lite')
    parser.add_argument('--device', default='auto')
    parser.add_argument('--each', action='store_true', help='a line for each sequence too')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    chosen = {'matcher.weights': arguments.weights, 'matcher.device': arguments.device}
    matcher = load_matcher(NodeParameters().with_values(chosen))
    found = sources(arguments.data, arguments.start, arguments.frames, arguments.rooms)
    options = TrackerOptions(reference=arguments.reference)
    print(HEADER)
    everything = Count()
    for case in arguments.cases:
        total = Count()
        for name, (frames, noise) in found.items():
            rng = np.random.default_rng(arguments.seed)
            corrupted = frames if case == UNCORRUPTED else CASES[case](frames, rng)
            if not corrupted:
                continue
            noise = TruthNoise() if case in EXACT_CASES else noise
            count = track(corrupted, noise, Tracker(matcher, options))
            if arguments.each:
                print(line(f'  {name}', count), flush=True)
            total.join(count)
        print(line(case, total), flush=True)
        if case != UNCORRUPTED:
            everything.join(total)
    print(line('all', everything))
    ok = everything.states[PoseState.OK]
    print(f'wrong among OK: {everything.wrong} of {ok} ({everything.wrong / max(ok, 1):.2%})')


if __name__ == '__main__':
    main()
