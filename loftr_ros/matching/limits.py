"""How large the network sees an image: limits of length, area and memory, and which one counts."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loftr_ros.matching.blocks import BLOCK_SCORES, KEPT_SCORES, refined_together
from loftr_ros.matching.errors import ImageError

if TYPE_CHECKING:
    from loftr_ros.matching.config import MatchingConfig

LIBRARY_BYTES = 40e6
"""What the libraries take with the first image: code, kernels, threads."""

IMAGE_BYTES = 12
"""Bytes of each pixel of the original image while it becomes grey and smaller."""

LIVE_MAPS = 4.4
"""Live tensors of the backbone with the features of the other image, in units of all its maps."""

HEAP_MAPS, HEAP_BYTES = 2.6, 620e6
"""Holes of the heap in the same units; larger blocks are given back, see `allocator`."""

FINE_TENSORS = 20
"""Live tensors of the fine level, in units of the windows of one image."""


@dataclass(frozen=True)
class NetworkSize:
    """Size at which an image is matched, px.

    Attributes:
        image_size: Height and width of the image.
        size: Height and width at which it is matched.
        limit: The option that makes it smaller, or none.
        value: Of that option.
        needed: Memory that a pair of such images would take without the limit, MB.
    """

    image_size: tuple[int, int]
    size: tuple[int, int]
    limit: str = ''
    value: int = 0
    needed: float = 0.0

    def __str__(self) -> str:
        """Say what is done, why, and how to change it."""
        (height, width), (rows, columns) = self.image_size, self.size
        done = f'images of {width}x{height} px are matched at {columns}x{rows} px'
        if not self.limit:
            return done
        unit = {'max_memory': 'MB'}.get(self.limit, 'px')
        return (
            f'{done}, as {self.limit} is {self.value} {unit}; at their own size a pair takes about '
            f'{self.needed:.0f} MB. Raise {self.limit} to match them larger'
        )


@dataclass(frozen=True)
class SizeLimits:
    """The largest image that the network sees; the tightest limit counts, None is no limit.

    Attributes:
        longer_side: Greatest width or height, px.
        max_pixels: Greatest number of pixels.
        max_memory: Greatest memory for a pair of images of the same size, MB, besides what the
            process takes without images; see :func:`pair_megabytes`.

    Raises:
        ValueError: A limit leaves no image.
    """

    longer_side: int | None = None
    max_pixels: int | None = None
    max_memory: int | None = None

    def __post_init__(self) -> None:
        """Check each limit by itself."""
        for name, least in (('longer_side', 16), ('max_pixels', 16 * 16), ('max_memory', 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f'{name} must be at least {least}, not {value}')

    def fit(self, image_size: tuple[int, int], config: MatchingConfig) -> NetworkSize:
        """Size at which an image (height, width) is matched; images are never enlarged.

        Raises:
            ImageError: However small it is matched, it takes more than the memory.
        """
        costs: dict[str, Callable[[tuple[int, int]], float]] = {
            'longer_side': max,
            'max_pixels': math.prod,
            'max_memory': lambda size: pair_megabytes(image_size, size, config),
        }
        sides = {
            name: _greatest_side(image_size, cost, getattr(self, name))
            for name, cost in costs.items()
            if getattr(self, name) is not None
        }
        limit = min(sides, key=lambda name: sides[name], default='')
        if not limit or sides[limit] == max(image_size):
            return NetworkSize(image_size, image_size)
        if not sides[limit]:
            raise ImageError(
                f'an image of {image_size[1]}x{image_size[0]} px takes '
                f'{pair_megabytes(image_size, (1, 1), config):.0f} MB however small it is matched, '
                f'and max_memory is {self.max_memory} MB'
            )
        needed = pair_megabytes(image_size, image_size, config)
        size = _scaled(image_size, sides[limit])
        return NetworkSize(image_size, size, limit, getattr(self, limit), needed)


def pair_megabytes(
    image_size: tuple[int, int], size: tuple[int, int], config: MatchingConfig
) -> float:
    """Estimate the greatest memory for a pair of images on a CPU in float32, MB of 10**6 bytes.

    The backbone holds several of its maps at once, one image after the other; then come the scores
    of all pairs of cells, as far as they are kept, or the windows of the fine level. The factors
    are measured (`benchmarks/memory.py` puts the estimate beside what is taken).

    Args:
        image_size: Height and width of each image, px.
        size: Height and width at which they are matched, px.
        config: Of the network.
    """
    pixels = math.prod(size)
    maps = 4 * pixels * config.maps_per_pixel
    cells = math.prod(math.ceil(side / config.stride) for side in size)
    scores = 4.0 * min(cells**2, KEPT_SCORES) + 12.0 * min(cells**2, BLOCK_SCORES)
    matches = min(cells, refined_together(config, 'cpu'))
    windows = 4.0 * matches * config.window_values
    holes = min(HEAP_MAPS * maps, HEAP_BYTES)
    most = max(holes, scores, FINE_TENSORS * windows)
    return (LIBRARY_BYTES + IMAGE_BYTES * math.prod(image_size) + LIVE_MAPS * maps + most) / 1e6


def _greatest_side(
    image_size: tuple[int, int], cost: Callable[[tuple[int, int]], float], limit: int
) -> int:
    """Greatest longer side, px, up to the image's at which the cost is within the limit, or 0."""
    sides = range(1, max(image_size) + 1)
    return bisect_right(sides, limit, key=lambda side: math.ceil(cost(_scaled(image_size, side))))


def _scaled(image_size: tuple[int, int], side: int) -> tuple[int, int]:
    ratio = side / max(image_size)
    return max(1, round(image_size[0] * ratio)), max(1, round(image_size[1] * ratio))
