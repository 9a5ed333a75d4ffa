"""Features become colours on one scale for all images, and heat maps lie where their cells are."""

from __future__ import annotations

import numpy as np
import pytest

from loftr_ros.visualization.attention import AttentionPanel, attention_figure, blend
from loftr_ros.visualization.features import features_figure, principal_colours
from loftr_ros.visualization.grids import CellGrid

GRID = CellGrid((3, 4), 16, 7.5, (0.5, 0.5))


def test_the_same_feature_has_the_same_colour_in_both_images() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(12, 8)).astype(np.float32)
    (first, second), variance = principal_colours([features, features[::-1][:5]])

    np.testing.assert_array_equal(second, first[::-1][:5])
    assert first.shape == (12, 3)
    assert first.min() >= 0
    assert first.max() <= 1
    assert 3 / 8 < variance < 1


def test_the_strongest_component_is_red() -> None:
    ramp = np.linspace(-1, 1, 50, dtype=np.float32)
    features = np.stack([5 * ramp, np.cos(9 * ramp), 0 * ramp, 0 * ramp], axis=1)
    (colours,), variance = principal_colours([features])

    assert np.corrcoef(colours[:, 0], ramp)[0, 1] > 0.99
    assert variance == pytest.approx(1)


@pytest.mark.parametrize('shape', [(1, 8), (4, 2)])
def test_few_features_or_channels_have_colours(shape: tuple[int, int]) -> None:
    (colours,), _ = principal_colours(
        [np.random.default_rng(1).normal(size=shape).astype(np.float32)]
    )
    assert colours.shape == (shape[0], 3)
    assert np.isfinite(colours).all()


def test_no_features_are_refused() -> None:
    with pytest.raises(ValueError, match='no features'):
        principal_colours([np.zeros((0, 4), np.float32)])


def test_values_of_cells_stand_at_their_centres() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    smooth = GRID.interpolate(values, (96, 128))

    for cell in range(12):
        x, y = GRID.centre(cell)
        around = smooth[int(y) : int(y) + 2, int(x) : int(x) + 2]
        assert around.mean() == pytest.approx(cell, abs=0.05)
    assert smooth[0, 0] == 0
    assert smooth[-1, -1] == 11


def test_the_nearest_cell_of_any_point_is_on_the_grid() -> None:
    assert GRID.nearest(np.array([-50.0, -50.0])) == 0
    assert GRID.nearest(np.array([1e4, 1e4])) == 11


def test_what_is_attended_to_glows_and_the_rest_shows_the_image() -> None:
    weights = np.full((3, 4), 0.5 / 11, np.float32)
    weights[1, 2] = 0.5
    image = np.full((96, 128), 100, np.uint8)
    picture = blend(image, weights, GRID)

    x, y = GRID.centre(6).astype(int)
    assert picture[y, x].std() > 0.1
    assert np.ptp(picture[5, 5]) < 1e-6


def test_figures_have_a_panel_for_each_layer_and_image() -> None:
    image = np.random.default_rng(0).integers(0, 255, (96, 128), np.uint8)
    weights = np.full((3, 4), 1 / 12, np.float32)
    panels = [
        AttentionPanel(kind, number, image, weights, GRID, np.array([5.0, 5.0]))
        for number, kind in enumerate(['self', 'cross', 'self', 'cross'], 1)
    ]
    titles = [axes.get_title() for axes in attention_figure(panels).axes]
    assert titles[0] == 'layer 1, self: image 0, peak 1.0 x even'
    assert [title.split(',')[0] for title in titles] == [f'layer {n}' for n in (1, 3, 2, 4)]

    colours = np.zeros((3, 4, 3), np.float32)
    assert len(features_figure([image, image], [colours, colours], [GRID, GRID]).axes) == 4
