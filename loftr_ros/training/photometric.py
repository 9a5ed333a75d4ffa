"""What a camera does to an image: exposure, blur, noise, shadows."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

DULL = 0.2
"""Share of the images with the little contrast of fog or a worn lens."""
LONGEST_BLUR = 15.0
REACH = 8
"""Pixels that the longest blur reaches to either side."""


def degrade(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random exposure, gamma, shading, blur, haze and noise for (N, 1, H, W), rounded to 8 bits."""
    count = len(images)

    def uniform(low: float, high: float) -> Tensor:
        random = torch.rand(count, 1, 1, 1, generator=generator, device=images.device)
        return low + (high - low) * random

    images = images.clamp(1e-3, 1.0) ** torch.exp(uniform(-0.5, 0.5))
    images = (images - 0.5) * uniform(0.45, 1.3) + 0.5 + uniform(-0.2, 0.2)
    images = images * _shading(images, uniform)
    images = motion_blur(images, generator)
    contrast = torch.where(uniform(0, 1) < DULL, uniform(0.08, 0.4), 1.0)
    images = (images - 0.5) * contrast + 0.5 + (1 - contrast) * uniform(-0.3, 0.3)
    images = images * torch.where(uniform(0, 1) < 0.15, uniform(0.08, 0.4), 1.0)
    noise = torch.randn(images.shape, generator=generator, device=images.device)
    images = images + noise * uniform(0, 1) ** 3 * 0.06
    return (images.clamp(0, 1) * 255).round() / 255


def _shading(images: Tensor, uniform: Callable[[float, float], Tensor]) -> Tensor:
    """A smooth light fall-off across the image, (N, 1, H, W)."""
    height, width = images.shape[-2:]
    x = torch.linspace(-1, 1, width, device=images.device)[None, None, None, :]
    y = torch.linspace(-1, 1, height, device=images.device)[None, None, :, None]
    return 1 + uniform(-0.25, 0.25) * x + uniform(-0.25, 0.25) * y


def motion_blur(images: Tensor, generator: torch.Generator) -> Tensor:
    """Motion blur of up to 15 px in a random direction for a quarter of the images."""
    count = len(images)
    random = torch.rand(count, 3, generator=generator, device=images.device)
    length = torch.where(
        random[:, 0] < 0.25, random[:, 1] * LONGEST_BLUR, torch.zeros_like(random[:, 1])
    )
    blurred = torch.nonzero(length > 1)[:, 0]
    if not len(blurred):
        return images
    angle = random[blurred, 2] * math.pi
    steps = torch.arange(-REACH, REACH + 1, device=images.device).float()
    # Distance of each kernel tap from the segment of motion, converted to coverage.
    tx, ty = torch.meshgrid(steps, steps, indexing='xy')
    along = tx * angle.cos()[:, None, None] + ty * angle.sin()[:, None, None]
    across = ty * angle.cos()[:, None, None] - tx * angle.sin()[:, None, None]
    half = length[blurred][:, None, None] / 2
    kernel = (1 - across.abs()).clamp(min=0) * (half + 0.5 - along.abs()).clamp(0, 1)
    kernel = kernel / kernel.sum(dim=(1, 2), keepdim=True)
    padded = F.pad(images[blurred], (REACH,) * 4, mode='replicate').transpose(0, 1)
    result = F.conv2d(padded, kernel[:, None], groups=len(blurred)).transpose(0, 1)
    images = images.clone()
    images[blurred] = result
    return images
