"""The command `loftr-ros evaluate-pairs`: matchers side by side on pairs with known poses."""

from __future__ import annotations

import dataclasses
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from loftr_ros import __version__
from loftr_ros.evaluation.pair_evaluation import EvaluationOptions, PairEvaluator, SetSummary
from loftr_ros.evaluation.pair_report import (
    best_and_worst,
    summary_table,
    to_json,
    write_json,
    write_picture,
)
from loftr_ros.evaluation.pairs import PairSet, PoseSet, find_pair_sets
from loftr_ros.evaluation.peers import Orb, PairMatcher, RootSift
from loftr_ros.visualization.trajectories import recall_figure, save_figure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PEERS: dict[str, Callable[[], PairMatcher[Any]]] = {'rootsift': RootSift, 'orb': Orb}


@dataclass(frozen=True)
class PairCommand:
    """What to evaluate, and where to put it.

    Attributes:
        data: Folder of one dataset or of several.
        json: File for all figures; None writes none.
        out: Folder for pictures; None draws none.
        sets: Names of sets, with wildcards; empty for all.
        weights: Names or files of LoFTR weights.
        peers: Classical matchers, of `PEERS`.
        max_pairs: Greatest number of pairs of a set; 0 for all.
        device: Device of LoFTR.
        options: What all matchers have in common.

    """

    data: Path
    json: Path | None = None
    out: Path | None = None
    sets: tuple[str, ...] = ()
    weights: tuple[str, ...] = ('lite',)
    peers: tuple[str, ...] = tuple(PEERS)
    max_pairs: int = 200
    device: str = 'auto'
    options: EvaluationOptions = field(default_factory=EvaluationOptions)

    def run(self, console: Console | None = None) -> list[SetSummary]:
        """Evaluate, print the table, write the files.

        Raises:
            DatasetError: If a dataset is missing or malformed.
            ValueError: If a matcher is unknown or cannot be loaded.

        """
        if self.max_pairs < 0:
            raise ValueError(f'max_pairs is 0 (for all) or more, not {self.max_pairs}')
        console = console or new_console()
        sets = find_pair_sets(self.data, self.sets, self.max_pairs or None)
        matchers, settings = load_matchers(
            self.weights, self.peers, self.device, self.options.longer_side
        )
        summaries = self._evaluate(sets, matchers, console)
        console.print(summary_table(summaries))
        if self.json is not None:
            settings = settings_of(self.options, self.max_pairs) | {'weights': settings}
            write_json(self.json, to_json(summaries, settings))
            console.print(f'figures: {self.json}')
        if self.out is not None:
            self._draw(sets, matchers, summaries, self.out)
            console.print(f'pictures: {self.out}')
        return summaries

    def _evaluate(
        self,
        sets: Sequence[PairSet],
        matchers: Mapping[str, PairMatcher[Any]],
        console: Console,
    ) -> list[SetSummary]:
        columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
        summaries = []
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task('', total=sum(map(len, sets)) * len(matchers))
            for pair_set in sets:
                for name, matcher in matchers.items():
                    progress.update(task, description=f'{pair_set.name}: {name}')
                    evaluator = PairEvaluator(name, matcher, self.options)
                    summaries.append(evaluator.evaluate(pair_set, lambda: progress.advance(task)))
                    if not console.is_terminal:
                        console.print(f'{pair_set.name}: {name}: {len(pair_set)} pairs')
        return summaries

    def _draw(
        self,
        sets: Sequence[PairSet],
        matchers: Mapping[str, PairMatcher[Any]],
        summaries: Sequence[SetSummary],
        out: Path,
    ) -> None:
        """Draw each matcher's best and worst pair of each set, and the recall of all matchers."""
        for pair_set in sets:
            of_set = [summary for summary in summaries if summary.set_name == pair_set.name]
            for summary in of_set:
                evaluator = PairEvaluator(summary.matcher, matchers[summary.matcher], self.options)
                for kind, index in zip(('best', 'worst'), best_and_worst(summary), strict=True):
                    pair = evaluator.match(pair_set, index)
                    path = out / pair_set.name / f'{summary.matcher}_{kind}.png'
                    write_picture(path, pair, summary.matcher)
            if isinstance(pair_set, PoseSet):
                errors = {s.matcher: [r.pose_error for r in s.results] for s in of_set}
                figure = recall_figure(errors, title=pair_set.name)
                save_figure(figure, out / pair_set.name / 'recall.png')


def load_matchers(
    weights: Sequence[str], peers: Sequence[str], device: str, longer_side: int
) -> tuple[dict[str, PairMatcher[Any]], dict[str, Any]]:
    """Load all matchers; return them and what identifies the weights, by name.

    Raises:
        ValueError: If a matcher is unknown or cannot be loaded, or there is none.

    """
    unknown = [name for name in peers if name not in PEERS]
    if unknown:
        raise ValueError(f'unknown peer {unknown[0]!r}; there are {", ".join(PEERS)}')
    matchers: dict[str, PairMatcher[Any]] = {name: PEERS[name]() for name in peers}
    settings: dict[str, Any] = {}
    for source in weights:
        from loftr_ros.matching.matcher import Matcher  # torch is slow to load
        from loftr_ros.matching.weights import training_pairs

        matcher = Matcher(source, device=device, longer_side=longer_side)
        name = source if matcher.weights_name == source else _stem(source, matchers)
        matchers[name] = matcher
        settings[name] = {
            'hash': matcher.weights_hash,
            'training_pairs': training_pairs(source),
            'device': matcher.device,
            'precision': matcher.precision,
            'confidence_threshold': matcher.confidence_threshold,
        }
    if not matchers:
        raise ValueError('there is nothing to evaluate: give weights or peers')
    return matchers, settings


def settings_of(options: EvaluationOptions, max_pairs: int) -> dict[str, Any]:
    """Return what the figures of a run depend on, for its JSON file."""
    return {
        **dataclasses.asdict(options),
        'max_pairs': max_pairs,
        'estimator': 'USAC_MAGSAC',
        'loftr_ros': __version__,
        'opencv': cv2.__version__,
        'opencv_threads': cv2.getNumThreads(),
        'cpus': os.cpu_count(),
        'machine': platform.machine(),
    }


def new_console() -> Console:
    """Return the console of standard output; files and pipes get lines wide enough for tables."""
    console = Console()
    return console if console.is_terminal else Console(width=140)


def _stem(weights: str, taken: Mapping[str, Any]) -> str:
    """Name a file of weights by its stem, or by its path where that name is taken."""
    stem = Path(weights).stem
    return weights if stem in taken else stem
