import pytest
import torch

from loftr_ros.matching import blocks
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
