"""Classical matchers find a known shift, and the robust estimator a known motion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from loftr_ros.evaluation.matchers.peers import Orb, PairMatcher, RootSift
from loftr_ros.evaluation.matchers.robust import (
    EssentialPose,
    estimate_pose,
    estimate_pose_by_poselib,
)
from loftr_ros.evaluation.records.metrics import pose_error
from loftr_ros.geometry import Camera
from loftr_ros.geometry.quaternions import rotation_from_quaternion
from loftr_ros.geometry.transforms import inverse_transform, make_transform

CAMERA = Camera(640, 480, np.array([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]]))
PEERS = [RootSift(), Orb()]
Estimate = Callable[..., EssentialPose]


def texture(channels: int = 1) -> npt.NDArray[np.uint8]:
    noise = np.random.default_rng(3).integers(0, 255, (60, 80, channels), np.uint8)
    return np.asarray(cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.mark.parametrize('peer', PEERS, ids=lambda peer: type(peer).__name__)
@pytest.mark.parametrize('channels', [1, 3])
def test_a_shifted_image_gives_shifted_points(peer: PairMatcher[Any], channels: int) -> None:
    image = texture(channels)
    shifted = np.roll(image, 12, axis=1)
    matches = peer.match(peer.encode(image), peer.encode(shifted))
    shift = matches.query_points - matches.reference_points
    assert len(matches) > 100
    assert np.mean(np.abs(shift - [12, 0]).max(axis=1) < 1) > 0.9
    assert matches.confidence.min() >= 0
    assert matches.confidence.max() <= 1


@pytest.mark.parametrize('peer', PEERS, ids=lambda peer: type(peer).__name__)
def test_a_blank_image_gives_no_matches(peer: PairMatcher[Any]) -> None:
    blank, image = peer.encode(np.zeros((240, 320), np.uint8)), peer.encode(texture())
    assert len(peer.match(blank, image)) == 0
    assert len(peer.match(image, blank)) == 0


def scene(count: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Points of a scene in two images, and the motion between them."""
    quaternion = np.array([0.02, 0.05, -0.01, 1])
    rotation = rotation_from_quaternion(quaternion / np.linalg.norm(quaternion))
    reference_T_query = make_transform(rotation, np.array([0.5, 0.1, 0.2]))
    points = np.random.default_rng(1).uniform([-2, -1.5, 4], [2, 1.5, 8], (count, 3))
    query_T_reference = inverse_transform(reference_T_query)
    moved = points @ query_T_reference[:3, :3].T + query_T_reference[:3, 3]
    return CAMERA.project(points), CAMERA.project(moved), reference_T_query


ESTIMATORS = pytest.mark.parametrize('estimate', [estimate_pose, estimate_pose_by_poselib])


@ESTIMATORS
def test_the_estimator_finds_the_motion_among_outliers(estimate: Estimate) -> None:
    reference, query, true = scene(200)
    query[:60] += np.random.default_rng(2).uniform(20, 90, (60, 2))
    found = estimate(reference, query, CAMERA, CAMERA)
    assert found.reference_T_query is not None
    assert pose_error(found.reference_T_query, true) < 0.1
    assert found.reference_T_query[:3, 3] @ true[:3, 3] > 0
    assert found.inliers[60:].mean() > 0.95
    assert found.inliers[:60].mean() < 0.1


@ESTIMATORS
def test_the_same_matches_give_the_same_pose(estimate: Estimate) -> None:
    reference, query, _ = scene(100)
    query += np.random.default_rng(2).normal(0, 2, query.shape)
    first, second = (estimate(reference, query, CAMERA, CAMERA) for _ in range(2))
    assert first.reference_T_query is not None
    assert second.reference_T_query is not None
    assert np.array_equal(first.reference_T_query, second.reference_T_query)


@ESTIMATORS
@pytest.mark.parametrize('count', [0, 1, 5])
def test_too_few_matches_give_no_pose(estimate: Estimate, count: int) -> None:
    reference, query, _ = scene(count)
    found = estimate(reference, query, CAMERA, CAMERA)
    assert found.reference_T_query is None
    assert not found.inliers.any()


@ESTIMATORS
def test_useless_matches_do_no_harm(estimate: Estimate) -> None:
    same = np.ones((50, 2))
    assert estimate(same, same, CAMERA, CAMERA).inliers.shape == (50,)
    nowhere = np.full((50, 2), np.nan)
    assert estimate(nowhere, nowhere, CAMERA, CAMERA).reference_T_query is None
