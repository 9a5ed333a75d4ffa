"""The point of a cell of the reference is one pixel, whatever the query shows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from efficient_networks import randomized, smooth_noise

from loftr_ros.frontend import Frame, Tracker, TrackerOptions
from loftr_ros.matching.config import ANYTHING, EFFICIENT, EfficientConfig
from loftr_ros.matching.efficient import reference_pixels
from loftr_ros.matching.fine_matching import cell_centres
from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.two_stage import CELL, Windows, refine_windows
from loftr_ros.matching.weights import save_weights
from loftr_ros.rendering.procedural import procedural_texture

TEXTURE = procedural_texture(260, np.random.default_rng(3))
REFERENCE = TEXTURE[10:160, 10:210]  # padded: neither side is a multiple of 32
QUERIES = [TEXTURE[y : y + 150, x : x + 200] for y, x in ((10, 10), (12, 7), (18, 26))]


@pytest.fixture(scope='module', params=[EFFICIENT, ANYTHING], ids=['efficient', 'anything'])
def matcher(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Matcher:
    path: Path = tmp_path_factory.mktemp('weights') / 'random.safetensors'
    config = dataclasses.replace(request.param, confidence_threshold=0.0)
    save_weights(randomized(config), path)
    return Matcher(path, device='cpu', precision='float32')


def test_a_cell_has_the_same_point_in_every_query(matcher: Matcher) -> None:
    reference = matcher.encode(REFERENCE)
    points: dict[int, tuple[float, ...]] = {}
    seen = 0
    for query in QUERIES:
        found = matcher.match(reference, matcher.encode(query))
        assert (found.sigma > 0).all()
        for cell, point in zip(found.reference_cells, found.reference_points, strict=True):
            seen += int(cell) in points
            assert points.setdefault(int(cell), tuple(point)) == tuple(point)
    assert len(points) > 10
    assert seen > 2


def test_points_lie_in_the_cells_that_they_are_named_by(matcher: Matcher) -> None:
    found = matcher.match_images(REFERENCE, QUERIES[0])
    config = matcher.network.config
    finer, columns = config.subdivision, found.reference_grid[1]
    side = config.stride / finer
    cells = np.stack([found.reference_cells % columns, found.reference_cells // columns], axis=1)
    # The first pixel of the first cell is half a cell before its centre.
    first = config.cell_offset - (config.stride - 1) / 2
    offset = found.reference_points - (cells * side + first)

    assert len(found) > 10
    assert (offset >= 0).all()
    assert (offset < side).all()


def test_the_same_image_is_found_where_it_is(matcher: Matcher) -> None:
    found = matcher.match_images(REFERENCE, REFERENCE)
    distance = np.linalg.norm(found.query_points - found.reference_points, axis=1)

    # The two-stage refinement with random weights is off by the window of its second stage.
    assert len(found) > 20
    assert np.median(distance) < 2


def test_a_mask_keeps_matches_away(matcher: Matcher) -> None:
    mask = np.ones(REFERENCE.shape[:2], np.bool_)
    mask[:, :100] = False
    found = matcher.match(matcher.encode(REFERENCE, mask), matcher.encode(REFERENCE))

    assert len(found) > 3
    assert (found.reference_points[:, 0] >= 100 - CELL).all()


def test_the_pixel_that_matches_best_is_found_as_any_other() -> None:
    torch.manual_seed(0)
    windows = [
        Windows(torch.randn(20, 36, 64), torch.ones(20, 100, dtype=torch.bool)) for _ in range(2)
    ]
    config = EfficientConfig()
    best = refine_windows(windows[0], windows[1], config)
    assert best.start is not None
    x, y = (best.start + (CELL - 1) / 2).long().unbind(dim=1)
    again = refine_windows(windows[0], windows[1], config, y * CELL + x)

    for one, other in zip(
        (best.offset, best.deviation, best.start),
        (again.offset, again.deviation, again.start),
        strict=True,
    ):
        assert torch.equal(one, other)  # type: ignore[arg-type]


def test_pixels_are_those_of_the_window() -> None:
    cells = torch.arange(6)
    centres = cell_centres(EFFICIENT, cells, 3)
    shift = torch.tensor([[-3.5, 2.5]])
    found = reference_pixels((centres + shift)[None], 3, EFFICIENT)

    assert (found == 6 * CELL + 0).all()


def test_two_batches_of_masked_images_are_matched_as_each_by_itself() -> None:
    network = randomized(dataclasses.replace(ANYTHING, confidence_threshold=0.0))
    images = smooth_noise(2, (96, 128))
    masks = torch.ones(2, 12, 16, dtype=torch.bool)
    masks[0, :, 12:], masks[1, 10:] = False, False
    with torch.no_grad():
        both = network.encode(images, masks)
        together = network.match(both, both)
        for index in range(2):
            part = slice(index, index + 1)
            alone = network.encode(images[part], masks[part])
            expected = network.match(alone, alone)
            found = together.select(torch.nonzero(together.coarse.batch == index)[:, 0])
            assert torch.equal(found.cells, expected.cells)
            torch.testing.assert_close(found.points1, expected.points1, rtol=0, atol=1e-3)


def test_a_track_keeps_its_id_and_its_point_while_the_keyframe_lasts(matcher: Matcher) -> None:
    steady = TrackerOptions(min_survival=0.0, min_overlap=0.0, max_parallax=10.0)
    tracker = Tracker(matcher, steady)
    assert tracker.process(Frame(stamp_ns=1, image=REFERENCE)) is None
    points: dict[int, tuple[float, ...]] = {}
    seen = 0
    for number, query in enumerate(QUERIES[1:] + QUERIES[1:], start=2):
        # Each image once more with some noise, so that none counts as frozen.
        image = np.clip(query.astype(np.int16) + number % 3, 0, 255).astype(np.uint8)
        result = tracker.process(Frame(stamp_ns=number, image=image))
        assert result is not None
        assert not result.new_keyframe
        tracks = zip(result.track_ids, result.matches.reference_points, strict=True)
        for track, point in tracks:
            seen += int(track) in points
            assert points.setdefault(int(track), tuple(point)) == tuple(point)

    assert seen > 3


def test_without_a_match_nothing_is_fused() -> None:
    network = randomized(dataclasses.replace(EFFICIENT, confidence_threshold=1.0))
    calls: list[int] = []
    network.fine_preprocess.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        found = network(smooth_noise(1, (64, 64)), smooth_noise(1, (64, 64)))

    assert len(found.points0) == 0
    assert not calls
