"""Two runs are compared bag by bag; what got worse is named, and the exit code says so."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from browser import launch, look
from hypothesis import given
from hypothesis import strategies as st
from synthetic_runs import write_run

from loftr_ros.commands.main import main
from loftr_ros.evaluation.records.figures_of_merit import FIGURES
from loftr_ros.evaluation.reports.compare import Comparison, RunGroup, interval_of, open_groups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver import Chrome

BAGS = ('hall', 'yard', 'dock', 'attic', 'cellar')
REGRESSED = 3


def group(name: str, bags: dict[str, float], figure: str = 'rotation') -> RunGroup:
    values = {
        bag: {each.key: (value if each.key == figure else math.nan) for each in FIGURES}
        for bag, value in bags.items()
    }
    return RunGroup(name, values, {}, {})


def compared(
    before: list[float], after: list[float], figure: str = 'rotation', tolerance: float = 0.05
) -> Comparison:
    names = [f'bag{number}' for number in range(len(before))]
    first = group('old', dict(zip(names, before, strict=True)), figure)
    second = group('new', dict(zip(names, after, strict=True)), figure)
    return Comparison((first, second), tolerance)


@pytest.fixture(scope='module')
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('runs')
    sizes = {bag: 1 + 0.1 * number for number, bag in enumerate(BAGS)}
    write_run(folder / 'old', sizes)
    write_run(folder / 'same', sizes)
    write_run(
        folder / 'worse',
        {bag: 1.6 * size for bag, size in sizes.items()},
        parameters={'longer_side': 320, 'confidence_threshold': 0.2},
    )
    return folder


@pytest.fixture(scope='module')
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    yield from launch(tmp_path_factory.mktemp('profile'))


def test_equal_runs_are_no_regression(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['compare', str(runs / 'old'), str(runs / 'same')]) == 0
    out = capsys.readouterr().out
    assert 'No regression of same against old (tolerance 5 %).' in out
    assert 'rotation error [deg]' in out


def test_a_worse_run_is_named_with_figure_and_bag_and_exits_with_3(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, figures = tmp_path / 'compare.html', tmp_path / 'compare.json'
    files = ['-o', str(page), '--json', str(figures)]

    assert main(['compare', str(runs / 'old'), str(runs / 'worse'), *files]) == REGRESSED
    out = capsys.readouterr().out
    assert 'Regression: worse: rotation error [deg]' in out
    assert '(+60 %) on 5 bags' in out
    assert any(bag in out.split('most on')[1] for bag in BAGS)
    written = json.loads(figures.read_text())
    assert len(written['runs'][0]['bags']) == len(BAGS)
    assert len(written['regressions']) == out.count('Regression: ')
    assert 'parameter: longer_side' in page.read_text(encoding='utf-8')


def test_a_browser_shows_the_comparison(chrome: Chrome, runs: Path, tmp_path: Path) -> None:
    page = tmp_path / 'compare.html'
    names = ('old', 'same', 'worse')
    main(['compare', *(str(runs / name) for name in names), '-o', str(page)])
    view = look(chrome, page, 390)

    assert view.messages == []
    assert view.width <= 390
    assert len(view.plots) == len(FIGURES)
    assert all(plot['marks'] >= 3 * len(BAGS) for plot in view.plots)


def test_the_other_way_round_it_is_an_improvement(runs: Path) -> None:
    comparison = Comparison(open_groups([runs / 'worse', runs / 'old']))
    assert comparison.regressions == ()


def test_a_folder_of_runs_counts_as_one_set_of_bags(tmp_path: Path) -> None:
    for number, bag in enumerate(BAGS):
        write_run(tmp_path / 'many' / bag, {bag: 1.0}, seed=number)
        write_run(tmp_path / 'more' / bag, {bag: 1.0}, seed=number)
    many, more = open_groups([tmp_path / 'many', tmp_path / 'more'])

    assert sorted(many.figures) == sorted(BAGS)
    assert Comparison((many, more)).regressions == ()


def test_bags_that_fail_or_are_missing_are_regressions(tmp_path: Path) -> None:
    write_run(tmp_path / 'old', dict.fromkeys(BAGS, 1.0))
    write_run(tmp_path / 'new', dict.fromkeys(BAGS[:4], 1.0), failed=(BAGS[0],))
    comparison = Comparison(open_groups([tmp_path / 'old', tmp_path / 'new']))

    assert 'new: hall: frame 3 is damaged' in comparison.regressions
    assert 'new: cellar was not evaluated' in comparison.regressions


def test_a_figure_that_is_no_longer_known_is_a_regression() -> None:
    comparison = compared([1, 1, 1, 1], [1, math.nan, math.nan, 1])
    assert comparison.regressions == (
        'new: rotation error [deg] is no longer known of bag1 and 1 more',
    )


def test_a_difference_that_may_be_chance_is_no_regression() -> None:
    comparison = compared([1.0, 2.0, 3.0, 4.0], [2.5, 1.2, 4.5, 3.4])
    change = next(c for c in comparison.changes if c.figure.key == 'rotation')

    assert change.relative == pytest.approx(0.16)
    assert change.difference.low < 0 < change.difference.high
    assert comparison.regressions == ()


def test_less_of_what_should_be_more_is_worse() -> None:
    assert compared([80, 82, 84], [60, 61, 66], 'auc').regressions
    assert not compared([60, 61, 66], [80, 82, 84], 'auc').regressions


def test_a_small_change_is_tolerated_and_a_stricter_limit_is_not() -> None:
    before, after = [1.0, 2.0, 3.0], [1.02, 2.05, 3.06]
    assert not compared(before, after).regressions
    assert compared(before, after, tolerance=0.01).regressions


def test_on_two_bags_the_tolerance_decides_alone() -> None:
    assert compared([1.0, 2.0], [1.2, 2.4]).regressions
    assert math.isnan(interval_of(np.array([1.0, 2.0])).low)


def test_slower_is_a_regression_only_on_request(tmp_path: Path) -> None:
    write_run(tmp_path / 'old', dict.fromkeys(BAGS, 1.0))
    write_run(tmp_path / 'slow', dict.fromkeys(BAGS, 1.0), latency=0.2)
    command = ['compare', str(tmp_path / 'old'), str(tmp_path / 'slow')]

    assert main(command) == 0
    assert main([*command, '--times']) == REGRESSED


@pytest.mark.parametrize(
    ('arguments', 'problem'),
    [
        (['old'], 'two runs or more'),
        (['old', 'nothing'], 'no run of'),
        (['old', 'same', '--tolerance', '-1'], 'tolerance'),
    ],
)
def test_what_cannot_be_compared_is_named(
    runs: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str
) -> None:
    names = ('old', 'same', 'nothing')
    words = [str(runs / word) if word in names else word for word in arguments]
    assert main(['compare', *words]) == 1
    assert problem in capsys.readouterr().err


def test_runs_without_a_common_bag_are_refused() -> None:
    with pytest.raises(ValueError, match='no bag in common'):
        Comparison((group('old', {'a': 1.0}), group('new', {'b': 1.0})))


@given(st.lists(st.floats(-1e6, 1e6), max_size=12))
def test_the_interval_holds_the_mean_and_never_fails(values: list[float]) -> None:
    interval = interval_of(np.array([*values, math.nan]))

    if len(values) < 3:
        assert math.isnan(interval.low)
    else:
        slack = 1e-9 * max(map(abs, values)) + 1e-12
        assert interval.low - slack <= interval.mean <= interval.high + slack
