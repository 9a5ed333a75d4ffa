"""What the commands that put matchers side by side have in common."""

from __future__ import annotations

import dataclasses
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from loftr_ros.evaluation.matchers.pair_evaluation import EvaluationOptions
from loftr_ros.evaluation.matchers.pair_report import write_json
from loftr_ros.evaluation.matchers.peers import Orb, PairMatcher, RootSift
from loftr_ros.version import package_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import Console

CLASSICAL: dict[str, Callable[[], PairMatcher[Any]]] = {'rootsift': RootSift, 'orb': Orb}
LEARNED = 'xfeat', 'lighterglue', 'aliked-lightglue'
"""Peers of requirements/peers.txt."""


@dataclass(frozen=True, kw_only=True)
class MatcherCommand:
    """Which matchers to evaluate on which pairs, and where to put what comes out.

    Attributes:
        data: Folder of one dataset or of several.
        json: File for all figures; None writes none.
        out: Folder for pictures; None draws none.
        sets: Names of sets, with wildcards; empty for all that fit.
        weights: Names or files of LoFTR weights.
        peers: Matchers to compare with, of `CLASSICAL` and `LEARNED`.
        max_pairs: Greatest number of pairs of a set; 0 for all.
        device: Device of LoFTR and of learned peers.
        max_sigma: Of LoFTR's matches, px of the resized image; None for all.
        options: What all matchers have in common.

    """

    data: Path
    json: Path | None = None
    out: Path | None = None
    sets: tuple[str, ...] = ()
    weights: tuple[str, ...] = ('lite',)
    peers: tuple[str, ...] = tuple(CLASSICAL)
    max_pairs: int = 200
    device: str = 'auto'
    max_sigma: float | None = None
    options: EvaluationOptions = field(default_factory=EvaluationOptions)

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One makes no sense.

        """
        if self.max_pairs < 0:
            raise ValueError(f'max_pairs is 0 (for all) or more, not {self.max_pairs}')

    @property
    def limit(self) -> int | None:
        """Greatest number of pairs of a set; None for all."""
        return self.max_pairs or None

    def load(self) -> tuple[dict[str, PairMatcher[Any]], dict[str, Any]]:
        """Load all matchers; return them by name, and what their figures depend on.

        Raises:
            ValueError: If a matcher is unknown or cannot be loaded, or there is none.

        """
        side = self.options.longer_side
        matchers, weights = load_matchers(
            self.weights, self.peers, self.device, side, self.max_sigma
        )
        return matchers, settings_of(self.options, self.max_pairs) | {'weights': weights}

    def save(self, console: Console, content: Any, draw: Callable[[Path], None]) -> None:  # noqa: ANN401 - whatever JSON holds
        """Write the files that are asked for, and say where."""
        if self.json is not None:
            write_json(self.json, content)
            console.print(f'figures: {self.json}')
        if self.out is not None:
            draw(self.out)
            console.print(f'pictures: {self.out}')


def load_matchers(
    weights: Sequence[str],
    peers: Sequence[str],
    device: str,
    longer_side: int,
    max_sigma: float | None = None,
) -> tuple[dict[str, PairMatcher[Any]], dict[str, Any]]:
    """Load all matchers; return them and what identifies the weights, by name.

    Raises:
        ValueError: If a matcher is unknown or cannot be loaded, or there is none.

    """
    matchers: dict[str, PairMatcher[Any]] = {name: _peer(name, device) for name in peers}
    settings: dict[str, Any] = {}
    for source in weights:
        from loftr_ros.matching.matcher import Matcher  # torch is slow to load
        from loftr_ros.matching.weights import training_pairs

        matcher = Matcher(source, device=device, longer_side=longer_side, max_sigma=max_sigma)
        name = source if matcher.weights_name == source else _stem(source, matchers)
        matchers[name] = matcher
        settings[name] = {
            'hash': matcher.weights_hash,
            'training_pairs': training_pairs(source),
            'device': matcher.device,
            'precision': matcher.precision,
            'confidence_threshold': matcher.confidence_threshold,
            'max_sigma': matcher.max_sigma,
        }
    if not matchers:
        raise ValueError('there is nothing to evaluate: give weights or peers')
    return matchers, settings


def _peer(name: str, device: str) -> PairMatcher[Any]:
    if name in CLASSICAL:
        return CLASSICAL[name]()
    if name not in LEARNED:
        raise ValueError(f'unknown peer {name!r}; there are {", ".join([*CLASSICAL, *LEARNED])}')
    from loftr_ros.evaluation.matchers.learned_peers import load_learned  # torch is slow to load

    return load_learned(name, device)


def settings_of(options: EvaluationOptions, max_pairs: int) -> dict[str, Any]:
    """Return what the figures of a run depend on, for its JSON file."""
    return {
        **dataclasses.asdict(options),
        'max_pairs': max_pairs,
        'estimator': 'USAC_MAGSAC',
        'loftr_ros': package_version(),
        'opencv': cv2.__version__,
        'opencv_threads': cv2.getNumThreads(),
        'cpus': os.cpu_count(),
        'machine': platform.machine(),
    }


def _stem(weights: str, taken: Mapping[str, Any]) -> str:
    """Name a file of weights by its stem, or by its path where that name is taken."""
    stem = Path(weights).stem
    return weights if stem in taken else stem
