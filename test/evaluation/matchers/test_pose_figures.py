"""Matches of known cameras lead to the AUC that their poses deserve."""

from __future__ import annotations

import numpy as np
import pytest

from loftr_ros.evaluation.matchers.pose_figures import pose_figures
from loftr_ros.training.validation import PosedMatches

MATRIX = np.array([[300.0, 0, 159.5], [0, 300, 119.5], [0, 0, 1]])


def matched(baseline: float, noise: float = 0.0) -> PosedMatches:
    """Random points before two cameras beside each other."""
    rng = np.random.default_rng(1)
    points = rng.uniform([-1, -1, 2], [1, 1, 5], (200, 3))
    motion = np.eye(4)
    motion[0, 3] = baseline
    views = []
    for x in (0.0, baseline):
        pixels = (points - [x, 0, 0]) @ MATRIX.T
        views.append((pixels[:, :2] / pixels[:, 2:]).astype(np.float32))
    views[1] += rng.normal(0, noise, views[1].shape).astype(np.float32)
    return PosedMatches(views[0], views[1], MATRIX, MATRIX, motion)


def test_true_matches_have_the_full_area() -> None:
    figures = pose_figures([matched(0.3), matched(0.5)])

    assert list(figures) == ['auc_5', 'auc_10', 'auc_20']
    assert figures['auc_5'] > 0.98


def test_no_matches_have_none() -> None:
    pair = matched(0.3)
    nothing = PosedMatches(pair.points0[:0], pair.points1[:0], MATRIX, MATRIX, np.eye(4))
    moved = PosedMatches(*(nothing.points0,) * 2, MATRIX, MATRIX, pair.camera0_T_camera1)

    assert pose_figures([pair, moved])['auc_20'] == pytest.approx(0.5, abs=0.02)


def test_cameras_at_one_place_do_not_count() -> None:
    assert np.isnan(pose_figures([matched(0.001)])['auc_5'])


def test_noise_costs() -> None:
    assert pose_figures([matched(0.1, 3.0)])['auc_5'] < pose_figures([matched(0.1)])['auc_5']
