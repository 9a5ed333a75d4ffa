import pytest
import torch

from loftr_ros.matching import blocks, fine_matching
from loftr_ros.matching.coarse_matching import CoarseMatches
from loftr_ros.matching.fine_matching import FineOffsets
from loftr_ros.matching.weights import load_weights


@pytest.mark.parametrize('block', [1, 5, 64])
def test_matches_refined_in_blocks_are_those_refined_at_once(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    torch.manual_seed(0)
    network = load_weights('lite').network
    image = torch.rand(1, 1, 24, 32).repeat_interleave(4, 2).repeat_interleave(4, 3)
    images = image, image.roll((4, 4), (2, 3))
    with torch.inference_mode():
        maps0, maps1 = network.encode(images[0]), network.encode(images[1])
        whole = network.match(maps0, maps1, threshold=0.0)
        monkeypatch.setattr(blocks, 'REFINED_TOGETHER', block)
        parts = network.match(maps0, maps1, threshold=0.0)

    assert len(whole.points0) > 5
    assert torch.equal(parts.points0, whole.points0)
    torch.testing.assert_close(parts.points1, whole.points1, rtol=0, atol=1e-4)
    torch.testing.assert_close(parts.sigma, whole.sigma, rtol=0, atol=1e-4)


def test_windows_are_refined_in_few_different_numbers_and_only_matches_come_back() -> None:
    """A CPU's library keeps compiled code for each number: memory grew with every new one."""
    numbers = set()

    def refine(part: CoarseMatches) -> FineOffsets:
        numbers.add(len(part.batch))
        columns = torch.stack([part.cells0, part.cells1], dim=1).float()
        return FineOffsets(columns, part.confidence, start=columns)

    for count in range(1, 300, 7):
        cells = torch.arange(count)
        matches = CoarseMatches(torch.zeros_like(cells), cells, cells + 1, cells / count)
        fine = fine_matching.refine_in_blocks(refine, matches, 256)
        assert torch.equal(fine.offset, torch.stack([cells, cells + 1], dim=1).float())
        assert torch.equal(fine.deviation, cells / count)
        assert fine.start is not None
        assert torch.equal(fine.start, fine.offset)
    assert numbers == {64, 128, 192, 256}
