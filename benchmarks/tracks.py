"""Tracks over keyframes: `python benchmarks/tracks.py [data/kitti ...] --picture tracks.png`.

A rendered room shows how far the observations of each id lie from one point of the scene: the one
that the first keyframe of the id saw there. For sequences from disk there are only the lengths.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import torch

from loftr_ros.data.datasets import open_sequence
from loftr_ros.frontend import Frame, Tracker, TrackerOptions, TrackingResult
from loftr_ros.geometry import Camera
from loftr_ros.rendering.room import RenderedView, render_room_sequence
from loftr_ros.settings.matcher import load_matcher
from loftr_ros.settings.parameters import NodeParameters

mpl.use('Agg')
import matplotlib.pyplot as plt

Array = npt.NDArray[np.float64]
LIMIT = 2.0
LENGTHS = (2, 3, 5, 10, 20, 50)


@dataclass
class Lengths:
    """What is counted of the ids of a sequence."""

    observations: Counter[int] = field(default_factory=Counter)
    keyframes: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    survivals: list[float] = field(default_factory=list)
    before: set[int] = field(default_factory=set)
    last: set[int] = field(default_factory=set)

    def add(self, result: TrackingResult) -> None:
        ids = result.track_ids.tolist()
        self.observations.update(ids)
        for number in ids:
            self.keyframes[number].add(result.reference.stamp_ns)
        if self.before:
            self.survivals.append(len(self.before & set(ids)) / len(self.before))
        self.last = set(ids)
        self.before = self.last if result.new_keyframe else set()

    def line(self, name: str) -> str:
        lengths = np.array(list(self.observations.values()))
        seen = np.array([len(stamps) for stamps in self.keyframes.values()])
        shares = ' '.join(f'{np.mean(lengths >= least):5.0%}' for least in LENGTHS)
        return (
            f'{name:14} {len(lengths):7d} {lengths.mean():6.1f} {lengths.max():4d}  {shares}  '
            f'{np.mean(seen > 1):9.1%} {np.median(self.survivals or [np.nan]):8.1%}'
        )


@dataclass
class Drift:
    """Distances of observations from the point that their id stood for at first, px."""

    views: dict[int, RenderedView]
    points: dict[int, Array] = field(default_factory=dict)
    keyframe: dict[int, int] = field(default_factory=dict)
    errors: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    handed_over: list[float] = field(default_factory=list)

    def add(self, result: TrackingResult) -> None:
        camera = result.query.camera
        reference, query = result.reference.stamp_ns, result.query.stamp_ns
        if camera is None:
            return
        points = in_world(self.views[reference], camera, result.matches.reference_points)
        ids = result.track_ids.tolist()
        first = [self.points.setdefault(number, p) for number, p in zip(ids, points, strict=True)]
        pose = self.views[query].world_T_camera
        expected = camera.project((np.array(first).reshape(-1, 3) - pose[:3, 3]) @ pose[:3, :3])
        errors = np.hypot(*(result.matches.query_points - expected).T)
        for number, error in zip(ids, errors, strict=True):
            self.errors[number].append(float(error))
            if self.keyframe.setdefault(number, reference) != reference:
                self.handed_over.append(float(error))

    def line(self) -> str:
        tracks = [errors for errors in self.errors.values() if len(errors) > 1]
        again = np.concatenate([np.empty(0), *tracks])
        once = [errors[0] for errors in self.errors.values() if len(errors) == 1]
        parts: dict[str, Sequence[float] | Array] = {
            'ids seen again': again,
            'after a handover': self.handed_over,
            'seen once': once,
        }
        texts = [
            f'{np.mean(np.array(errors) < LIMIT):.2%} of {len(errors)} ({name})'
            for name, errors in parts.items()
            if len(errors)
        ]
        return f'within {LIMIT:g} px of the same point of the scene: ' + ', '.join(texts)


def in_world(view: RenderedView, camera: Camera, points: npt.NDArray[Any]) -> Array:
    """Return what the points (N, 2) of a view show, (N, 3) m; the depth is the nearest pixel's."""
    x, y = np.round(points).astype(np.int64).clip(0, [camera.width - 1, camera.height - 1]).T
    rays = np.column_stack([camera.normalize(points), np.ones(len(points))])
    local = rays * view.depth[y, x, None]
    return np.asarray(local @ view.world_T_camera[:3, :3].T + view.world_T_camera[:3, 3])


def room(frames: int, views: dict[int, RenderedView]) -> Iterator[Frame]:
    """Render the frames, and keep the truth about them."""
    for view in render_room_sequence(frames):
        views[view.stamp_ns] = view
        height, width = view.image.shape
        camera = Camera(width, height, view.matrix)
        yield Frame(view.stamp_ns, view.image, 'camera', camera)


def draw(lengths: dict[str, Lengths], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 4.5), constrained_layout=True)
    for name, counted in lengths.items():
        values = np.sort(list(counted.observations.values()))[::-1]
        axes.plot(values, np.arange(1, len(values) + 1) / len(values), label=name)
    axes.set(xscale='log', yscale='log', xlabel='frames in which an id is seen, at least')
    axes.set(ylabel='share of the ids', title='Length of tracks')
    axes.grid(visible=True, which='both', alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', nargs='*', type=Path, help='folders of sequences, or bags')
    parser.add_argument('--frames', type=int, default=100, help='of the rendered room; 0: none')
    parser.add_argument('--weights', default='lite')
    parser.add_argument('--device', default='auto')
    parser.add_argument('--reference', choices=('keyframe', 'previous'), default='keyframe')
    parser.add_argument('--tolerance', type=float, default=TrackerOptions().track_tolerance)
    parser.add_argument('--picture', type=Path, help='file for the lengths as a curve')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    chosen = {'matcher.weights': arguments.weights, 'matcher.device': arguments.device}
    matcher = load_matcher(NodeParameters().with_values(chosen))
    options = TrackerOptions(reference=arguments.reference, track_tolerance=arguments.tolerance)
    drift, everything = Drift({}), {}
    shares = ' '.join(f'{f">={least}":>5}' for least in LENGTHS)
    header = f'{"sequence":14} {"ids":>7} {"mean":>6} {"max":>4}  {shares}  '
    print(f'{header}{"keyframes":>9} {"survival":>8}')
    sources: dict[str, Any] = {path.name: path for path in arguments.data}
    if arguments.frames:
        sources['rendered room'] = None
    for name, path in sources.items():
        tracker, counted = Tracker(matcher, options), Lengths()
        frames = (
            room(arguments.frames, drift.views)
            if path is None
            else (item.frame for item in open_sequence(path))
        )
        for frame in frames:
            result = tracker.process(frame)
            if result is None:
                continue
            counted.add(result)
            if path is None:
                drift.add(result)
        everything[name] = counted
        print(counted.line(name), flush=True)
    if drift.points:
        print(drift.line())
    if arguments.picture:
        draw(everything, arguments.picture)


if __name__ == '__main__':
    main()
