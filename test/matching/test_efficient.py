"""The same random weights give the same matches here and in transformers.

In transformers 5.24 the fine stage carries a batch dimension that the axes of its softmax and its
gather leave out of account, and the matched cells of the two images stand in different orders; so
its coordinates are wrong, whatever the weights (`test_what_is_corrected_in_transformers`). Its own
code is run here with just these axes and orders put right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from efficient_networks import randomized, smooth_noise
from torch import Tensor

from loftr_ros.matching.coarse_matching import CoarseMatches
from loftr_ros.matching.config import EfficientConfig
from loftr_ros.matching.efficient import EfficientLoFTR
from loftr_ros.matching.efficient_names import from_transformers, module_names
from loftr_ros.matching.fine_matching import in_pixels
from loftr_ros.matching.pair_network import NetworkMatches

PAPER = EfficientConfig(fixed_reference=False, confidence_threshold=0.0)
SIZES = [(96, 128), (160, 64), (100, 150)]
"""Height and width, px: multiples of 32, and one that is padded to them."""

FRAME_OFFSET = 0.5
"""Half a pixel lies between the official frame and centres at integers."""


def padded(images: Tensor) -> Tensor:
    return F.pad(images, (0, -images.shape[3] % 32, 0, -images.shape[2] % 32))


def pair_of(batch: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    images0 = smooth_noise(batch, size)
    images1 = images0.roll((8, -16), (2, 3)) + 0.02 * torch.randn_like(images0)
    return padded(images0), padded(images1)


def peer_module() -> Any:  # noqa: ANN401 - a package without types
    """Import the peer where it is needed: collecting the other tests is quicker without."""
    return pytest.importorskip(
        'transformers.models.efficientloftr.modeling_efficientloftr',
        reason='transformers is not installed',
    )


def peer_of(network: EfficientLoFTR) -> Any:  # noqa: ANN401 - a package without types
    modeling = peer_module()
    config = modeling.EfficientLoFTRConfig(
        coarse_matching_threshold=network.config.confidence_threshold,
        coarse_matching_skip_softmax=not network.config.dual_softmax,
        attn_implementation='eager',
    )
    peer = modeling.EfficientLoFTRForKeypointMatching(config).eval()
    state = from_transformers(peer.state_dict(), network.config)
    assert set(state) == set(network.state_dict())
    names = {ours: theirs for theirs, ours in zip(peer.state_dict(), state, strict=True)}
    peer.load_state_dict({names[k]: v for k, v in network.state_dict().items()})
    return peer


@pytest.fixture(scope='module')
def network() -> EfficientLoFTR:
    return randomized(PAPER)


@pytest.fixture(scope='module')
def folded() -> EfficientLoFTR:
    """As the matcher uses it."""
    network = randomized(PAPER)
    network.fold_batch_norms()
    return network


@pytest.fixture(scope='module')
def peer(network: EfficientLoFTR) -> Any:  # noqa: ANN401 - a package without types
    return peer_of(network)


def shifted(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function whose positive dimension counts from the second of four."""

    def corrected(x: Tensor, dim: int, *args: Any, **options: Any) -> Tensor:  # noqa: ANN401
        return function(x, dim + 1 if x.dim() == 4 and dim > 0 else dim, *args, **options)

    return corrected


@dataclasses.dataclass
class Peer:
    """Matches of one pair in transformers: cells, confidence and points in the official frame."""

    cells0: Tensor
    cells1: Tensor
    confidence: Tensor
    points0: Tensor
    points1: Tensor


def stages_of_peer(peer: Any, images0: Tensor, images1: Tensor) -> tuple[Tensor, list[Tensor]]:  # noqa: ANN401
    """Transformed coarse features (1, 2, C, H / 8, W / 8) and the maps at 1/2 and 1/4."""
    pixels = torch.stack([images0, images1], dim=1).repeat(1, 1, 3, 1, 1)
    coarse, *residuals = peer.efficientloftr(pixels).feature_maps
    return coarse, residuals


def refined_by_peer(
    peer: Any,  # noqa: ANN401
    stages: tuple[Tensor, list[Tensor]],
    cells0: Tensor,
    cells1: Tensor,
) -> tuple[Tensor, Tensor]:
    """Points (M, 2) of both images, official frame, of cells of one pair."""
    coarse, residuals = stages
    fine0, fine1 = peer.refinement_layer(coarse / coarse.shape[2] ** 0.5, residuals)
    columns = coarse.shape[-1]
    starts = [torch.stack([c % columns, c // columns], -1) * 8 for c in (cells0, cells1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, 'softmax', shifted(F.softmax))
        patch.setattr(torch, 'gather', shifted(torch.gather))
        points = peer._fine_matching(
            fine0[:, cells0], fine1[:, cells1], torch.stack(starts)[None].float(), 1.0
        )[0]
    return points[0], points[1]


def matches_of_peer(peer: Any, images0: Tensor, images1: Tensor) -> Peer:  # noqa: ANN401
    """Its own stages, one pair at a time, in the order of the cells of image 0."""
    stages = stages_of_peer(peer, images0, images1)
    _, scores, matched = peer._coarse_matching(stages[0], 8)
    cells0 = torch.nonzero(scores[0, 1] > 0)[:, 0]
    cells1 = matched[0, 1, cells0]
    points = refined_by_peer(peer, stages, cells0, cells1)
    return Peer(cells0, cells1, scores[0, 1, cells0], *points)


def of_pair(ours: NetworkMatches, index: int) -> NetworkMatches:
    return ours.select(torch.nonzero(ours.coarse.batch == index)[:, 0])


def assert_same(ours: NetworkMatches, theirs: Peer) -> None:
    assert torch.equal(ours.coarse.cells0, theirs.cells0)
    assert torch.equal(ours.coarse.cells1, theirs.cells1)
    torch.testing.assert_close(ours.coarse.confidence, theirs.confidence, rtol=0, atol=1e-4)
    torch.testing.assert_close(ours.points0 + FRAME_OFFSET, theirs.points0, rtol=0, atol=1e-3)
    torch.testing.assert_close(ours.points1 + FRAME_OFFSET, theirs.points1, rtol=0, atol=1e-3)


@pytest.mark.parametrize('which', ['network', 'folded'])
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_agrees_with_transformers(
    peer: Any,  # noqa: ANN401
    size: tuple[int, int],
    which: str,
    request: pytest.FixtureRequest,
) -> None:
    network: EfficientLoFTR = request.getfixturevalue(which)
    images0, images1 = pair_of(2, size)
    with torch.no_grad():
        ours = network(images0, images1)
        assert len(ours.points0) > 5
        for index in range(2):
            part = slice(index, index + 1)
            theirs = matches_of_peer(peer, images0[part], images1[part])
            assert_same(of_pair(ours, index), theirs)


@pytest.mark.parametrize('size', SIZES, ids=str)
def test_every_cell_is_refined_as_in_transformers(
    network: EfficientLoFTR,
    peer: Any,  # noqa: ANN401
    size: tuple[int, int],
) -> None:
    images0, images1 = pair_of(1, size)
    with torch.no_grad():
        stages = stages_of_peer(peer, images0, images1)
        maps0, maps1 = network.encode(images0), network.encode(images1)
        cells = torch.arange(maps0.cells)
        partners = torch.randperm(maps0.cells)
        matches = CoarseMatches(torch.zeros_like(cells), cells, partners, torch.ones(len(cells)))
        fine = network.refine(*network.transform(maps0, maps1), maps0, maps1, matches)
        columns = maps0.grid[1]
        points0, points1, sigma = in_pixels(network.config, matches, fine, columns, columns)
        theirs0, theirs1 = refined_by_peer(peer, stages, cells, partners)

    torch.testing.assert_close(points0 + FRAME_OFFSET, theirs0, rtol=0, atol=1e-3)
    torch.testing.assert_close(points1 + FRAME_OFFSET, theirs1, rtol=0, atol=1e-3)
    assert (sigma > 0).all()


@pytest.mark.parametrize('sizes', [((64, 128), (128, 64)), ((96, 64), (64, 96))], ids=str)
def test_images_of_different_size_agree_with_transformers(
    network: EfficientLoFTR,
    peer: Any,  # noqa: ANN401
    sizes: tuple[tuple[int, int], tuple[int, int]],
) -> None:
    """Its layers take maps of different size as long as both have as many tokens."""
    images = [smooth_noise(2, size) for size in sizes]
    model = peer.efficientloftr
    with torch.no_grad():
        x0, x1 = (model.backbone(image)[-1] for image in images)
        positions = [model.rotary_emb(x) for x in (x0, x1)]
        positions = [tuple(t.flatten(1, 2).expand(2, -1, -1) for t in p) for p in positions]
        for layer in model.local_feature_transformer.layers:
            x0 = layer.self_attention(x0, position_embeddings=positions[0])
            x1 = layer.self_attention(x1, position_embeddings=positions[1])
            x0 = layer.cross_attention(x0, x1)
            x1 = layer.cross_attention(x1, x0)
        ours = network.transform(*(network.encode(image) for image in images))

    for theirs, found in zip((x0, x1), ours, strict=True):
        expected = theirs.flatten(2).transpose(1, 2)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_optimized_mode_matches_the_same_cells_as_transformers() -> None:
    network = randomized(dataclasses.replace(PAPER, dual_softmax=False))
    peer = peer_of(network)
    images0, images1 = pair_of(1, (96, 128))
    with torch.no_grad():
        ours = network(images0, images1)
        theirs = matches_of_peer(peer, images0, images1)

    # Its confidence is the correlation: 0.5 here stands for the configured one.
    assert torch.equal(ours.coarse.cells0, theirs.cells0)
    assert torch.equal(ours.coarse.cells1, theirs.cells1)
    scores = (theirs.confidence - network.config.score_threshold).sigmoid()
    torch.testing.assert_close(ours.coarse.confidence, scores, rtol=0, atol=1e-4)


def test_what_is_corrected_in_transformers(peer: Any) -> None:  # noqa: ANN401
    """As it is, every point of image 0 is the first pixel of its window, whatever was found."""
    images0, images1 = pair_of(1, (96, 128))
    with torch.no_grad():
        pixels = torch.stack([images0, images1], dim=1).repeat(1, 1, 3, 1, 1)
        found = peer(pixels)
    matched = found.matches[0, 0] >= 0
    points0 = found.keypoints[0, 0, matched] * torch.tensor([128, 96])

    torch.testing.assert_close(points0 % 8, torch.full_like(points0, 4.5), rtol=0, atol=1e-3)


def test_the_table_names_every_parameter_of_both_layouts_once(network: EfficientLoFTR) -> None:
    names = module_names(network.config)

    assert len(set(names.values())) == len(names)
    modules = {name.rpartition('.')[0] for name in network.state_dict()}
    # The table has a name for the branch that a block of another width does not have.
    assert modules <= set(names.values())


def test_the_network_has_the_published_number_of_parameters() -> None:
    """64 MB of float32: 16 million."""
    modeling = peer_module()
    peer = modeling.EfficientLoFTRForKeypointMatching(modeling.EfficientLoFTRConfig())
    networks = EfficientLoFTR(EfficientConfig()), peer
    ours, published = (sum(p.numel() for p in network.parameters()) for network in networks)
    assert ours == published
