"""The command `loftr-ros evaluate-pairs`: matchers side by side on pairs with known poses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loftr_ros.console import counting_bar, new_console
from loftr_ros.evaluation.matchers.matcher_command import MatcherCommand
from loftr_ros.evaluation.matchers.pair_evaluation import PairEvaluator, SetSummary
from loftr_ros.evaluation.matchers.pair_report import (
    best_and_worst,
    summary_table,
    to_json,
    write_picture,
)
from loftr_ros.evaluation.matchers.pairs import PairSet, PoseSet, find_pair_sets
from loftr_ros.evaluation.matchers.peers import PairMatcher
from loftr_ros.visualization.trajectories import recall_figure, save_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class PairCommand(MatcherCommand):
    """What to evaluate, and where to put it."""

    def run(self, console: Console | None = None) -> list[SetSummary]:
        """Evaluate, print the table, write the files.

        Raises:
            DatasetError: If a dataset is missing or malformed.
            ValueError: If a matcher is unknown or cannot be loaded.

        """
        console = console or new_console()
        sets = find_pair_sets(self.data, self.sets, self.limit)
        matchers, settings = self.load()
        summaries = self._evaluate(sets, matchers, console)
        console.print(summary_table(summaries))
        self.save(
            console,
            to_json(summaries, settings),
            lambda out: self._draw(sets, matchers, summaries, out),
        )
        return summaries

    def _evaluate(
        self,
        sets: Sequence[PairSet],
        matchers: Mapping[str, PairMatcher[Any]],
        console: Console,
    ) -> list[SetSummary]:
        summaries = []
        with counting_bar(console) as progress:
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
