"""Points followed between matched frames: `python benchmarks/following.py data/euroc_mh05 ...`.

Matches of a keyframe with a frame are followed on to later frames, by OpenCV's pyramidal
Lucas-Kanade with patches of several sizes, and by the alignment of `loftr_ros.matching`, which
starts from a coarse Lucas-Kanade. Both go forward and back. Beside them stand direct matches of the
keyframe with the later frame. Errors are distances from the true epipolar lines, times are those
of the processor in one thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from loftr_ros.data.datasets import open_sequence
from loftr_ros.data.images import to_grey
from loftr_ros.data.sequences import GroundTruthFrame
from loftr_ros.evaluation.records.metrics import epipolar_distances
from loftr_ros.geometry.transforms import inverse_transform
from loftr_ros.matching import alignment
from loftr_ros.matching.matcher import Matcher

Points = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Follow = Callable[[Image, Image, Points], tuple[Points, npt.NDArray[np.bool_]]]
FARTHEST_BACK = 0.5
LEVELS = 3
CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 0.01)
COARSE = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 3, 0.5)


def lucas_kanade(window: int) -> Follow:
    """Return OpenCV's with patches of this side, px."""

    def step(first: Image, second: Image, points: Points, levels: int, start: Points) -> Any:  # noqa: ANN401
        return cv2.calcOpticalFlowPyrLK(
            first,
            second,
            points,
            start.copy(),
            winSize=(window, window),
            maxLevel=levels,
            criteria=CRITERIA,
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )

    def follow(first: Image, second: Image, points: Points) -> tuple[Points, Any]:
        there, seen, _ = step(first, second, points, LEVELS, points)
        back, returned, _ = step(second, first, there, 0, points)
        near = np.linalg.norm(back - points, axis=1) < FARTHEST_BACK
        return there, (seen[:, 0] > 0) & (returned[:, 0] > 0) & near

    return follow


def gauss_newton(first: Image, second: Image, points: Points) -> tuple[Points, Any]:
    """Follow by the alignment of the matcher, from where a coarse Lucas-Kanade leads."""
    start, _, _ = cv2.calcOpticalFlowPyrLK(
        first,
        second,
        points,
        None,
        winSize=(15, 15),
        maxLevel=LEVELS,
        criteria=COARSE,  # type: ignore[call-overload]
    )
    images = [torch.from_numpy(image).float()[None, None] / 255 for image in (first, second)]
    pixels, there = (torch.from_numpy(np.asarray(p))[:, None] for p in (points, start))
    batch, affine = (
        torch.zeros(len(points), dtype=torch.long),
        torch.eye(2).expand(len(points), 2, 2),
    )
    with torch.inference_mode():
        layers = [torch.cat([one, *alignment._gradients(one)], dim=1) for one in images]  # noqa: SLF001
        there, _, seen = alignment._gauss_newton(  # noqa: SLF001
            layers[0], images[1], batch, pixels, there, affine
        )
        back, _, returned = alignment._gauss_newton(  # noqa: SLF001
            layers[1], images[0], batch, there, pixels, affine
        )
    near = np.linalg.norm(back[:, 0].numpy() - points, axis=1) < FARTHEST_BACK
    return there[:, 0].numpy(), (seen & returned)[:, 0].numpy() & near


METHODS: dict[str, Follow] = {
    **{f'Lucas-Kanade {side} px': lucas_kanade(side) for side in (9, 11, 15, 21)},
    'Gauss-Newton 9 px': gauss_newton,
}


def errors(
    points: tuple[Points, Points], first: GroundTruthFrame, second: GroundTruthFrame
) -> npt.NDArray[np.float64]:
    """Return the distances of matches from their true epipolar lines, px."""
    cameras = first.frame.camera, second.frame.camera
    poses = first.world_T_camera, second.world_T_camera
    if cameras[0] is None or cameras[1] is None or poses[0] is None or poses[1] is None:
        raise ValueError('the sequence needs calibration and true poses')
    truth = inverse_transform(poses[0]) @ poses[1]
    return np.asarray(epipolar_distances(*points, cameras[0], cameras[1], truth))


def measure(folder: Path, gap: int, keyframes: int) -> dict[str, list[list[float]]]:
    """Return kept share, median error, share below 1 px and milliseconds of each keyframe."""
    matcher, frames = Matcher(weights='lite', device='cpu'), list(open_sequence(folder))
    rows: dict[str, list[list[float]]] = {}
    for number in range(0, len(frames) - 2 - gap, max(1, len(frames) // keyframes)):
        first, middle, last = frames[number], frames[number + 2], frames[number + 2 + gap]
        reference = matcher.encode(first.frame.image)
        known = matcher.match(reference, matcher.encode(middle.frame.image))
        begin = time.thread_time()
        direct = matcher.match(reference, matcher.encode(last.frame.image))
        spent = time.thread_time() - begin
        found = errors((direct.reference_points, direct.query_points), first, last)
        note(rows, 'matched directly', found, 1.0, spent)
        grey = [np.ascontiguousarray(to_grey(one.frame.image)) for one in (middle, last)]
        for name, follow in METHODS.items():
            begin = time.thread_time()
            there, kept = follow(grey[0], grey[1], np.ascontiguousarray(known.query_points))
            spent = time.thread_time() - begin
            found = errors((known.reference_points[kept], there[kept]), first, last)
            note(rows, name, found, float(kept.mean()), spent)
    return rows


def note(
    rows: dict[str, list[list[float]]],
    name: str,
    found: npt.NDArray[np.float64],
    kept: float,
    seconds: float,
) -> None:
    """Add the figures of one pair."""
    figures = [kept, float(np.median(found)), float(np.mean(found < 1.0)), 1e3 * seconds]
    rows.setdefault(name, []).append(figures)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', nargs='+', type=Path, help='folders with true poses')
    parser.add_argument('--gaps', nargs='+', type=int, default=[1, 3, 6], help='frames between')
    parser.add_argument('--keyframes', type=int, default=12)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for folder in arguments.data:
        for gap in arguments.gaps:
            print(f'{folder.name}, {gap} frames after the match')
            for name, figures in measure(folder, gap, arguments.keyframes).items():
                kept, median, below, spent = np.median(figures, axis=0)
                print(
                    f'  {name:<20} kept {kept:4.0%}  median {median:.2f} px  '
                    f'below 1 px {below:4.0%}  {spent:6.1f} ms'
                )
    return 0


if __name__ == '__main__':
    sys.exit(main())
