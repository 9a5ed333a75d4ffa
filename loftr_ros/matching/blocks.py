"""How much is computed at once: limits of speed and memory, which need no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loftr_ros.matching.config import MatchingConfig

BLOCK_SCORES = 2**23
"""Scores that are looked at together: small enough for caches, large enough for full speed."""

KEPT_SCORES = 2**26
"""Up to this number all scores are kept (256 MB); of larger images they are computed twice."""

REFINED_TOGETHER = 2048
"""Matches whose windows stand at once: large images have tens of thousands of matches."""

CACHED_VALUES = 2**20
"""Values of such windows that the caches of a CPU hold beside what is made of them."""


def refined_together(config: MatchingConfig, device: str) -> int:
    """How many matches are refined at once, on a device of type ``cpu`` or another."""
    if device != 'cpu':
        return REFINED_TOGETHER
    return min(REFINED_TOGETHER, CACHED_VALUES // config.window_values)
