import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from loftr_ros.matching.coarse_matching import (
    CoarseMatches,
    calibrate,
    dual_softmax,
    inner_cells,
    mask_similarity,
    mutual_matches,
    similarity,
)
from loftr_ros.matching.config import LITE, LoFTRConfig


def all_cells(count: int) -> torch.Tensor:
    return torch.ones(1, count, dtype=torch.bool)


def test_only_mutual_nearest_neighbours_match() -> None:
    confidence = torch.tensor([[[0.9, 0.1, 0.0], [0.8, 0.3, 0.0], [0.0, 0.0, 0.1]]])

    found = mutual_matches(confidence, 0.2, all_cells(3), all_cells(3))

    assert found.cells0.tolist() == [0]
    assert found.cells1.tolist() == [0]
    assert found.confidence.tolist() == pytest.approx([0.9])


def test_confidence_of_zero_never_matches() -> None:
    found = mutual_matches(torch.zeros(1, 4, 4), 0.0, all_cells(4), all_cells(4))

    assert len(found.batch) == 0


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


def test_masked_cells_get_no_confidence_from_unmasked_ones() -> None:
    mask = torch.tensor([[True, True, False]])
    confidence = dual_softmax(mask_similarity(torch.rand(1, 3, 3), mask, mask))

    assert confidence[0, :2, 2].max() == 0
    assert confidence[0, 2, :2].max() == 0


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
    scores = similarity(features.to(dtype), features.flip(1).to(dtype), 0.1)

    confidence = dual_softmax(scores)

    assert torch.isfinite(confidence).all()
    assert confidence.min() >= 0
    assert confidence.max() <= 1


def with_confidence(*confidence: float) -> CoarseMatches:
    cells = torch.arange(len(confidence))
    return CoarseMatches(torch.zeros_like(cells), cells, cells, torch.tensor(confidence))


def test_confidence_is_read_between_the_knots() -> None:
    found = calibrate(with_confidence(0.0, 0.25, 0.5, 0.9, 1.0), (0.1, 0.7, 0.9))

    assert found.confidence.tolist() == pytest.approx([0.1, 0.4, 0.7, 0.86, 0.9])


def test_without_knots_confidence_stays_as_it_is() -> None:
    matches = with_confidence(0.2, 0.6)

    assert calibrate(matches, ()) is matches


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=20))
def test_calibration_keeps_the_order_of_matches(values: list[float]) -> None:
    knots = (0.05, 0.3, 0.3, 0.8, 0.95)

    found = calibrate(with_confidence(*sorted(values)), knots).confidence

    assert (found.diff() >= 0).all()
    assert ((found >= 0.05 - 1e-6) & (found <= 0.95 + 1e-6)).all()


@pytest.mark.parametrize('knots', [(0.5,), (0.5, 0.4), (0.0, 1.5), (float('nan'), 1.0)])
def test_knots_that_do_not_rise_are_refused(knots: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match='confidence_knots must rise'):
        LoFTRConfig(confidence_knots=knots)


def test_knots_travel_with_the_configuration() -> None:
    config = LoFTRConfig.from_dict({**LITE.to_dict(), 'confidence_knots': [0.0, 0.6, 1.0]})

    assert config.confidence_knots == (0.0, 0.6, 1.0)
