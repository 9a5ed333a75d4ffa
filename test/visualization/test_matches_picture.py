"""Drawn matches have the right place, colour and caption for every kind of input."""

from __future__ import annotations

import numpy as np
import pytest

from loftr_ros.matching.matches import Matches
from loftr_ros.visualization.images import to_display
from loftr_ros.visualization.matches import COLOURS, OUTLIER_COLOUR, STRIP_HEIGHT, draw_matches


def make_matches(points0: list[list[float]], points1: list[list[float]], conf: float) -> Matches:
    count = len(points0)
    return Matches(
        np.array(points0, np.float32).reshape(-1, 2),
        np.array(points1, np.float32).reshape(-1, 2),
        np.full(count, conf, np.float32),
        np.ones(count, np.float32),
        np.arange(count),
        (1, max(count, 1)),
    )


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize('shape', [(40, 60), (40, 60, 1), (40, 60, 3), (40, 60, 4)])
def test_every_kind_of_image_becomes_8_bit_rgb(
    dtype: type[np.generic], shape: tuple[int, ...]
) -> None:
    image = np.asarray(np.random.default_rng(0).uniform(0, 1, shape) * 200, dtype)
    assert to_display(image).shape == (40, 60, 3)
    assert to_display(image).dtype == np.uint8


def test_float_images_within_one_are_scaled_without_stretching() -> None:
    assert to_display(np.full((2, 2), 0.5, np.float32))[0, 0].tolist() == [128, 128, 128]


def test_nan_and_infinity_become_black() -> None:
    image = np.array([[np.nan, np.inf, 1.0]], np.float32)
    assert to_display(image)[0, :, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize('shape', [(4,), (4, 4, 2), (1, 4, 4, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match='shape'):
        to_display(np.zeros(shape, np.uint8))


def test_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match='int64'):
        to_display(np.zeros((4, 4), np.int64))


def test_images_stand_side_by_side_above_the_caption() -> None:
    picture = draw_matches(
        np.full((40, 60), 10, np.uint8), np.full((30, 50), 90, np.uint8), Matches.empty()
    )
    assert picture.shape == (40 + STRIP_HEIGHT, 110, 3)
    assert picture[0, 0].tolist() == [10, 10, 10]
    assert picture[0, 60].tolist() == [90, 90, 90]


def test_wide_images_are_stacked() -> None:
    picture = draw_matches(np.zeros((20, 90)), np.zeros((30, 80)), Matches.empty())
    assert picture.shape == (50 + STRIP_HEIGHT, 90, 3)


def test_the_layout_can_be_chosen_and_a_wrong_one_is_refused() -> None:
    image = np.zeros((20, 20), np.uint8)
    assert draw_matches(image, image, Matches.empty(), layout='vertical').shape[0] > 40
    with pytest.raises(ValueError, match='layout'):
        draw_matches(image, image, Matches.empty(), layout='diagonal')


@pytest.mark.parametrize(('confidence', 'level'), [(0.0, 0), (1.0, -1), (np.nan, 0)])
def test_the_colour_of_a_match_is_its_confidence(confidence: float, level: int) -> None:
    image = np.zeros((40, 40), np.uint8)
    picture = draw_matches(image, image, make_matches([[10, 20]], [[30, 20]], confidence))
    assert picture[20, 10].tolist() == COLOURS[level].tolist()
    assert picture[20, 40 + 30].tolist() == COLOURS[level].tolist()
    assert picture[20, 38].any()


def test_outliers_are_red_and_lie_below_inliers() -> None:
    image = np.zeros((40, 40), np.uint8)
    matches = make_matches([[10, 20], [10, 20], [10, 30]], [[30, 20], [30, 20], [30, 30]], 1.0)
    picture = draw_matches(image, image, matches, np.array([True, False, False]))
    assert picture[20, 10].tolist() == COLOURS[-1].tolist()
    assert picture[30, 10].tolist() == list(OUTLIER_COLOUR)


def test_flags_of_another_length_are_refused() -> None:
    image = np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match='inliers'):
        draw_matches(image, image, Matches.empty(), np.array([True]))


def test_points_outside_or_not_finite_do_no_harm() -> None:
    image = np.zeros((40, 40), np.uint8)
    matches = make_matches([[np.nan, 1], [1e30, -1e30], [5, 5]], [[1, 1], [2, 2], [-90, 99]], 0.5)
    assert draw_matches(image, image, matches).shape == (40 + STRIP_HEIGHT, 80, 3)


def test_the_inputs_stay_unchanged() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    draw_matches(image, image, make_matches([[1, 1]], [[30, 30]], 1.0))
    assert not image.any()


def test_at_most_the_wanted_number_of_lines_is_drawn() -> None:
    image = np.zeros((50, 50), np.uint8)
    matches = make_matches([[5, y] for y in range(5, 45, 4)], [[45, y] for y in range(5, 45, 4)], 1)
    column = draw_matches(image, image, matches, max_lines=3)[:50, 50]
    drawn = column.any(axis=1).astype(int)
    assert (np.diff(drawn) == 1).sum() == 3


def test_empty_images_are_drawn_as_nothing() -> None:
    empty = np.zeros((0, 0), np.uint8)
    assert draw_matches(empty, empty, Matches.empty()).shape == (STRIP_HEIGHT, 1, 3)
