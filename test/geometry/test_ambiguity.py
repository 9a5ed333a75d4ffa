"""What the choice between motions leaves uncertain."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from loftr_ros.geometry import TwoViewOptions
from loftr_ros.geometry.ambiguity import are_alike, spread
from loftr_ros.geometry.epipolar import Motion
from loftr_ros.geometry.likelihood import MatchPrior
from loftr_ros.geometry.models import Model, motion_model
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.rotations import rotation_from_vector

if TYPE_CHECKING:
    from test.geometry.conftest import MakeScene

OPTIONS = TwoViewOptions()


@pytest.fixture
def found(scene: MakeScene) -> tuple[Model, RayPairs]:
    made = scene(count=400)
    sigma = np.full(400, 0.3)
    pairs = RayPairs.from_points(
        made.reference_points, made.query_points, made.camera, made.camera, sigma
    )
    truth = made.reference_T_query
    start = Motion(truth[:3, :3], truth[:3, 3] / np.linalg.norm(truth[:3, 3]))
    return motion_model(start, pairs, MatchPrior.of(np.full(400, 0.9), sigma, 554.0)), pairs


def rotated(model: Model, angle: float, gain: float = 0.0) -> Model:
    """Return another motion, rotated by `angle` about y, of which each match is less likely."""
    rotation = rotation_from_vector(np.array([0.0, angle, 0.0])) @ model.motion.rotation
    motion = Motion(rotation, model.motion.translation)
    return replace(model, motion=motion, line_gains=model.line_gains - gain)


def test_one_motion_adds_nothing(found: tuple[Model, RayPairs]) -> None:
    model, pairs = found
    np.testing.assert_array_equal(spread(model, [], pairs, OPTIONS), np.zeros((6, 6)))


def test_of_two_motions_equally_likely_each_may_be_the_right_one(
    found: tuple[Model, RayPairs],
) -> None:
    model, pairs = found
    covariance = spread(model, [rotated(model, 0.2)], pairs, OPTIONS)
    # With even odds the square of the distance is expected at half its value.
    assert covariance[4, 4] == pytest.approx(0.5 * 0.2**2)
    assert np.abs(covariance).sum() == pytest.approx(0.5 * 0.2**2)


def test_motions_that_are_alike_count_once(found: tuple[Model, RayPairs]) -> None:
    model, pairs = found
    alike = [rotated(model, 0.2), rotated(model, 0.21), rotated(model, 0.19)]
    assert are_alike(alike[0], alike[1], OPTIONS.max_rotation_sigma)
    once, thrice = spread(model, alike[:1], pairs, OPTIONS), spread(model, alike, pairs, OPTIONS)
    np.testing.assert_allclose(thrice, once)


def test_a_motion_that_all_parts_of_the_image_refuse_adds_nothing(
    found: tuple[Model, RayPairs],
) -> None:
    model, pairs = found
    assert np.trace(spread(model, [rotated(model, 0.2, gain=1.0)], pairs, OPTIONS)) < 1e-6
