"""The command `loftr-ros evaluate-conditions`: matchers side by side under hard conditions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from loftr_ros.console import counting_bar, new_console
from loftr_ros.evaluation.matchers.conditions import CONDITIONS, Condition
from loftr_ros.evaluation.matchers.matcher_command import MatcherCommand
from loftr_ros.evaluation.matchers.pair_evaluation import PairEvaluator, SetSummary
from loftr_ros.evaluation.matchers.pair_report import to_json, write_picture
from loftr_ros.evaluation.matchers.pairs import PoseSet, find_pair_sets
from loftr_ros.evaluation.records.metrics import AUC_THRESHOLDS
from loftr_ros.visualization.bars import grouped_bars
from loftr_ros.visualization.trajectories import save_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from loftr_ros.evaluation.matchers.peers import PairMatcher

Summaries = dict[str, list[SetSummary]]


@dataclass(frozen=True, kw_only=True)
class ConditionCommand(MatcherCommand):
    """What to evaluate under which conditions, and where to put it.

    Attributes:
        conditions: Names, of `CONDITIONS`.

    """

    max_pairs: int = 20
    conditions: tuple[str, ...] = tuple(CONDITIONS)

    def run(self, console: Console | None = None) -> Summaries:
        """Evaluate, print the table, write the files; return the summaries of each condition.

        Raises:
            DatasetError: If a dataset is missing or malformed.
            ValueError: If a condition or matcher is unknown, or no set fits.

        """
        console = console or new_console()
        sets = self._sets()
        matchers, settings = self.load()
        summaries = self._evaluate(sets, matchers, console)
        console.print(condition_table(summaries))
        self.save(
            console,
            {name: to_json(of_one, settings) for name, of_one in summaries.items()},
            lambda out: self._draw(sets, matchers, summaries, out),
        )
        return summaries

    def _sets(self) -> dict[Condition, list[PoseSet]]:
        """Find which sets each condition can be applied to."""
        unknown = [name for name in self.conditions if name not in CONDITIONS]
        if unknown:
            raise ValueError(f'unknown condition {unknown[0]!r}; there are {", ".join(CONDITIONS)}')
        found = find_pair_sets(self.data, self.sets, self.limit)
        posed = [pair_set for pair_set in found if isinstance(pair_set, PoseSet)]
        chosen = [CONDITIONS[name] for name in self.conditions]
        sets = {c: [s for s in posed if not c.needs_depth or _has_depth(s)] for c in chosen}
        for condition, fitting in sets.items():
            if not fitting:
                what = 'depth and poses' if condition.needs_depth else 'poses'
                raise ValueError(f'{condition.name}: no set in {self.data} has {what}')
        return sets

    def _evaluate(
        self,
        sets: Mapping[Condition, Sequence[PoseSet]],
        matchers: Mapping[str, PairMatcher[Any]],
        console: Console,
    ) -> Summaries:
        total = sum(len(pair_set) for fitting in sets.values() for pair_set in fitting)
        summaries: Summaries = {condition.name: [] for condition in sets}
        with counting_bar(console) as progress:
            task = progress.add_task('', total=total * len(matchers))
            for condition, fitting in sets.items():
                for pair_set in fitting:
                    for name, matcher in matchers.items():
                        label = f'{condition.name}: {pair_set.name}: {name}'
                        progress.update(task, description=label)
                        evaluator = PairEvaluator(name, matcher, self.options, condition)
                        summary = evaluator.evaluate(pair_set, lambda: progress.advance(task))
                        summaries[condition.name].append(summary)
                if not console.is_terminal:
                    console.print(f'{condition.name}: {len(fitting)} sets')
        return summaries

    def _draw(
        self,
        sets: Mapping[Condition, Sequence[PoseSet]],
        matchers: Mapping[str, PairMatcher[Any]],
        summaries: Summaries,
        out: Path,
    ) -> None:
        """Draw the middle pair of each set, never a chosen one, and the bars of all figures."""
        for condition, fitting in sets.items():
            for pair_set in fitting:
                for name, matcher in matchers.items():
                    evaluator = PairEvaluator(name, matcher, self.options, condition)
                    pair = evaluator.match(pair_set, len(pair_set) // 2)
                    path = out / pair_set.name / f'{condition.name}_{name}.png'
                    write_picture(path, pair, f'{condition.name}: {name}')
        middle = AUC_THRESHOLDS[1]
        bars = {
            name: {c: 100 * mean_figures(of_one)[name][1] for c, of_one in summaries.items()}
            for name in matchers
        }
        figure = grouped_bars(bars, label=f'AUC of the pose error at {middle:g} degrees [%]')
        save_figure(figure, out / 'conditions.png')


def mean_figures(summaries: Sequence[SetSummary]) -> dict[str, list[float]]:
    """Average AUC, precision and number of matches of each matcher over its sets."""
    rows: dict[str, list[list[float]]] = {}
    for summary in summaries:
        figures = [*summary.auc, summary.mean('precision'), summary.mean('matches')]
        rows.setdefault(summary.matcher, []).append(figures)
    return {matcher: _mean_of_known(np.array(values)) for matcher, values in rows.items()}


def condition_table(summaries: Summaries) -> Table:
    """Lay out the figures per condition and matcher, each the mean over the sets."""
    table = Table(title='Relative pose under hard conditions, mean over the sets')
    table.add_column('condition')
    table.add_column('matcher')
    auc = [f'AUC@{threshold:g}°' for threshold in AUC_THRESHOLDS]
    for column in (*auc, 'precision', 'matches', 'sets'):
        table.add_column(column, justify='right')
    for condition, of_one in summaries.items():
        table.add_section()
        figures = mean_figures(of_one)
        for row, (matcher, (*shares, matches)) in enumerate(figures.items()):
            cells = [f'{100 * share:.1f}' if np.isfinite(share) else '-' for share in shares]
            count = sum(summary.matcher == matcher for summary in of_one)
            first = '' if row else condition
            table.add_row(first, matcher, *cells, f'{matches:.0f}', str(count))
    return table


def _mean_of_known(rows: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    """Average the columns over the rows in which they are known; NaN where none is."""
    known = np.isfinite(rows)
    with np.errstate(invalid='ignore'):
        means: list[float] = (np.where(known, rows, 0).sum(axis=0) / known.sum(axis=0)).tolist()
    return means


def _has_depth(pair_set: PoseSet) -> bool:
    entries = pair_set.sequence.entries
    used = {index for pair in pair_set.pairs for index in (pair.reference, pair.query)}
    return all(entries[index].depth_path is not None for index in used)
