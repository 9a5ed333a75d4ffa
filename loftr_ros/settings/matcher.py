"""The matcher that the parameters ask for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from loftr_ros.frontend.session import SessionMatcher

if TYPE_CHECKING:
    from loftr_ros.matching.limits import NetworkSize
    from loftr_ros.settings.parameters import NodeParameters


class NodeMatcher(SessionMatcher[Any], Protocol):
    """What the node needs of a matcher besides the session; `loftr_ros.matching` has it."""

    max_matches: int | None
    longer_side: int | None

    @property
    def weights_name(self) -> str:
        """Name of the weights."""

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the weights' file."""

    @property
    def device(self) -> str:
        """Where the matcher runs."""

    @property
    def confidence_threshold(self) -> float:
        """Smallest confidence of a match."""

    @confidence_threshold.setter
    def confidence_threshold(self, value: float | None) -> None: ...

    def network_size(self, height: int, width: int) -> NetworkSize:
        """Return the size at which images of a size, px, are matched, and why."""

    def warm_up(self, height: int, width: int) -> float:
        """Match once, for images of this size, px; returns the time that it took, s."""


def load_matcher(parameters: NodeParameters) -> NodeMatcher:
    """Load LoFTR as the parameters say.

    Raises:
        ValueError: Weights, device or precision cannot be had.
        OSError: The file of the weights cannot be read.
    """
    from loftr_ros.matching.matcher import Matcher as LoFTRMatcher  # torch takes seconds

    group = parameters.matcher
    exported = Path(group.weights).expanduser().is_dir()
    matcher: NodeMatcher = LoFTRMatcher(
        weights=group.weights,
        configuration=group.configuration or None,
        device=group.device,
        precision=group.precision,
        longer_side=group.longer_side or None,
        try_views=group.try_views,
        confidence_threshold=group.confidence_threshold or None,
        max_matches=group.max_matches or None,
        backend='onnxruntime' if exported else 'torch',
        providers=group.providers,
    )
    return matcher
