"""Frames that are dropped or dark: `python benchmarks/blackouts.py --room data/kitti_stereo ...`.

Windows of a sequence lose some frames in their middle, or these show nothing but noise. A run keeps
the track if the last frame of the window has a pose that is right to 5 % of the way (1 cm at
least) and 2 degrees. The same windows go through the front end with LoFTR, with and without a
gyroscope that is simulated from the true poses, through the same front end with RootSIFT, and
through OpenCV's Lucas-Kanade with PnP on the same depth. Sequences without depth have the true
speed as scale. Peers see the full resolution.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from lucas_kanade import LucasKanade
from odometry import Peer, modes_of

from loftr_ros.data.datasets import open_sequence
from loftr_ros.data.sequences import GroundTruthFrame
from loftr_ros.frontend import BaseOdometry, Frame, Gyroscope, GyroscopeOptions, Session
from loftr_ros.geometry import Camera
from loftr_ros.geometry.rotations import rotation_vector
from loftr_ros.geometry.transforms import inverse_transform
from loftr_ros.rendering.gyroscope import SimulatedGyroscope
from loftr_ros.rendering.room import camera_pose, render_room_sequence
from loftr_ros.settings.matcher import load_matcher
from loftr_ros.settings.parameters import NodeParameters
from loftr_ros.visualization.bars import grouped_bars
from loftr_ros.visualization.trajectories import save_figure

Array = npt.NDArray[np.float64]
Frames = list[GroundTruthFrame]
Track = Callable[[Frames], 'Array | None']

DROPS = (1, 2, 5, 10, 30)
BLACKOUTS_S = (0.2, 0.5, 1.0, 3.0)
BEFORE, AFTER = 5, 5
"""Frames of a window around the gap."""
SHARE, LEAST_M, DEGREES = 0.05, 0.01, 2.0
NOISE = 2.0
GYROSCOPE = SimulatedGyroscope(bias=np.array([0.02, -0.01, 0.015]), noise_density=1.7e-3)
"""That of EuRoC's ADIS16448, with a bias that nobody has taken off."""
ROOM_FRAMES, ROOM_SIZE, ROOM_HASTE = 60, (480, 360), 3.0


@dataclass(frozen=True)
class Gap:
    """What happens in the middle of a window.

    Attributes:
        name: As in the table.
        drops: Frames that are left out.
        dark_s: For so long frames are dark, s.
    """

    name: str
    drops: int = 0
    dark_s: float = 0.0

    def frames(self, rate_hz: float) -> int:
        return self.drops or (max(1, round(self.dark_s * rate_hz)) if self.dark_s else 0)

    def apply(self, window: Frames, rate_hz: float, rng: np.random.Generator) -> Frames:
        """Return a window without its middle, or with it in the dark."""
        end = BEFORE + self.frames(rate_hz)
        if self.drops:
            return [*window[:BEFORE], *window[end:]]
        hidden = [replace(one, frame=darkened(one.frame, rng)) for one in window[BEFORE:end]]
        return [*window[:BEFORE], *hidden, *window[end:]]


NO_GAP = Gap('none')
GAPS = (
    NO_GAP,
    *(Gap(f'{count} dropped', drops=count) for count in DROPS),
    *(Gap(f'{seconds:g} s dark', dark_s=seconds) for seconds in BLACKOUTS_S),
)


def darkened(frame: Frame, rng: np.random.Generator) -> Frame:
    """Return a frame that shows the noise of the camera alone; its depth is unknown, too."""

    def dark(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        noise = np.abs(rng.normal(0, NOISE, image.shape))
        return np.asarray(np.clip(noise, 0, 255), np.uint8)

    right = frame.right and replace(frame.right, image=dark(frame.right.image))
    depth = None if frame.depth is None else np.full_like(frame.depth, np.nan)
    return replace(frame, image=dark(frame.image), depth=depth, right=right)


class Cached:
    """A matcher that encodes each image once, although many runs show it."""

    def __init__(self, matcher: Any) -> None:  # noqa: ANN401 - of any features
        self._matcher = matcher
        self._known: dict[int, tuple[Any, Any]] = {}

    def encode(self, image: Any, mask: Any = None) -> Any:  # noqa: ANN401
        if id(image) not in self._known:
            self._known[id(image)] = image, self._matcher.encode(image, mask)
        return self._known[id(image)][1]

    def forget(self, frames: Frames) -> None:
        """Forget images that no other run shows."""
        for one in frames:
            views = one.frame.image, one.frame.right and one.frame.right.image
            for image in views:
                self._known.pop(id(image), None)

    def match(self, reference: Any, query: Any) -> Any:  # noqa: ANN401
        return self._matcher.match(reference, query)

    def starting_at(self, features: Any, points: Any) -> Any:  # noqa: ANN401
        return self._matcher.starting_at(features, points)

    def signature(self, features: Any) -> Any:  # noqa: ANN401
        return self._matcher.signature(features)


@dataclass(frozen=True, eq=False)
class Speeds:
    """True speeds of a whole sequence, which give those without depth their scale."""

    stamps_ns: npt.NDArray[np.int64]
    along: Array

    @classmethod
    def of(cls, frames: Frames) -> Speeds:
        steps = np.linalg.norm(np.diff([position(one) for one in frames], axis=0), axis=1)
        stamps = np.array([one.frame.stamp_ns for one in frames], np.int64)
        return cls(stamps, np.concatenate([[0.0], np.cumsum(steps)]))

    def distance(self, start_ns: int, end_ns: int) -> float:
        return float(np.diff(np.interp([start_ns, end_ns], self.stamps_ns, self.along))[0])

    def between(self, start_ns: int, end_ns: int) -> Iterator[tuple[int, float]]:
        """Yield times, ns, and speeds, m/s, of each step between two times."""
        chosen = np.flatnonzero((self.stamps_ns >= start_ns) & (self.stamps_ns <= end_ns))
        for first, second in itertools.pairwise(chosen.tolist()):
            seconds = (self.stamps_ns[second] - self.stamps_ns[first]) / 1e9
            speed = float(self.along[second] - self.along[first]) / seconds
            yield int(self.stamps_ns[first]) + 1, speed
            yield int(self.stamps_ns[second]), speed


def position(item: GroundTruthFrame) -> Array:
    return pose_of(item)[:3, 3]


def pose_of(item: GroundTruthFrame) -> Array:
    if item.world_T_camera is None:
        raise ValueError('the sequence needs true poses')
    return item.world_T_camera


def through_session(
    matcher: Cached, speeds: Speeds, truth: Frames, *, with_gyroscope: bool = False
) -> Track:
    """Return the front end of the package, with a matcher."""

    def track(window: Frames) -> Array | None:
        gyroscope = None
        samples: Iterator[tuple[np.int64, Array]] = iter(())
        if with_gyroscope:
            known = GyroscopeOptions(GYROSCOPE.noise_density)
            gyroscope = Gyroscope(GYROSCOPE.camera_R_imu, known)
            samples = zip(*samples_of(truth), strict=True)
        odometry = BaseOdometry(gyroscope=gyroscope)
        session = Session(matcher, odometry=odometry, gyroscope=gyroscope)
        if window[0].frame.mode == 'mono':
            for stamp, speed in speeds.between(window[0].frame.stamp_ns, window[-1].frame.stamp_ns):
                odometry.set_speed(stamp, speed)
        estimate, start = None, window[0].frame.stamp_ns - 10**9
        for item in window:
            for sample_ns, rate in samples:
                if sample_ns >= start:
                    session.add_imu(int(sample_ns), rate)
                if sample_ns >= item.frame.stamp_ns:
                    break
            estimate = session.process(item.frame).estimate
        metric = estimate is not None and estimate.metric
        return estimate.odom_T_base if estimate is not None and metric else None

    return track


def samples_of(frames: Frames) -> tuple[npt.NDArray[np.int64], Array]:
    """Simulate the gyroscope of a whole sequence."""
    stamps = np.array([one.frame.stamp_ns for one in frames], np.int64)
    return GYROSCOPE.samples(stamps, np.stack([pose_of(one)[:3, :3] for one in frames]))


def through_lucas_kanade(speeds: Speeds) -> Track:
    """Return OpenCV's."""

    def track(window: Frames) -> Array | None:
        peer, pose = LucasKanade(speeds.distance), None
        for item in window:
            pose = peer.process(item.frame)
        return pose

    return track


def is_kept(pose: Array | None, whole: Frames) -> bool:
    """Tell if the pose of the last frame in the first is right.

    Args:
        pose: (4, 4), m; None for none.
        whole: The window with all its frames, for the way.
    """
    if pose is None:
        return False
    truth = inverse_transform(pose_of(whole[0])) @ pose_of(whole[-1])
    way = np.linalg.norm(np.diff([position(one) for one in whole], axis=0), axis=1).sum()
    shift = float(np.linalg.norm(truth[:3, 3] - pose[:3, 3]))
    angle = np.rad2deg(np.linalg.norm(rotation_vector(truth[:3, :3] @ pose[:3, :3].T)))
    return bool(shift <= max(SHARE * way, LEAST_M) and angle <= DEGREES)


@dataclass
class Scores:
    """How often each method kept the track, by gap."""

    sequence: str
    kept: dict[str, dict[str, int]] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)

    def add(self, method: str, gap: Gap, kept: bool) -> None:
        self.kept.setdefault(method, {}).setdefault(gap.name, 0)
        self.kept[method][gap.name] += kept

    def lines(self) -> Iterator[str]:
        for method, kept in self.kept.items():
            shares = ' '.join(f'{kept[gap]:>6d}/{self.runs[gap]}' for gap in kept)
            yield f'{self.sequence:18} {method:20} {shares}'


def rate_of(frames: Frames) -> float:
    stamps = [one.frame.stamp_ns for one in frames]
    return 1e9 / float(np.median(np.diff(stamps)))


def measure(
    name: str, frames: Frames, methods: dict[str, Track], caches: list[Cached], runs: int
) -> Scores:
    """Run all gaps of a sequence, each from several starts, spread evenly over it."""
    scores, rate = Scores(name), rate_of(frames)
    for gap in GAPS:
        length = BEFORE + gap.frames(rate) + AFTER
        if length > len(frames):
            continue
        starts = sorted({*np.linspace(0, len(frames) - length, runs).round().astype(int).tolist()})
        scores.runs[gap.name] = len(starts)
        for start in starts:
            whole = frames[start : start + length]
            window = gap.apply(whole, rate, np.random.default_rng(start))
            for method, track in methods.items():
                scores.add(method, gap, is_kept(track(window), whole))
            for cache in caches:
                cache.forget([one for one in window if one not in whole])
        print(f'{name}: {gap.name}', file=sys.stderr, flush=True)
    return scores


def room() -> Frames:
    """Return a brisk walk through the rendered room, by up to 1.2 m/s, with depth, at 10 Hz."""
    width, height = ROOM_SIZE
    found = []

    def path(seconds: float) -> Array:
        return camera_pose(ROOM_HASTE * seconds)

    for view in render_room_sequence(ROOM_FRAMES, width=width, height=height, path=path):
        camera = Camera(width, height, view.matrix)
        frame = Frame(view.stamp_ns, view.image, 'camera', camera, view.depth)
        found.append(GroundTruthFrame(frame, view.world_T_camera))
    return found


def frames_of(folder: Path) -> Frames:
    """Return the frames with a true pose, in the first metric mode that there is."""
    sequence = open_sequence(folder, mode=modes_of(folder)[0])
    return [item for item in sequence if item.world_T_camera is not None]


def overall(scores: list[Scores]) -> dict[str, dict[str, float]]:
    """Return the share of runs, in percent, of each method and gap over all sequences."""
    found: dict[str, dict[str, float]] = {}
    for method in scores[0].kept:
        for gap in GAPS:
            having = [one for one in scores if gap.name in one.runs]
            count = sum(one.runs[gap.name] for one in having)
            kept = sum(one.kept[method][gap.name] for one in having)
            found.setdefault(method, {})[gap.name] = 100.0 * kept / max(count, 1)
    return found


def known(file: Path | None) -> list[Scores]:
    """Return what a run before has measured."""
    if file is None or not file.is_file():
        return []
    content = json.loads(file.read_text(encoding='utf-8'))
    return [Scores(**one) for one in content['sequences']]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', nargs='*', type=Path, help='folders with true poses')
    parser.add_argument('--room', action='store_true', help='a rendered room, too')
    parser.add_argument('--runs', type=int, default=4, help='windows of each gap')
    parser.add_argument('--weights', default='lite')
    parser.add_argument('--longer-side', type=int, default=480, help='of LoFTR, px')
    parser.add_argument('--json', type=Path, help='file for the figures; goes on from what it has')
    parser.add_argument('--figure', type=Path, help='draw the shares to this file')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    cv2.setRNGSeed(0)
    values = {'matcher.weights': arguments.weights, 'matcher.longer_side': arguments.longer_side}
    scores = known(arguments.json)
    given: list[tuple[str, Callable[[], Frames]]] = [
        (folder.name, functools.partial(frames_of, folder)) for folder in arguments.data
    ]
    for name, read in [*given, *([('room', room)] if arguments.room else [])]:
        if name in {one.sequence for one in scores}:
            continue
        frames = read()
        speeds = Speeds.of(frames)
        ours, sift = Cached(load_matcher(NodeParameters().with_values(values))), Cached(Peer())
        methods = {
            'LoFTR, gyroscope': through_session(ours, speeds, frames, with_gyroscope=True),
            'LoFTR': through_session(ours, speeds, frames),
            'RootSIFT': through_session(sift, speeds, frames),
            'Lucas-Kanade': through_lucas_kanade(speeds),
        }
        scores.append(measure(name, frames, methods, [ours, sift], arguments.runs))
        print('\n'.join(scores[-1].lines()), flush=True)
        if arguments.json:
            content = {'sequences': [vars(one) for one in scores]}
            arguments.json.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
    shares = overall(scores)
    print(f'{"":20} ' + ' '.join(f'{gap.name:>10}' for gap in GAPS))
    for method, of_gaps in shares.items():
        print(f'{method:20} ' + ' '.join(f'{value:8.0f} %' for value in of_gaps.values()))
    if arguments.figure:
        label = 'runs that keep the track, %'
        save_figure(grouped_bars(shares, label=label), arguments.figure)
    return 0


if __name__ == '__main__':
    sys.exit(main())
