"""Compare runs of `loftr-ros evaluate` bag by bag, with confidence intervals over the bags."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import bootstrap

from loftr_ros.data.errors import DatasetError
from loftr_ros.evaluation.records.figures_of_merit import (
    FIGURES,
    FigureOfMerit,
    figures_of,
    mean_of,
)
from loftr_ros.evaluation.records.results import RUN, open_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from loftr_ros.evaluation.records.results import RunFolder

# Fewer values than that say nothing about how bags differ.
FEWEST_BAGS = 3
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over bags with its 95 % confidence interval.

    Attributes:
        mean: NaN where no bag has a value.
        low: Lower end; NaN where there are fewer than three bags.
        high: Upper end.

    """

    mean: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class RunGroup:
    """One side of a comparison: a run, or a folder of runs, as one set of bags.

    Attributes:
        name: Its name in tables.
        figures: Figures of each bag that has some, by the name of the bag.
        failed: Bags that failed or were interrupted, and why.
        settings: Parameters, weights, versions and machine, to show what differs.

    """

    name: str
    figures: Mapping[str, Mapping[str, float]]
    failed: Mapping[str, str]
    settings: Mapping[str, str]

    def values(self, figure: FigureOfMerit, bags: Sequence[str]) -> NDArray[np.float64]:
        """Return the figure of each bag, NaN where it is unknown."""
        found = (self.figures.get(bag, {}).get(figure.key, math.nan) for bag in bags)
        return np.array(list(found), np.float64)


@dataclass(frozen=True, kw_only=True)
class Change:
    """How one figure of a run differs from the first run's.

    Attributes:
        figure: Which figure.
        run: Name of the run.
        before: Mean of the first run over the bags that both know.
        after: Mean of this run over the same bags.
        difference: Mean of after minus before, bag by bag, with its interval.
        bags: Number of bags that both know.
        worst_bag: The bag that lost most; empty where none lost.
        regressed: Whether it is worse by more than the tolerance, and not by chance.

    """

    figure: FigureOfMerit
    run: str
    before: float
    after: float
    difference: Interval
    bags: int
    worst_bag: str
    regressed: bool

    @property
    def relative(self) -> float:
        """The difference as a share of the value before; infinite where that was zero."""
        if self.difference.mean == 0:
            return 0.0
        before = abs(self.before)
        return self.difference.mean / before if before else math.copysign(math.inf, self.after)


@dataclass(frozen=True)
class Comparison:
    """Runs side by side; the first one is what the others are compared with.

    Attributes:
        runs: The runs.
        tolerance: Share by which a figure may get worse.
        with_times: Whether a slower run counts as a regression.
        figures: What is compared.

    """

    runs: tuple[RunGroup, ...]
    tolerance: float = 0.05
    with_times: bool = False
    figures: tuple[FigureOfMerit, ...] = FIGURES

    def __post_init__(self) -> None:
        """Check that there is something to compare.

        Raises:
            ValueError: There is not.

        """
        if len(self.runs) < 2:
            raise ValueError('a comparison needs two runs or more')
        if not 0 <= self.tolerance < math.inf:
            raise ValueError(f'the tolerance is a share of 0 or more, not {self.tolerance}')
        for run in self.runs[1:]:
            if not self.bags_of(run):
                raise ValueError(
                    f'{self.runs[0].name} and {run.name} have no bag in common: '
                    'bags are matched by the names of their sequences'
                )

    @cached_property
    def bags(self) -> tuple[str, ...]:
        """The bags of the first run."""
        return tuple(self.runs[0].figures)

    def bags_of(self, run: RunGroup) -> tuple[str, ...]:
        """Return the bags that the first run and this one have."""
        return tuple(bag for bag in self.bags if bag in run.figures or bag in run.failed)

    def mean(self, run: RunGroup, figure: FigureOfMerit) -> Interval:
        """Return a run's mean of a figure over the bags of the first run."""
        return interval_of(run.values(figure, self.bags))

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """How each figure of each further run differs from the first run's."""
        return tuple(self._change(run, figure) for run in self.runs[1:] for figure in self.figures)

    @cached_property
    def regressions(self) -> tuple[str, ...]:
        """What is worse than in the first run, in words; empty when nothing is."""
        found = [_describe(change) for change in self.changes if change.regressed]
        return (*self._lost_bags(), *self._lost_figures(), *found)

    def _change(self, run: RunGroup, figure: FigureOfMerit) -> Change:
        before, after = self.runs[0].values(figure, self.bags), run.values(figure, self.bags)
        known = np.isfinite(before) & np.isfinite(after)
        difference = interval_of((after - before)[known])
        losses = np.where(known, _loss(figure, after - before), -np.inf)
        worst = int(losses.argmax()) if known.any() else -1
        change = Change(
            figure=figure,
            run=run.name,
            before=mean_of(before[known].tolist()),
            after=mean_of(after[known].tolist()),
            difference=difference,
            bags=int(known.sum()),
            worst_bag=self.bags[worst] if worst >= 0 and losses[worst] > 0 else '',
            regressed=False,
        )
        return replace(change, regressed=self._is_worse(change))

    def _is_worse(self, change: Change) -> bool:
        if change.figure.is_time and not self.with_times:
            return False
        if not _loss(change.figure, change.relative) > self.tolerance:
            return False
        ends = change.difference.low, change.difference.high
        # Without an interval, on one or two bags, the tolerance alone decides.
        return math.isnan(ends[0]) or min(_loss(change.figure, end) for end in ends) > 0

    def _lost_bags(self) -> list[str]:
        found = []
        for run in self.runs[1:]:
            for bag in self.bags:
                if bag in run.failed and bag not in self.runs[0].failed:
                    found.append(f'{run.name}: {bag}: {run.failed[bag]}')
                elif bag not in run.figures and bag not in run.failed:
                    found.append(f'{run.name}: {bag} was not evaluated')
        return found

    def _lost_figures(self) -> list[str]:
        found = []
        for run in self.runs[1:]:
            for figure in self.figures:
                if figure.is_time:
                    continue
                before, after = (r.values(figure, self.bags) for r in (self.runs[0], run))
                lost = np.flatnonzero(np.isfinite(before) & ~np.isfinite(after)).tolist()
                bags = [self.bags[i] for i in lost if self.bags[i] in run.figures]
                if bags:
                    found.append(f'{run.name}: {figure.label} is no longer known of {bags[0]}')
                    found[-1] += f' and {len(bags) - 1} more' if len(bags) > 1 else ''
        return found


def interval_of(values: NDArray[np.float64]) -> Interval:
    """Return the mean with its bootstrap interval (BCa, Efron 1987), by scipy; NaN is left out."""
    known = values[np.isfinite(values)]
    if not len(known):
        return Interval(math.nan)
    mean = float(known.mean())
    if len(known) < FEWEST_BAGS:
        return Interval(mean)
    if np.ptp(known) <= 1e-12 * max(abs(mean), 1e-12):  # BCa divides by the spread
        return Interval(mean, mean, mean)
    with warnings.catch_warnings():
        # Where resampled means all lie on one side, scipy warns and returns NaN.
        warnings.simplefilter('ignore')
        for method in ('BCa', 'percentile'):
            found = bootstrap(
                (known,),
                np.mean,
                confidence_level=CONFIDENCE,
                method=method,
                rng=np.random.default_rng(0),
            ).confidence_interval
            if math.isfinite(found.low) and math.isfinite(found.high):
                break
    return Interval(mean, float(found.low), float(found.high))


def open_groups(paths: Sequence[Path]) -> tuple[RunGroup, ...]:
    """Open runs, or folders of runs, under names that differ.

    Raises:
        DatasetError: If there is no run in a folder, or its files are damaged.

    """
    names = [path.resolve().name for path in paths]
    counts = Counter(names)
    labels = [
        str(path) if counts[name] > 1 else name for path, name in zip(paths, names, strict=True)
    ]
    return tuple(open_group(path, label) for path, label in zip(paths, labels, strict=True))


def open_group(path: Path, name: str) -> RunGroup:
    """Open a run, or all runs in a folder, as one set of bags.

    Raises:
        DatasetError: If there is none, or its files are damaged.

    """
    files = [path / RUN] if (path / RUN).is_file() else sorted(path.glob(f'*/{RUN}'))
    if not files:
        remedy = 'Choose the folder that `loftr-ros evaluate -o` wrote, or one of such folders.'
        raise DatasetError(path, 'there is no run of `loftr-ros evaluate`', remedy)
    runs = [open_run(file.parent) for file in files]
    taken = Counter(sequence.name for run in runs for sequence in run.sequences)
    figures, failed = {}, {}
    for run in runs:
        for sequence in run.sequences:
            unique = taken[sequence.name] == 1
            bag = sequence.name if unique else f'{run.path.name}/{sequence.name}'
            if sequence.info.status == 'complete':
                figures[bag] = figures_of(sequence)
            else:
                failed[bag] = sequence.info.error or sequence.info.status
    return RunGroup(name, figures, failed, settings_of(runs[0]))


def settings_of(run: RunFolder) -> dict[str, str]:
    """Return all that was set or may differ between machines, by name."""
    info = run.info
    nested: dict[str, dict[str, Any]] = {
        'weights': {'name': info.weights, 'sha256': info.weights_sha256},
        'compute': {
            'device': info.device,
            'precision': info.precision,
            'threads': info.threads,
        },
        'parameter': info.parameters,
        'version': info.versions,
        'machine': info.machine,
    }
    return {f'{kind}: {k}': str(v) for kind, values in nested.items() for k, v in values.items()}


def different_settings(runs: Sequence[RunGroup]) -> list[tuple[str, ...]]:
    """Return name and value of each run for all settings that are not the same in all runs."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    rows = [(name, *(run.settings.get(name, '-') for run in runs)) for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return all figures of a comparison as plain values."""
    return {
        'runs': [
            {
                'name': run.name,
                'bags': {bag: dict(values) for bag, values in run.figures.items()},
                'failed': dict(run.failed),
                'means': {f.key: vars(comparison.mean(run, f)) for f in comparison.figures},
            }
            for run in comparison.runs
        ],
        'changes': [
            {**vars(change), 'figure': change.figure.key, 'relative': change.relative}
            for change in comparison.changes
        ],
        'regressions': list(comparison.regressions),
        'tolerance': comparison.tolerance,
    }


def _loss(figure: FigureOfMerit, difference: Any) -> Any:  # noqa: ANN401 - a number or an array
    """Change the sign of a difference so that more of it is worse."""
    return -difference if figure.higher_is_better else difference


def _describe(change: Change) -> str:
    text = f'{change.run}: {change.figure.label} {change.before:.3g} -> {change.after:.3g}'
    text += f' ({100 * change.relative:+.0f} %) on {change.bags} bag'
    text += 's' if change.bags != 1 else ''
    ends = change.difference
    if not math.isnan(ends.low):
        text += f', difference {ends.low:+.3g} to {ends.high:+.3g} (95 %)'
    return text + (f', most on {change.worst_bag}' if change.worst_bag else '')
