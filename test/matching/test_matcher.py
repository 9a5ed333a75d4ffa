import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from loftr_ros.matching.errors import ImageError
from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.matches import Matches
from loftr_ros.rendering.procedural import procedural_texture


@pytest.fixture(scope='module')
def matcher() -> Matcher:
    return Matcher('lite', device='cpu')


@pytest.fixture(scope='module')
def texture() -> NDArray[np.uint8]:
    return procedural_texture(512, np.random.default_rng(5))[:400, :500]


def shifted(image: NDArray[np.uint8], dx: float, dy: float) -> NDArray[np.uint8]:
    motion = np.array([[1, 0, dx], [0, 1, dy]], np.float64)
    size = (image.shape[1], image.shape[0])
    return np.asarray(cv2.warpAffine(image, motion, size, borderMode=cv2.BORDER_REFLECT), np.uint8)


def test_a_shifted_image_is_matched_at_the_shift(
    matcher: Matcher, texture: NDArray[np.uint8]
) -> None:
    matches = matcher.match_images(texture, shifted(texture, 9.5, -6.25))

    assert len(matches) > 200
    motion = np.median(matches.query_points - matches.reference_points, axis=0)
    np.testing.assert_allclose(motion, [9.5, -6.25], atol=0.5)


def test_matches_are_in_pixels_of_the_original_images(
    matcher: Matcher, texture: NDArray[np.uint8]
) -> None:
    doubled = cv2.resize(texture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    matches = matcher.match_images(texture, np.asarray(doubled, np.uint8))

    assert len(matches) > 100
    expected = (matches.reference_points + 0.5) * 2 - 0.5
    error = np.linalg.norm(matches.query_points - expected, axis=1)
    assert np.median(error) < 3


def test_reference_points_sit_on_their_cells(matcher: Matcher, texture: NDArray[np.uint8]) -> None:
    matches = matcher.match_images(texture, texture)
    _, columns = matches.reference_grid
    cells = np.stack([matches.reference_cells % columns, matches.reference_cells // columns], 1)

    # The cells are quarters of coarse ones, whose first pixel lies 6 px before the image.
    first = cells * 8 - 6
    assert (matches.reference_points >= first).all()
    assert (matches.reference_points < first + 8).all()
    assert len(np.unique(matches.reference_cells)) == len(matches)


def test_the_same_cell_has_the_same_point_whatever_it_is_matched_with(
    matcher: Matcher, texture: NDArray[np.uint8]
) -> None:
    reference = matcher.encode(texture)
    places: dict[int, NDArray[np.float32]] = {}
    for shift in range(0, 20, 4):
        matches = matcher.match(reference, matcher.encode(shifted(texture, shift, 2)))
        for cell, point in zip(matches.reference_cells, matches.reference_points, strict=True):
            assert (places.setdefault(int(cell), point) == point).all()
    assert len(places) > 100


def test_encoded_images_can_be_reused(matcher: Matcher, texture: NDArray[np.uint8]) -> None:
    moved = shifted(texture, 4, 4)
    features = matcher.encode(texture)
    direct = matcher.match_images(texture, moved)

    for _ in range(2):
        again = matcher.match(features, matcher.encode(moved))
        np.testing.assert_array_equal(again.query_points, direct.query_points)
        np.testing.assert_array_equal(again.confidence, direct.confidence)


def test_masked_parts_of_an_image_never_match(matcher: Matcher, texture: NDArray[np.uint8]) -> None:
    mask = np.ones(texture.shape, np.bool_)
    mask[100:260, 150:330] = False  # an object that moves
    mask[:, :60] = False

    matches = matcher.match(matcher.encode(texture, mask), matcher.encode(texture))

    x, y = matches.reference_points.T
    assert len(matches) > 100
    half = matcher.network.config.resolution[0] / 2
    assert not ((x > 150 + half) & (x < 330 - half) & (y > 100 + half) & (y < 260 - half)).any()
    assert (x > 60 - half).all()
    nothing = matcher.encode(texture, np.zeros(texture.shape, np.bool_))
    assert len(matcher.match(nothing, matcher.encode(texture))) == 0


@pytest.mark.parametrize('mask', [np.ones((4, 4), np.bool_), np.ones((400, 500), np.uint8)])
def test_a_mask_of_another_size_or_type_is_refused(
    matcher: Matcher, texture: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> None:
    with pytest.raises(ImageError, match='mask of'):
        matcher.encode(texture, mask)


def test_only_the_most_confident_matches_are_kept(texture: NDArray[np.uint8]) -> None:
    everything = Matcher('lite', device='cpu').match_images(texture, texture)
    few = Matcher('lite', device='cpu', max_matches=50).match_images(texture, texture)

    assert len(few) == 50
    # One point of each of the most confident cells, before the second point of any.
    assert len(np.unique(coarse_cells(few))) == 50
    _, first = np.unique(coarse_cells(everything), return_index=True)
    assert few.confidence.min() >= np.sort(everything.confidence[first])[-50]


def test_matches_of_large_sigma_can_be_left_out(texture: NDArray[np.uint8]) -> None:
    shifted = np.roll(texture, 5, axis=1)
    everything = Matcher('lite', device='cpu').match_images(texture, shifted)
    limit = float(np.median(everything.sigma))
    sure = Matcher('lite', device='cpu', max_sigma=limit).match_images(texture, shifted)
    kept = everything.sigma <= limit
    np.testing.assert_array_equal(sure.query_points, everything.query_points[kept])
    assert 0 < len(sure) < len(everything)


def coarse_cells(matches: Matches) -> NDArray[np.int64]:
    rows, columns = np.divmod(matches.reference_cells, matches.reference_grid[1])
    return np.asarray(rows // 2 * matches.reference_grid[1] + columns // 2)


def test_a_higher_threshold_keeps_a_subset(matcher: Matcher, texture: NDArray[np.uint8]) -> None:
    moved = shifted(texture, 10, 3)
    loose = matcher.match_images(texture, moved)
    strict = Matcher('lite', device='cpu', confidence_threshold=0.8).match_images(texture, moved)

    assert 0 < len(strict) < len(loose)
    assert set(strict.reference_cells) <= set(loose.reference_cells)
    assert strict.confidence.min() > 0.8


@pytest.mark.parametrize('value', [0, 255])
def test_blank_images_end_in_finite_results(matcher: Matcher, value: int) -> None:
    blank = np.full((120, 160), value, np.uint8)
    matches = matcher.match_images(blank, blank)

    assert np.isfinite(matches.query_points).all()


def test_nothing_in_common_is_an_empty_result(matcher: Matcher) -> None:
    strict = Matcher('lite', device='cpu', confidence_threshold=1.0)
    noise = np.random.default_rng(0).integers(0, 255, (2, 96, 128), np.uint8)
    matches = strict.match_images(noise[0], noise[1])

    assert len(matches) == 0
    assert matches.query_points.shape == (0, 2)
    assert matches.reference_cells.dtype == np.int64


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 70), st.integers(1, 70))
def test_images_of_any_size_are_accepted(
    matcher: Matcher, h0: int, w0: int, h1: int, w1: int
) -> None:
    rng = np.random.default_rng(h0 * w1)
    image0 = rng.integers(0, 255, (h0, w0), np.uint8)
    image1 = rng.integers(0, 255, (h1, w1), np.uint8)
    matches = matcher.match_images(image0, image1)

    inside = (matches.reference_points > -0.5) & (matches.reference_points < [w0 - 0.5, h0 - 0.5])
    assert inside.all()


def test_nan_in_a_float_image_is_refused(matcher: Matcher) -> None:
    image = np.zeros((64, 64), np.float32)
    image[3, 4] = np.nan

    with pytest.raises(ImageError, match='1 of 4096'):
        matcher.encode(image)


def test_bfloat16_keeps_most_matches(matcher: Matcher, texture: NDArray[np.uint8]) -> None:
    moved = shifted(texture, 7, 2)
    exact = matcher.match_images(texture, moved)
    half = Matcher('lite', device='cpu', precision='bfloat16').match_images(texture, moved)

    kept = len(set(exact.reference_cells) & set(half.reference_cells))
    assert kept > 0.9 * len(exact)


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        ({'device': 'tpu9'}, 'tpu9'),
        ({'device': 'meta'}, "'meta': expected auto, cpu, cuda or cuda:N"),
        ({'device': 'mps'}, "'mps': expected auto, cpu, cuda or cuda:N"),
        ({'device': 'xpu:0'}, "'xpu:0': expected auto, cpu, cuda or cuda:N"),
        ({'precision': 'int4'}, 'int4'),
        ({'device': 'cpu', 'precision': 'float16'}, 'GPU'),
        ({'confidence_threshold': 1.5}, '1.5'),
        ({'longer_side': 3}, 'longer_side'),
        ({'max_matches': 0}, 'max_matches'),
        ({'max_sigma': 0.0}, 'max_sigma'),
    ],
)
def test_wrong_arguments_are_refused_with_the_reason(
    arguments: dict[str, object], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        Matcher('lite', **arguments)  # type: ignore[arg-type]


def test_warm_up_says_how_long_it_took(matcher: Matcher) -> None:
    assert 0 < matcher.warm_up(96, 128) < 60


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)

    with pytest.raises(ValueError, match=r"device 'cuda:9': the last one here is cuda:1"):
        Matcher('lite', device='cuda:9')
