"""Availability and risk of relative poses: `python benchmarks/poses.py data/strecha data/...`.

For each set of pairs with known poses the same matches go through the package's estimate, plain
PoseLib (1 px, on matches of sigma below 1 px, at least 100 of them) and OpenCV's MAGSAC at 1 px;
all of RootSIFT's, which state no sigma, through PoseLib stand beside them. A refused pose counts as
an error of 180 degrees. Wrong is a pose that is OK but misses by more than 5 degrees and 3 standard
deviations. The sets on which constants were chosen are marked: half of those that the project
measures on, by the hash of their names (`CHOSEN_ON`). `--without NAME` leaves out a check; `all`
does so for each.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import torch
from corrupted_sequences import is_wrong
from covariance import error_and_covariance, nees

from loftr_ros.data.datasets import find_layout, open_sequence
from loftr_ros.data.sequences import ImageSequence
from loftr_ros.evaluation.matchers.peers import PairMatcher, RootSift
from loftr_ros.evaluation.matchers.robust import estimate_pose, estimate_pose_by_poselib
from loftr_ros.evaluation.records.metrics import pose_auc, pose_error
from loftr_ros.geometry import (
    Camera,
    PoseState,
    RelativePose,
    TwoViewOptions,
    estimate_relative_pose,
)
from loftr_ros.geometry.options import CHECKS
from loftr_ros.geometry.transforms import inverse_transform
from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.matches import Matches

mpl.use('Agg')
Array = npt.NDArray[np.float64]

CHOSEN_ON = 'euroc_mh05_start', 'kitti_stereo', 'strecha', 'euroc_mh05'
"""The first four of the eight sets in the order of the SHA-256 of their names."""
GAPS = {'kitti_highway': (1, 2), 'hololens_rgbd': (2, 4), 'kitti_stereo': (1, 3)}
"""Frames between the images of a pair; otherwise those of `USUAL_GAPS`, or of `UNORDERED`."""
USUAL_GAPS, UNORDERED = (1, 2, 4), (1, 2, 3, 4)
LEAST_SIGMA_MATCHES, LARGEST_SIGMA, THRESHOLD = 100, 1.0, 1.0
RIGHT_DEGREES = 5.0


@dataclass(frozen=True, eq=False)
class Pair:
    """Matches of two images, those of RootSIFT, and the true motion."""

    matches: Matches
    classical: Matches | None
    cameras: tuple[Camera, Camera]
    reference_T_query: Array


def sequences_of(folder: Path) -> list[ImageSequence]:
    """Open the sequence of a folder, or those in its folders."""
    folders = [folder] if find_layout(folder) else sorted(p for p in folder.iterdir() if p.is_dir())
    opened = [open_sequence(one) for one in folders if find_layout(one)]
    return [one for one in opened if isinstance(one, ImageSequence)]


def pairs_of(
    folder: Path, matchers: tuple[PairMatcher[Any], PairMatcher[Any] | None], most: int
) -> Iterator[Pair]:
    """Match the pairs of a set, evenly chosen."""
    listed = []
    for sequence in sequences_of(folder):
        gaps = UNORDERED if sequence.layout == 'colmap' else GAPS.get(folder.name, USUAL_GAPS)
        count = len(sequence)
        listed += [(sequence, a, a + gap) for a in range(count) for gap in gaps if a + gap < count]
    known = [
        (sequence, a, b)
        for sequence, a, b in listed
        if sequence.entries[a].world_T_camera is not None
        and sequence.entries[b].world_T_camera is not None
    ]
    chosen = np.unique(np.linspace(0, len(known) - 1, min(most, len(known))).round().astype(int))
    for sequence, a, b in (known[index] for index in chosen):
        first, second = sequence[a], sequence[b]
        found = [
            None
            if matcher is None
            else matcher.match(
                matcher.encode(first.frame.image), matcher.encode(second.frame.image)
            )
            for matcher in matchers
        ]
        cameras = first.frame.camera, second.frame.camera
        poses = first.world_T_camera, second.world_T_camera
        if found[0] is None or None in cameras or poses[0] is None or poses[1] is None:
            continue
        yield Pair(found[0], found[1], cameras, inverse_transform(poses[0]) @ poses[1])


def plain_poselib(matches: Matches, cameras: tuple[Camera, Camera]) -> Array | None:
    """Estimate a pose by PoseLib alone from the matches with a small sigma, as its users do."""
    order = np.argsort(matches.sigma, kind='stable')
    sure = int(np.sum(matches.sigma < LARGEST_SIGMA))
    return poselib_pose(matches.select(order[: max(sure, LEAST_SIGMA_MATCHES)]), cameras)


def poselib_pose(matches: Matches, cameras: tuple[Camera, Camera]) -> Array | None:
    points = matches.reference_points, matches.query_points
    return estimate_pose_by_poselib(*points, *cameras, THRESHOLD).reference_T_query


def ours(pair: Pair, options: TwoViewOptions) -> tuple[RelativePose, float]:
    matches, start = pair.matches, time.process_time()
    pose = estimate_relative_pose(
        matches.reference_points,
        matches.query_points,
        *pair.cameras,
        matches.sigma,
        matches.confidence,
        options,
    )
    return pose, 1e3 * (time.process_time() - start)


def peers(pair: Pair) -> dict[str, tuple[Array | None, float]]:
    """Return the poses of the other estimators, and their times, ms."""
    points = pair.matches.reference_points, pair.matches.query_points
    start = time.process_time()
    found = {'PoseLib': (plain_poselib(pair.matches, pair.cameras), time.process_time() - start)}
    start = time.process_time()
    magsac = estimate_pose(*points, *pair.cameras, THRESHOLD).reference_T_query
    found['MAGSAC'] = magsac, time.process_time() - start
    if pair.classical is not None:
        found['RootSIFT, PoseLib'] = poselib_pose(pair.classical, pair.cameras), 0.0
    return {name: (pose, 1e3 * seconds) for name, (pose, seconds) in found.items()}


def judge(
    pairs: list[Pair], options: TwoViewOptions, others: list[dict[str, Any]]
) -> dict[str, Any]:
    """Measure the package's estimate on a set, beside those of the peers."""
    estimates = [ours(pair, options) for pair in pairs]
    truths = [pair.reference_T_query for pair in pairs]
    errors, wrong, scores, spreads = [], [], [], []
    for (pose, _), truth in zip(estimates, truths, strict=True):
        believed = pose.state is PoseState.OK
        errors.append(pose_error(pose.reference_T_query if believed else None, truth))
        wrong.append(is_wrong(pose, truth))
        found = error_and_covariance(pose, truth)
        scores.append(np.nan if found is None else nees(*found))
        spreads.append(np.inf if found is None else float(np.sqrt(np.trace(found[1]))))
    plain = np.array(
        [pose_error(one['PoseLib'][0], t) for one, t in zip(others, truths, strict=True)]
    )
    accepted, right = np.isfinite(errors), plain < RIGHT_DEGREES
    order = np.argsort(spreads)
    return {
        'pairs': len(pairs),
        'auc': [100 * value for value in pose_auc(errors)],
        'ok': int(accepted.sum()),
        'wrong': int(np.sum(wrong)),
        'refused_right': int(np.sum(right & ~accepted)),
        'right': int(right.sum()),
        'nees_mean': float(np.nanmean(scores)) if accepted.any() else None,
        'nees_median': float(np.nanmedian(scores)) if accepted.any() else None,
        'milliseconds': float(np.median([ms for _, ms in estimates])),
        'risk': (np.cumsum(np.array(wrong)[order]) / np.arange(1, len(order) + 1)).tolist(),
        'checks': {
            check: sum(pose.check.label == check for pose, _ in estimates) for check in CHECKS
        },
        'peers': {
            name: {
                'auc': [
                    100 * value
                    for value in pose_auc(
                        [pose_error(o[name][0], t) for o, t in zip(others, truths, strict=True)]
                    )
                ],
                'milliseconds': float(np.median([one[name][1] for one in others])),
            }
            for name in others[0]
        },
    }


def line(name: str, result: dict[str, Any]) -> str:
    def area(values: list[float]) -> str:
        return ' / '.join(f'{value:.1f}' for value in values)

    score = result['nees_mean']
    text = (
        f'{name:28} {result["pairs"]:4d}  {area(result["auc"]):>18}  OK {result["ok"]:4d}  '
        f'wrong {result["wrong"]:3d}  '
        f'refused {result["refused_right"]:3d} of {result["right"]:3d}  '
        f'NEES {np.nan if score is None else score:7.2f}  {result["milliseconds"]:5.1f} ms'
    )
    for peer, figures in result['peers'].items():
        milliseconds = f'{figures["milliseconds"]:.1f} ms'
        text += f'\n{"":6}{peer:27}  {area(figures["auc"]):>18}  {milliseconds}'
    return text


def draw(results: dict[str, dict[str, Any]], file: Path) -> None:
    """Draw the share of wrong poses among the surest ones of each set."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout='constrained')
    for name, result in results.items():
        count = result['ok']
        share = np.arange(1, count + 1) / result['pairs']
        style = '--' if name in CHOSEN_ON else '-'
        axes.plot(100 * share, 100 * np.array(result['risk'][:count]), style, label=name)
    axes.set(xlabel='pairs with a pose, the surest first (%)', ylabel='wrong among them (%)')
    axes.set_title('Dashed: sets on which constants were chosen', fontsize=9)
    axes.set_xlim(0, 100)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', nargs='+', type=Path, help='folders of sequences or COLMAP models')
    parser.add_argument('--weights', default='lite')
    parser.add_argument('--max-matches', type=int, default=600, help='as the node keeps; 0: all')
    parser.add_argument('--max-pairs', type=int, default=250, help='of each set, evenly chosen')
    parser.add_argument('--without', nargs='*', default=[], choices=[*CHECKS, 'all'])
    parser.add_argument('--no-rootsift', action='store_true')
    parser.add_argument('--json', type=Path)
    parser.add_argument('--picture', type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    matcher = Matcher(arguments.weights, max_matches=arguments.max_matches or None)
    classical = None if arguments.no_rootsift else RootSift()
    left_out = CHECKS if 'all' in arguments.without else arguments.without
    results, removed = {}, dict.fromkeys(left_out, np.zeros(3, int))
    for folder in arguments.data:
        pairs = list(pairs_of(folder, (matcher, classical), arguments.max_pairs))
        if not pairs:
            print(f'{folder}: no pair of images with known poses and calibration')
            continue
        others = [peers(pair) for pair in pairs]
        result = judge(pairs, TwoViewOptions(), others)
        results[folder.name] = result
        mark = ' (chosen on)' if folder.name in CHOSEN_ON else ''
        print(line(folder.name + mark, result), flush=True)
        for check in left_out:
            without = judge(pairs, TwoViewOptions(without=(check,)), others)
            gained = [
                without['wrong'] - result['wrong'],
                result['refused_right'] - without['refused_right'],
                without['ok'] - result['ok'],
            ]
            removed[check] = removed[check] + gained
    for check, (wrong, right, all_of_them) in removed.items():
        print(
            f'{check:14} removes {all_of_them} poses: {wrong} wrong ones, '
            f'{right} that PoseLib gets right to 5 degrees'
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))
    if arguments.picture and results:
        draw(results, arguments.picture)


if __name__ == '__main__':
    main()
