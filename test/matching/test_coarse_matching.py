import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from loftr_ros.matching import coarse_matching
from loftr_ros.matching.coarse_matching import (
    CoarseMatches,
    inner_cells,
    mutual_matches,
    similarity,
    strongest,
)

TEMPERATURE = 0.1


def all_cells(count: int) -> torch.Tensor:
    return torch.ones(1, count, dtype=torch.bool)


def match(features0: torch.Tensor, features1: torch.Tensor, threshold: float) -> CoarseMatches:
    inner = all_cells(features0.shape[1]), all_cells(features1.shape[1])
    return mutual_matches(features0, features1, TEMPERATURE, threshold, inner)


def direct_form(
    features0: torch.Tensor, features1: torch.Tensor, threshold: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Equations 1 to 3 as the paper writes them, on one pair: cells (M, 2) and confidence (M,)."""
    scores = similarity(features0, features1, TEMPERATURE)[0].double()
    confidence = scores.softmax(dim=0) * scores.softmax(dim=1)
    best_of_row = confidence == confidence.amax(dim=1, keepdim=True)
    best_of_column = confidence == confidence.amax(dim=0, keepdim=True)
    cells = (best_of_row & best_of_column & (confidence > threshold)).nonzero()
    return cells, confidence[cells[:, 0], cells[:, 1]].float()


def features_like(seed: int, cells0: int, cells1: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    pool = torch.randn(max(cells0, cells1), 16, generator=generator)
    noise = torch.randn(cells1, 16, generator=generator)
    order = torch.randperm(len(pool), generator=generator)[:cells1]
    return pool[None, :cells0], (pool[order] + 0.3 * noise)[None]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 7, 64]))
def test_blocks_of_any_size_find_what_the_direct_form_finds(
    seed: int, cells0: int, cells1: int, block: int
) -> None:
    features = features_like(seed, cells0, cells1)
    cells, confidence = direct_form(*features, 0.2)
    for kept in (0, 10**6):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(coarse_matching, 'BLOCK_SCORES', block)
            patch.setattr(coarse_matching, 'KEPT_SCORES', kept)
            found = match(*features, 0.2)

        assert torch.equal(torch.stack([found.cells0, found.cells1], dim=1), cells)
        torch.testing.assert_close(found.confidence, confidence, rtol=0, atol=1e-5)


def test_only_mutual_nearest_neighbours_match() -> None:
    # Cells 0 and 1 of image 0 both look like cell 0 of image 1; cell 0 more so.
    features0 = torch.tensor([[[3.0, 0.0, 0.0], [2.0, 0.1, 0.0], [0.0, 0.0, 0.1]]])
    features1 = torch.tensor([[[3.0, 0.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.1]]])

    found = match(features0, features1, 0.2)

    assert (0, 0) in zip(found.cells0.tolist(), found.cells1.tolist(), strict=True)
    assert 1 not in found.cells0.tolist()


def test_the_best_of_equally_good_cells_is_not_guessed() -> None:
    found = match(torch.ones(1, 1, 4), torch.ones(1, 2, 4), 0.2)

    assert found.confidence.tolist() == pytest.approx([0.5])
    assert len(match(torch.ones(1, 1, 4), torch.ones(1, 2, 4), 0.6).cells0) == 0


def test_confidence_of_zero_never_matches() -> None:
    far = torch.tensor([[[100.0], [-100.0]]])

    assert len(match(far, -far, 0.0).cells0) == 2
    assert len(match(far[:, :1], torch.tensor([[[-1e4], [1e4]]])[:, :1], 1.0).cells0) == 0
    hidden = (torch.zeros(1, 2, dtype=torch.bool), None)
    inner = (all_cells(2), all_cells(2))
    assert len(mutual_matches(far, far, TEMPERATURE, 0.0, inner, hidden).cells0) == 0


def test_border_cells_never_match() -> None:
    inner = inner_cells((4, 5), 1, None, torch.device('cpu')).view(4, 5)

    assert inner.sum() == 2 * 3
    assert inner[1:3, 1:4].all()


def test_the_border_follows_the_valid_region() -> None:
    mask = torch.zeros(1, 6, 6, dtype=torch.bool)
    mask[:, :4, :5] = True

    inner = inner_cells((6, 6), 1, mask.flatten(1), torch.device('cpu')).view(6, 6)

    assert inner.nonzero().amin(0).tolist() == [1, 1]
    assert inner.nonzero().amax(0).tolist() == [2, 3]


def test_the_border_is_that_of_the_region_even_with_a_hole_in_it() -> None:
    mask = torch.ones(1, 6, 6, dtype=torch.bool)
    mask[:, 2:4] = False
    mask[:, :, 3] = False
    mask[:, 0, 3] = True

    inner = inner_cells((6, 6), 1, mask.flatten(1), torch.device('cpu')).view(6, 6)

    assert inner.nonzero()[:, 0].unique().tolist() == [1, 4]
    assert inner.nonzero()[:, 1].unique().tolist() == [1, 2, 4]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.data())
def test_masked_cells_never_match_and_never_weigh(seed: int, data: st.DataObject) -> None:
    features0, features1 = features_like(seed, 12, 10)
    valid0 = torch.tensor([data.draw(st.lists(st.booleans(), min_size=12, max_size=12))])
    valid1 = torch.tensor([data.draw(st.lists(st.booleans(), min_size=10, max_size=10))])
    inner = valid0, valid1

    found = mutual_matches(features0, features1, TEMPERATURE, 0.0, inner, (valid0, valid1))

    assert valid0[0, found.cells0].all()
    assert valid1[0, found.cells1].all()
    if valid0.any() and valid1.any():
        kept0, kept1 = features0[:, valid0[0]], features1[:, valid1[0]]
        cells, confidence = direct_form(kept0, kept1, 0.0)
        own0, own1 = valid0[0].nonzero()[:, 0], valid1[0].nonzero()[:, 0]
        visible = confidence > 1e-30
        assert found.cells0[found.confidence > 1e-30].tolist() == own0[cells[visible, 0]].tolist()
        assert found.cells1[found.confidence > 1e-30].tolist() == own1[cells[visible, 1]].tolist()


@settings(max_examples=40, deadline=None)
@given(
    scale=st.sampled_from([1e-6, 1.0, 1e3, 6e4]),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
    seed=st.integers(0, 1000),
)
def test_the_confidence_is_finite_for_features_of_any_size(
    scale: float, dtype: torch.dtype, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = (torch.rand(2, 12, 8, generator=generator) * 2 - 1) * scale

    found = match(features.to(dtype), features.flip(1).to(dtype), 0.0)

    assert torch.isfinite(found.confidence).all()
    assert (found.confidence > 0).all()
    assert (found.confidence <= 1 + 1e-4).all()


def test_preferred_cells_go_before_more_confident_ones_but_no_match_does() -> None:
    confidence = torch.tensor([0.9, 0.3, 0.8, 0.0, 0.5])
    cells = torch.arange(5)
    matches = CoarseMatches(torch.zeros_like(cells), cells, cells, confidence)
    preferred = torch.tensor([[False, True, False, True, False]])
    assert strongest(matches, 2).cells0.tolist() == [0, 2]
    assert strongest(matches, 2, preferred).cells0.tolist() == [0, 1]
    assert strongest(matches, 4, preferred).cells0.tolist() == [0, 1, 2, 4]
    assert strongest(matches, None, preferred) is matches
