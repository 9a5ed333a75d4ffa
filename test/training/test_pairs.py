"""Batches of pairs from several sources."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from loftr_ros.matching.config import LITE
from loftr_ros.rendering.procedural import procedural_texture
from loftr_ros.rendering.textures import TextureBank
from loftr_ros.training.pairs import RenderedPairs, SharedPairs, TrainingPairs, join_pairs
from loftr_ros.training.scenes import SceneSampler

SIZE = (96, 128)


def rendered(seed: int) -> RenderedPairs:
    rng = np.random.default_rng(seed)
    bank = TextureBank.build(torch.from_numpy(procedural_texture(64, rng))[None])
    sampler = SceneSampler(1, torch.Generator().manual_seed(seed))
    return RenderedPairs(sampler, bank, LITE, SIZE)


class Counting:
    """A source that notes how many pairs are drawn."""

    def __init__(self, seed: int) -> None:
        self.source = rendered(seed)
        self.drawn = 0

    def draw(self, count: int) -> TrainingPairs:
        self.drawn += count
        return self.source.draw(count)


def test_joined_pairs_are_those_of_their_sources_in_order() -> None:
    first, second = rendered(0).draw(2), rendered(1).draw(3)

    joined = join_pairs([first, second])

    assert torch.equal(joined.images0, torch.cat([first.images0, second.images0]))
    assert torch.equal(joined.images1, torch.cat([first.images1, second.images1]))
    of_second = joined.labels.batch >= 2
    assert torch.equal(joined.labels.batch[of_second] - 2, second.labels.batch)
    assert torch.equal(joined.labels.cells1[of_second], second.labels.cells1)
    assert torch.equal(joined.labels.offset[~of_second], first.labels.offset)
    assert joined.labels.known0 is not None
    assert joined.labels.known0.shape == (5, 48)


def test_joined_truth_transfers_as_its_parts_do() -> None:
    first, second = rendered(0).draw(2), rendered(1).draw(3)
    truth = join_pairs([first, second]).truth
    pixels = torch.rand(5, 20, 2) * 90

    places, seen = truth.transfer(pixels)

    for part, own in ((first.truth, slice(0, 2)), (second.truth, slice(2, 5))):
        expected, visible = part.transfer(pixels[own])
        assert torch.equal(places[own], expected)
        assert torch.equal(seen[own], visible)


def test_pairs_of_joined_truth_are_selected_across_parts() -> None:
    truth = join_pairs([rendered(0).draw(2), rendered(1).draw(3)]).truth
    pixels = torch.rand(5, 1, 2) * 90
    index = torch.tensor([1, 1, 4])

    places, _ = truth.select(index).transfer(pixels[index], back=True)

    assert torch.equal(places, truth.transfer(pixels, back=True)[0][index])
    assert torch.equal(truth.select(index).camera1.matrix, truth.camera1.matrix[index])
    with pytest.raises(ValueError, match='in their order'):
        truth.select(index.flip(0))


def test_a_part_may_have_no_selected_pair() -> None:
    truth = join_pairs([rendered(0).draw(2), rendered(1).draw(3)]).truth

    places, seen = truth.select(torch.tensor([3])).transfer(torch.ones(1, 4, 2))

    assert places.shape == (1, 4, 2)
    assert seen.shape == (1, 4)


def test_pairs_come_from_the_sources_by_their_shares() -> None:
    sources = Counting(0), Counting(1)
    shared = SharedPairs(sources, [0.25, 0.75], torch.Generator().manual_seed(0))

    batches = [shared.draw(8) for _ in range(25)]

    assert all(len(batch.images0) == 8 for batch in batches)
    assert sum(source.drawn for source in sources) == 200
    assert 35 <= sources[0].drawn <= 65
