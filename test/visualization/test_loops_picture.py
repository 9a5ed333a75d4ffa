"""The picture of loops: edges where the loops are, and matches above them."""

from __future__ import annotations

import numpy as np
import pytest

from loftr_ros.visualization.loops import loops_figure

PATH = np.column_stack([np.cos(np.arange(20.0)), np.zeros(20), np.sin(np.arange(20.0))])
PICTURE = np.full((30, 60, 3), 200, np.uint8)


def test_each_loop_is_an_edge_between_its_ends() -> None:
    edges = np.stack([PATH[[0, 12]], PATH[[1, 13]], PATH[[2, 15]]])
    figure = loops_figure(PATH, edges, PICTURE, PATH + 0.1, title='there and back')
    picture, path = figure.axes
    np.testing.assert_array_equal(picture.images[0].get_array(), PICTURE)
    drawn = [np.column_stack([line.get_xdata(), line.get_ydata()]) for line in path.lines]
    assert len(drawn) == 2 + 3
    for edge, line in zip(edges, drawn[2:], strict=True):
        np.testing.assert_allclose(line, edge[:, [0, 2]])
    legend = path.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ['truth', 'odometry', '3 loops']
    assert (path.get_xlabel(), path.get_ylabel()) == ('x [m]', 'z [m]')


def test_a_way_without_loops_is_drawn_as_well() -> None:
    figure = loops_figure(PATH, np.empty((0, 2, 3)), PICTURE)
    assert len(figure.axes[1].lines) == 1


@pytest.mark.parametrize(('path', 'edges'), [((5, 2), (1, 2, 3)), ((5, 3), (1, 3))])
def test_other_shapes_are_refused(path: tuple[int, ...], edges: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match='must be'):
        loops_figure(np.zeros(path), np.zeros(edges), PICTURE)
