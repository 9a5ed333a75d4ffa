"""A keyframe's matches start at the points of the tracks that were handed over to it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from loftr_ros.frontend import Frame, Tracker, TrackerOptions
from loftr_ros.geometry import Camera
from loftr_ros.matching.alignment import find_corners
from loftr_ros.matching.config import LITE
from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.reference_points import cells_of, take_over
from loftr_ros.matching.views import View
from loftr_ros.rendering.procedural import procedural_texture
from loftr_ros.rendering.room import render_room_sequence

HEIGHT, WIDTH = 192, 256
GRID = HEIGHT // 16, WIDTH // 16
IMAGE = procedural_texture(512, np.random.default_rng(3))[:HEIGHT, :WIDTH]
SHIFT = 8
MOVED = np.roll(IMAGE, SHIFT, axis=1)
Points = npt.NDArray[np.float32]


@pytest.fixture(scope='module')
def matcher() -> Matcher:
    return Matcher('lite', device='cpu', precision='float32')


@pytest.fixture(scope='module')
def points(matcher: Matcher) -> Points:
    """Where points of the image before are found in the image, one in each of some cells."""
    before = np.roll(IMAGE, -5, axis=1)
    found = matcher.match(matcher.encode(before), matcher.encode(IMAGE))
    sure = found.query_points[found.sigma < np.median(found.sigma)]
    cells = cells_of(sure, LITE, GRID)
    inner = (sure > 40).all(axis=1) & (sure < [WIDTH - 40, HEIGHT - 40]).all(axis=1)
    return np.asarray(sure[inner][np.unique(cells[inner], return_index=True)[1]][::2], np.float32)


def starts(found: Points, points: Points) -> npt.NDArray[np.bool_]:
    """Return which of the points (N,) matches start from."""
    distances = np.linalg.norm(found[None] - points[:, None], axis=2)
    return np.asarray(distances.min(axis=1) < 1e-3)


def test_matches_start_at_the_points_and_find_them(matcher: Matcher, points: Points) -> None:
    assert len(points) > 10
    features, starting = matcher.starting_at(matcher.encode(IMAGE), points)
    assert np.abs(starting - points).max() <= 0.5
    matches = matcher.match(features, matcher.encode(MOVED))
    assert starts(matches.reference_points, starting).mean() > 0.8
    own = starts(starting, matches.reference_points)
    moved = matches.query_points[own] - matches.reference_points[own]
    assert np.median(np.abs(moved - [SHIFT, 0])) < 0.05


def test_the_features_stay_as_they_were(matcher: Matcher, points: Points) -> None:
    features, query = matcher.encode(IMAGE), matcher.encode(MOVED)
    before = matcher.match(features, query)
    matcher.starting_at(features, points)
    np.testing.assert_array_equal(
        matcher.match(features, query).reference_points, before.reference_points
    )


def test_no_points_change_nothing(matcher: Matcher) -> None:
    features, query = matcher.encode(IMAGE), matcher.encode(MOVED)
    same, starting = matcher.starting_at(features, np.empty((0, 2), np.float32))
    assert starting.shape == (0, 2)
    np.testing.assert_array_equal(
        matcher.match(features, query).query_points, matcher.match(same, query).query_points
    )


def test_points_of_tracks_go_before_more_confident_ones(matcher: Matcher, points: Points) -> None:
    features, starting = matcher.starting_at(matcher.encode(IMAGE), points)
    query = matcher.encode(MOVED)
    every = matcher.match(features, query)
    possible = starts(every.reference_points, starting)
    surest = every.select(np.argsort(-every.confidence)[: possible.sum()])
    assert starts(surest.reference_points, starting).sum() < possible.sum()
    few = Matcher('lite', device='cpu', precision='float32', max_matches=int(possible.sum()))
    matches = few.match(features, query)
    np.testing.assert_array_equal(starts(matches.reference_points, starting), possible)


@pytest.mark.parametrize('rotation', [90, 180, 270])
def test_points_are_those_of_the_image_also_where_it_is_rotated(
    rotation: int, points: Points
) -> None:
    matcher = Matcher('lite', device='cpu', precision='float32', try_views=True)
    matcher._view = View(rotation)
    upright = matcher.encode(IMAGE)
    assert upright.views is not None
    upright.views.view = upright.views.following = View(rotation)
    features, starting = matcher.starting_at(upright, points)
    had = np.isfinite(starting).all(axis=1)
    assert had.mean() > 0.8
    assert np.abs(starting[had] - points[had]).max() <= 0.5
    matches = matcher.match(features, matcher.encode(IMAGE))
    assert starts(matches.reference_points, starting[had]).mean() > 0.7


def test_a_network_that_aligns_nothing_matches_the_cells_of_tracks_first() -> None:
    from loftr_ros.matching.config import OUTDOOR
    from loftr_ros.matching.network import LoFTR

    torch.manual_seed(0)
    network = LoFTR(OUTDOOR).eval()
    image = torch.from_numpy(np.asarray(IMAGE, np.float32) / 255)[None, None]
    with torch.inference_mode():
        maps = network.encode(image)
        found = network.match(maps, maps, threshold=0.0)
        weakest = found.coarse.cells0[found.coarse.confidence.argsort()[:5]]
        columns = maps.grid[1]
        points = torch.stack([weakest % columns, weakest // columns], dim=1) * 8 - 0.5
        started, starting = network.starting_at(maps, points.numpy().astype(np.float32))
        kept = network.match(started, maps, threshold=0.0, max_matches=6).coarse.cells0
    assert np.isnan(starting).all()
    assert set(weakest.tolist()) <= set(kept.tolist())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-30, 290), st.floats(-30, 220)), max_size=60))
def test_each_point_gets_a_place_of_its_own_in_its_cell(listed: list[tuple[float, float]]) -> None:
    points = np.array(listed, np.float32).reshape(-1, 2)
    image = torch.from_numpy(np.asarray(IMAGE, np.float32) / 255)[None, None]
    allowed = torch.ones_like(image, dtype=torch.bool)
    allowed[..., 100:] = False
    corners = find_corners(image, LITE, GRID, allowed)
    before = corners.pixels.clone()
    taken, chosen, places = take_over(corners, points, LITE, GRID)
    assert torch.equal(corners.pixels, before)
    each = corners.cells.shape[2]
    cells = cells_of(points, LITE, GRID)
    np.testing.assert_array_equal(cells[chosen], places // each)
    assert len(set(places.tolist())) == len(places)
    assert len(set(chosen.tolist())) == len(chosen)
    assert corners.usable.flatten()[places].all()
    pixels = taken.pixels.view(-1, 2).numpy()
    assert (np.abs(pixels[places] - points[chosen]) <= 0.5 + 1e-4).all()
    np.testing.assert_array_equal(cells_of(pixels[places], LITE, GRID), places // each)
    np.testing.assert_array_equal(pixels[places], np.rint(pixels[places]))
    rest = np.setdiff1d(np.arange(len(pixels)), places)
    np.testing.assert_array_equal(pixels[rest], before.view(-1, 2).numpy()[rest])
    # Left out are only those beyond the grid, or for which no place is left.
    usable = corners.usable[0].sum(dim=1).numpy()
    wanted = np.bincount(cells[cells >= 0], minlength=GRID[0] * GRID[1])
    assert len(chosen) == np.minimum(wanted, usable).sum()


def test_most_ids_of_a_keyframe_go_on_in_the_next_frame() -> None:
    tracker = Tracker(
        Matcher('lite', device='cpu', max_matches=300), TrackerOptions(reference='previous')
    )
    ids: list[set[int]] = []
    for view in render_room_sequence(4):
        height, width = view.image.shape
        camera = Camera(width, height, view.matrix)
        result = tracker.process(Frame(view.stamp_ns, view.image, 'camera', camera))
        if result is not None:
            ids.append(set(result.track_ids.tolist()))
    for before, after in pairwise(ids):
        assert len(before & after) > 0.6 * len(before)
