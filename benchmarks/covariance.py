"""Errors against covariances: `python benchmarks/covariance.py data/kitti ... --gaps 1 3`.

NEES is the squared error over the covariance, by its 5 degrees of freedom; its expectation is 1.
The true poses of a dataset err too. What RootSIFT misses them by beyond its own covariance is
taken as their noise (rotation and position, isotropic); it holds whatever both matchers share, as
calibration and shutter. `truth` is that noise, and `NEES'` counts it as known.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from estimators import Pair, pairs_of, whole
from scipy.stats import chi2

from loftr_ros.evaluation.matchers.peers import RootSift
from loftr_ros.geometry import (
    Camera,
    PoseState,
    RelativePose,
    TwoViewOptions,
    estimate_relative_pose,
)
from loftr_ros.geometry.rotations import rotation_vector, tangent_basis
from loftr_ros.rendering.room import RenderedView, render_room_sequence
from loftr_ros.settings.matcher import load_matcher
from loftr_ros.settings.parameters import NodeParameters

Array = npt.NDArray[np.float64]
SIZE = 320, 240
STEP = 8
CORRECTED = "NEES'"


def error_and_covariance(pose: RelativePose, truth: Array) -> tuple[Array, Array] | None:
    """Return the error (5,) of direction (2) and rotation (3), rad, and its covariance (5, 5)."""
    if pose.state is not PoseState.OK or pose.reference_T_query is None or pose.covariance is None:
        return None
    direction = pose.reference_T_query[:3, 3]
    rotvec = rotation_vector(truth[:3, :3] @ pose.reference_T_query[:3, :3].T)
    miss = truth[:3, 3] / np.linalg.norm(truth[:3, 3]) - direction
    free = np.zeros((6, 5))
    free[:3, :2], free[3:, 2:] = tangent_basis(direction), np.eye(3)
    return free.T @ np.concatenate([miss, rotvec]), free.T @ pose.covariance @ free


def nees(error: Array, covariance: Array) -> float:
    return float(error @ np.linalg.solve(covariance, error)) / 5


def truth_noise(pairs: list[Pair]) -> tuple[float, float]:
    """Return the standard deviation of true rotations, rad, and positions, m, by RootSIFT."""
    rotations, shifts = [], []
    for pair in pairs:
        found = error_and_covariance(
            whole(pair, TwoViewOptions(), False)[0], pair.reference_T_query
        )
        if found is not None:
            excess = found[0] ** 2 - np.diag(found[1])
            length = np.linalg.norm(pair.reference_T_query[:3, 3])
            rotations.append(excess[2:].mean())
            shifts.append(excess[:2].mean() * length**2)
    return float(np.sqrt(max(np.mean(rotations), 0))), float(np.sqrt(max(np.mean(shifts), 0)))


def report(name: str, pairs: list[Pair], noise: tuple[float, float]) -> None:
    plain, corrected = [], []
    for pair in pairs:
        pose, _ = whole(pair, TwoViewOptions(), trusted=True)
        found = error_and_covariance(pose, pair.reference_T_query)
        if found is None:
            continue
        length = np.linalg.norm(pair.reference_T_query[:3, 3])
        extra = np.diag([(noise[1] / length) ** 2] * 2 + [noise[0] ** 2] * 3)
        plain.append(nees(*found))
        corrected.append(nees(found[0], found[1] + extra))
    if not plain:
        print(f'{name:22} no pose is OK')
        return
    print(
        f'{name:22} {len(plain):5d} {np.mean(plain):8.2f} {np.median(plain):8.2f} '
        f'{np.quantile(plain, 0.9):8.2f}   {np.rad2deg(noise[0]):6.3f} deg {noise[1]:7.4f} m '
        f'{np.mean(corrected):8.2f}',
        flush=True,
    )


def known_noise(views: list[RenderedView], gap: int, white: float, smooth: float) -> None:
    """Add known noise to the exact matches of a rendered room, and test the mean NEES."""
    rng, errors = np.random.default_rng(0), []
    camera = Camera(*SIZE, views[0].matrix)
    for first, second in zip(views, views[gap:], strict=False):
        points, query, truth = exact_matches(first, second, camera)
        tiles = np.floor((points + 0.5) * 8 / SIZE).astype(np.int64)
        query = query + white * rng.normal(size=query.shape)
        query += smooth * rng.normal(size=(8, 8, 2))[tiles[:, 1], tiles[:, 0]]
        options = TwoViewOptions(shared_sigma=smooth, shared_growth=0.0)
        sigma = np.full(len(points), white)
        pose = estimate_relative_pose(points, query, camera, camera, sigma, options=options)
        found = error_and_covariance(pose, truth)
        if found is not None:
            errors.append(nees(*found))
    low, high = chi2.ppf([0.025, 0.975], 5 * len(errors)) / (5 * len(errors))
    mean = float(np.mean(errors))
    inside = 'inside' if low < mean < high else 'OUTSIDE'
    print(
        f'room, gap {gap}, white {white:g} px, shared by a tile {smooth:g} px: mean NEES '
        f'{mean:.3f} of {len(errors)}, {inside} {low:.3f} to {high:.3f}',
        flush=True,
    )


def exact_matches(
    first: RenderedView, second: RenderedView, camera: Camera
) -> tuple[Array, Array, Array]:
    x, y = np.meshgrid(np.arange(4, SIZE[0], STEP), np.arange(4, SIZE[1], STEP))
    points = np.column_stack([x.ravel(), y.ravel()]).astype(np.float64)
    rays = np.column_stack([camera.normalize(points), np.ones(len(points))])
    truth = np.linalg.inv(first.world_T_camera) @ second.world_T_camera
    space = rays * first.depth[y.ravel(), x.ravel(), None]
    query = camera.project((space - truth[:3, 3]) @ truth[:3, :3])
    inside = ((query >= 0) & (query < SIZE)).all(axis=1)
    return points[inside], query[inside], truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', nargs='*', type=Path, help='folders of sequences, or bags')
    parser.add_argument('--gaps', nargs='+', type=int, default=[1, 3], help='frames of a pair')
    parser.add_argument('--weights', default='lite')
    parser.add_argument('--device', default='auto')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    views = list(render_room_sequence(100, width=SIZE[0], height=SIZE[1]))
    for gap, white, smooth in ((3, 0.3, 0.0), (8, 0.3, 0.0), (8, 0.3, 0.3)):
        known_noise(views, gap, white, smooth)
    if not arguments.data:
        return
    chosen = {'matcher.weights': arguments.weights, 'matcher.device': arguments.device}
    matcher: Any = load_matcher(NodeParameters().with_values(chosen))
    print(
        f'{"sequence":22} {"pairs":>5} {"NEES":>8} {"median":>8} {"p90":>8}   '
        f'{"truth":>20} {CORRECTED:>8}'
    )
    for folder in arguments.data:
        for gap in arguments.gaps:
            noise = truth_noise(list(pairs_of(folder, gap, RootSift())))
            report(f'{folder.name} +{gap}', list(pairs_of(folder, gap, matcher)), noise)


if __name__ == '__main__':
    main()
