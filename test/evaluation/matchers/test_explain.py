"""`loftr-ros explain` draws true pictures of how a pair is matched, for any pair."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from loftr_ros.commands.main import main
from loftr_ros.evaluation.matchers.explain import Explainer, epipolar_inliers, spread
from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.matches import Matches
from loftr_ros.rendering.procedural import procedural_texture


@pytest.fixture(scope='module')
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp('pair')
    texture = procedural_texture(420, np.random.default_rng(2))
    paths = folder / 'image0.png', folder / 'image1.png'
    cv2.imwrite(str(paths[0]), texture[:200, :300])
    cv2.imwrite(str(paths[1]), np.dstack([texture[10:220, 24:330]] * 3))
    return paths


def make_matches(
    reference: NDArray[np.float32],
    query: NDArray[np.float32],
    confidence: NDArray[np.float32] | None = None,
) -> Matches:
    count = len(reference)
    ones = np.ones(count, np.float32)
    cells = np.arange(count, dtype=np.int64)
    return Matches(
        reference, query, ones if confidence is None else confidence, ones, cells, (1, 9)
    )


def test_one_command_writes_every_picture(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'pictures'
    assert main(['explain', *map(str, pair), '-o', str(out), '--device', 'cpu']) == 0

    names = {path.name for path in out.iterdir()}
    attention = {f'attention_{number}.png' for number in (1, 2, 3)}
    assert names == {'matches.png', 'rootsift.png', 'features.png', *attention}
    for path in out.iterdir():
        picture = cv2.imread(str(path))
        assert picture is not None
        assert picture.std() > 10, path.name
    assert 'matches; pictures in' in capsys.readouterr().out


def test_attention_is_drawn_for_the_points_that_were_asked_for(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    points = ['--point', '40,50', '--point', '250.5,120']
    command = ['explain', *map(str, pair), '-o', str(tmp_path), '--device', 'cpu', *points]

    assert main(command) == 0
    assert {path.name for path in tmp_path.glob('attention*')} == {
        'attention_1.png',
        'attention_2.png',
    }


@pytest.mark.parametrize(
    ('point', 'problem'), [('7', 'no point'), ('a,b', 'no point'), ('300,20', 'outside')]
)
def test_a_wrong_point_is_named(
    pair: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    point: str,
    problem: str,
) -> None:
    command = ['explain', *map(str, pair), '-o', str(tmp_path / 'p'), '--point', point]
    assert main(command) == 1
    assert problem in capsys.readouterr().err


def test_images_without_matches_still_get_pictures(tmp_path: Path) -> None:
    image = tmp_path / 'grey.png'
    cv2.imwrite(str(image), np.full((96, 128), 90, np.uint8))
    matcher = Matcher('lite', device='cpu', confidence_threshold=1.0)
    explainer = Explainer.of_files(image, image, matcher)

    assert len(explainer.matches) == 0
    assert [path.name for path in explainer.write(tmp_path / 'out')][3:] == ['attention_1.png']


def test_alike_places_have_alike_colours_and_cells_lie_on_their_points(
    pair: tuple[Path, Path],
) -> None:
    explainer = Explainer.of_files(*pair, Matcher('lite', device='cpu'))
    grid = explainer.grids()[0]
    cells, points = explainer.coarse_cells(), explainer.matches.reference_points
    assert len(cells) == len(points) > 50
    for cell, point in zip(cells.tolist(), points.astype(np.float64), strict=True):
        pitch = grid.centre(1)[0] - grid.centre(0)[0]
        assert np.abs(grid.centre(cell) - point).max() <= pitch / 2
        assert grid.nearest(point) == cell


def test_only_matches_of_one_epipolar_geometry_are_inliers() -> None:
    rng = np.random.default_rng(0)
    reference = rng.uniform(0, 400, (80, 2)).astype(np.float32)
    depth_shift = rng.uniform(2, 40, 80).astype(np.float32)
    query = reference + np.stack([depth_shift, np.zeros(80, np.float32)], 1)
    query[:15, 1] += rng.uniform(20, 60, 15)

    inliers = epipolar_inliers(make_matches(reference, query.astype(np.float32)), 1.0)

    assert inliers[15:].all()
    assert inliers[:15].sum() <= 1


@pytest.mark.parametrize('count', [0, 1, 7])
def test_too_few_matches_have_no_epipolar_geometry(count: int) -> None:
    points = np.zeros((count, 2), np.float32)
    assert not epipolar_inliers(make_matches(points, points), 1.0).any()


@given(st.integers(0, 30), st.integers(1, 5), st.integers(0, 99))
def test_spread_points_are_different_and_confident(count: int, wanted: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 100, (count, 2)).astype(np.float32)
    confidence = rng.uniform(0, 1, count).astype(np.float32)
    chosen = spread(make_matches(points, points, confidence), wanted)

    assert len(chosen) == len(set(chosen.tolist())) == min(wanted, count)
    if count:
        assert confidence[chosen[0]] == confidence.max()
    if count >= 2 * wanted:
        assert confidence[chosen].min() >= np.median(confidence) - 1e-6
