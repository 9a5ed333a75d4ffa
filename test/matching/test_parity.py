"""The same random weights give the same matches here and in an independent implementation."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F

from loftr_ros.matching.config import INDOOR, OUTDOOR, LoFTRConfig
from loftr_ros.matching.network import FeatureMaps, LoFTR

loftr = pytest.importorskip('kornia.feature.loftr.loftr', reason='kornia is not installed')

# Kornia leaves out the half pixel that lies between the official frame and centres at integers.
FRAME_OFFSET = 0.5


def randomized(config: LoFTRConfig) -> LoFTR:
    torch.manual_seed(3)
    network = LoFTR(dataclasses.replace(config, confidence_threshold=0.0)).eval()
    for name, buffer in network.named_buffers():
        if name.endswith('running_mean'):
            buffer.normal_(0, 0.1)
        elif name.endswith('running_var'):
            buffer.uniform_(0.5, 1.5)
    # Heat maps about as broad as trained ones; a random network's single peaks magnify rounding.
    with torch.no_grad():
        network.backbone.layer1_outconv2[3].weight.mul_(0.3)  # type: ignore[index,union-attr]
    return network


def peer_of(network: LoFTR) -> torch.nn.Module:
    config = copy.deepcopy(loftr.default_cfg)
    config['match_coarse']['thr'] = 0.0
    config['match_coarse']['border_rm'] = network.config.border_cells
    config['coarse']['temp_bug_fix'] = network.config.position_encoding_fix
    peer = loftr.LoFTR(None, config).eval()
    peer.load_state_dict(network.state_dict())
    return peer


def smooth_noise(batch: int, size: tuple[int, int]) -> torch.Tensor:
    coarse = torch.rand(batch, 1, size[0] // 5, size[1] // 5)
    return F.interpolate(coarse, size=size, mode='bilinear')


@pytest.fixture(scope='module', params=[OUTDOOR, INDOOR], ids=['outdoor', 'indoor'])
def config(request: pytest.FixtureRequest) -> LoFTRConfig:
    config: LoFTRConfig = request.param
    return config


@pytest.fixture(scope='module')
def peer(config: LoFTRConfig) -> torch.nn.Module:
    return peer_of(randomized(config))


@pytest.fixture(scope='module', params=[False, True], ids=['', 'folded'])
def network(config: LoFTRConfig, request: pytest.FixtureRequest) -> LoFTR:
    """Folded as the matcher does, or not."""
    network = randomized(config)
    if request.param:
        network.backbone.fold_batch_norms()
    return network


@pytest.mark.parametrize(
    ('size0', 'size1', 'batch'),
    [
        ((80, 112), (80, 112), 2),
        ((64, 136), (64, 136), 1),
        ((93, 131), (93, 131), 1),
        ((104, 72), (56, 136), 1),
    ],
)
def test_agrees_with_kornia(
    network: LoFTR,
    peer: torch.nn.Module,
    size0: tuple[int, int],
    size1: tuple[int, int],
    batch: int,
) -> None:
    torch.manual_seed(4)
    images0 = smooth_noise(batch, size0)
    images1 = images0.roll((3, 5), (2, 3)) if size0 == size1 else smooth_noise(batch, size1)
    with torch.no_grad():
        ours = network(images0, images1)
        theirs = peer({'image0': images0, 'image1': images1})

    assert len(ours.points0) > 0
    assert torch.equal(ours.coarse.batch, theirs['batch_indexes'])
    torch.testing.assert_close(ours.points0 + FRAME_OFFSET, theirs['keypoints0'], rtol=0, atol=0)
    torch.testing.assert_close(ours.points1 + FRAME_OFFSET, theirs['keypoints1'], rtol=0, atol=1e-3)
    torch.testing.assert_close(ours.coarse.confidence, theirs['confidence'], rtol=0, atol=1e-4)


def test_agrees_with_kornia_on_padded_images() -> None:
    # Kornia reads the border of the padded region in pixels instead of cells: leave it in.
    network = randomized(dataclasses.replace(OUTDOOR, border_cells=0))
    peer = peer_of(network)
    images0, images1 = smooth_noise(1, (128, 160)), smooth_noise(1, (128, 160))
    mask = torch.zeros(1, 128, 160, dtype=torch.bool)
    mask[:, :96, :120] = True
    with torch.no_grad():
        cells = mask[:, ::8, ::8]
        maps0, maps1 = network.encode(images0, cells), network.encode(images1)
        full = FeatureMaps(maps1.coarse, maps1.fine, torch.ones_like(cells))
        ours = network.match(maps0, full)
        everything = torch.ones_like(mask)
        theirs = peer({'image0': images0, 'image1': images1, 'mask0': mask, 'mask1': everything})

    assert len(ours.points0) > 0
    torch.testing.assert_close(ours.points0 + FRAME_OFFSET, theirs['keypoints0'], rtol=0, atol=0)
    torch.testing.assert_close(ours.points1 + FRAME_OFFSET, theirs['keypoints1'], rtol=0, atol=1e-3)


def test_the_official_networks_have_the_published_number_of_parameters() -> None:
    for config in (OUTDOOR, INDOOR):
        assert sum(p.numel() for p in LoFTR(config).parameters()) == 11_561_456
