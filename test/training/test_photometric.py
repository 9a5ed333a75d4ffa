"""What a camera does to an image in training."""

import torch

from loftr_ros.training.photometric import LONGEST_BLUR, REACH, degrade, motion_blur


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_degraded_images_keep_their_shape_and_stay_within_the_range_of_images() -> None:
    images = torch.rand(32, 1, 48, 64, generator=generator())
    degraded = degrade(images, generator())
    assert degraded.shape == images.shape
    assert degraded.min() >= 0
    assert degraded.max() <= 1


def test_the_same_seed_degrades_alike() -> None:
    images = torch.rand(4, 1, 48, 64, generator=generator())
    assert torch.equal(degrade(images, generator()), degrade(images, generator()))


def test_some_images_are_dark() -> None:
    bright = torch.ones(400, 1, 8, 8)
    darkest = degrade(bright, generator()).mean(dim=(1, 2, 3))
    assert 0.05 < (darkest < 0.35).float().mean() < 0.4


def test_some_images_are_dull() -> None:
    image = torch.rand(1, 1, 24, 32, generator=generator()).expand(400, 1, 24, 32)
    deviations = degrade(image, generator()).std(dim=(1, 2, 3))
    assert 0.1 < (deviations < 0.2 * image.std()).float().mean() < 0.4


def test_images_have_the_grey_levels_of_8_bits() -> None:
    levels = degrade(torch.rand(8, 1, 24, 32, generator=generator()), generator()) * 255
    assert torch.allclose(levels, levels.round(), atol=1e-4)


def test_a_quarter_of_the_images_is_smeared_by_up_to_the_longest_blur() -> None:
    points = torch.zeros(400, 1, 33, 33)
    points[:, :, 16, 16] = 1
    smeared = motion_blur(points, generator())[:, 0]
    length = (smeared > 1e-3).any(dim=1).sum(dim=1).maximum((smeared > 1e-3).any(dim=2).sum(dim=1))
    assert 0.15 < (length > 1).float().mean() < 0.35
    assert LONGEST_BLUR - 2 < length.max() <= 2 * REACH + 1
    assert torch.allclose(smeared.sum(dim=(1, 2)), torch.ones(400), atol=1e-5)


def test_the_kernel_holds_the_longest_blur() -> None:
    assert LONGEST_BLUR / 2 + 0.5 <= REACH
