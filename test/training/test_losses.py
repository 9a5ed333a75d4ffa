import dataclasses

import pytest
import torch

from loftr_ros.matching.fine_matching import FineOffsets
from loftr_ros.training.losses import coarse_loss, fine_loss
from loftr_ros.training.pairs import Labels


def diagonal(count: int) -> Labels:
    cells = torch.arange(count)
    return Labels(torch.zeros_like(cells), cells, cells, torch.zeros(count, 2))


def test_right_scores_cost_less_than_wrong_ones() -> None:
    right = torch.eye(4)[None] * 20
    wrong = right.flip(1)

    assert coarse_loss(right, diagonal(4)) < 1e-3
    assert coarse_loss(wrong, diagonal(4)) > 1


def test_confidence_where_there_is_no_match_costs() -> None:
    confident, unsure = torch.eye(4)[None] * 20, torch.zeros(1, 4, 4)

    assert coarse_loss(confident, diagonal(0)) > coarse_loss(unsure, diagonal(0))


def test_two_cells_of_which_nothing_is_known_cost_nothing() -> None:
    confident, unsure = torch.eye(4)[None] * 20, torch.zeros(1, 4, 4)
    known, unknown = torch.ones(1, 4, dtype=torch.bool), torch.zeros(1, 4, dtype=torch.bool)
    labels = diagonal(0)

    def loss(scores: torch.Tensor, known0: torch.Tensor, known1: torch.Tensor) -> torch.Tensor:
        return coarse_loss(scores, dataclasses.replace(labels, known0=known0, known1=known1))

    assert loss(confident, unknown, unknown) == 0
    assert loss(confident, known, unknown) == coarse_loss(confident, labels)
    assert loss(confident, unknown, known) == coarse_loss(confident, labels)
    assert loss(unsure, unknown, unknown) == 0


def test_with_a_power_labels_that_cannot_be_found_hardly_pull_at_the_scores() -> None:
    def pull(confidence: float, power: float) -> float:
        scores = torch.zeros(1, 1, 2)
        scores[0, 0, 1] = -torch.tensor(confidence).logit()
        scores.requires_grad_()
        unknown = torch.zeros(1, 1, dtype=torch.bool), torch.zeros(1, 2, dtype=torch.bool)
        label = dataclasses.replace(diagonal(1), known0=unknown[0], known1=unknown[1])
        coarse_loss(scores, label, power).backward()
        assert scores.grad is not None
        return float(scores.grad[0, 0, 0].abs())

    assert pull(1e-6, 0.0) > pull(0.3, 0.0)
    assert pull(1e-6, 0.5) < 0.01 * pull(0.3, 0.5)


def test_the_loss_stays_finite_for_extreme_scores() -> None:
    scores = (torch.eye(4)[None] * 1e4).requires_grad_()
    loss = coarse_loss(scores, diagonal(4))
    loss.backward()

    assert torch.isfinite(loss)
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()


def test_the_fine_loss_is_the_weighted_squared_distance() -> None:
    predicted = FineOffsets(torch.tensor([[0.1, 0.0], [0.0, 0.3]]), torch.tensor([0.1, 0.3]))
    # Weights 1/0.1 and 1/0.3 divided by their mean: 1.5 and 0.5.
    expected = (1.5 * 0.01 + 0.5 * 0.09) / 2

    assert fine_loss(predicted, torch.zeros(2, 2)).item() == pytest.approx(expected, rel=1e-5)


def test_targets_outside_of_the_window_are_left_out() -> None:
    predicted = FineOffsets(torch.zeros(1, 2, requires_grad=True), torch.ones(1))

    assert fine_loss(predicted, torch.tensor([[1.4, 0.0]])).item() == 0
