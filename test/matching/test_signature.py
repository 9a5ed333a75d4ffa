"""Signatures of places: alike for views of one place, whatever weights and sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.signature import covariance_signature
from loftr_ros.rendering.procedural import procedural_texture


@pytest.fixture(scope='module')
def matcher() -> Matcher:
    return Matcher('lite', device='cpu')


def texture(seed: int) -> NDArray[np.uint8]:
    return procedural_texture(512, np.random.default_rng(seed))


def signature(matcher: Matcher, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    return matcher.signature(matcher.encode(image))


def test_views_that_overlap_are_more_alike_than_others(matcher: Matcher) -> None:
    place = texture(1)
    view = signature(matcher, place[:240, :320])
    beside = signature(matcher, place[40:280, 80:400])
    others = [signature(matcher, texture(seed)[:240, :320]) for seed in (2, 3, 4)]
    assert view.shape == (96 * 97 // 2,)
    assert np.linalg.norm(view) == pytest.approx(1.0, abs=1e-5)
    assert view @ beside > max(float(view @ other) for other in others)


def test_what_is_masked_does_not_count(matcher: Matcher) -> None:
    place = texture(1)[:240, :320]
    mask = np.zeros(place.shape, np.bool_)
    mask[:, 160:] = True
    features = matcher.encode(place, mask)
    cells = matcher.network.local_features(matcher.encode(place).maps).reshape(15, 20, 96)
    expected = covariance_signature(cells[:, 10:].reshape(-1, 96))
    np.testing.assert_allclose(matcher.signature(features), expected, atol=1e-6)


def test_it_is_the_root_of_the_covariance() -> None:
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(500, 3))).float()
    found = covariance_signature(features).astype(np.float64)
    root = np.zeros((3, 3))
    root[np.triu_indices(3)] = found
    root = np.where(np.eye(3) == 1, root, (root + root.T) / np.sqrt(2.0))
    covariance = np.cov(features.numpy().T)
    np.testing.assert_allclose(
        root @ root / np.trace(root @ root), covariance / np.trace(covariance), atol=1e-5
    )


@pytest.mark.parametrize('cells', [0, 1, 40])
def test_features_without_variation_have_a_signature_of_zeros(cells: int) -> None:
    np.testing.assert_array_equal(covariance_signature(torch.ones(cells, 4)), 0.0)
