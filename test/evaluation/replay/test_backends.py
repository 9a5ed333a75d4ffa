"""Sequences side by side, here and on Ray: the same results, and failed tasks are tried again."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loftr_ros.evaluation.records.results import SequenceFolder, SequenceInfo
from loftr_ros.evaluation.replay.backends import MAX_ATTEMPTS, run_here
from loftr_ros.evaluation.replay.pool import run_in_pool
from loftr_ros.evaluation.replay.ray import LOCAL, run_on_ray
from test.helpers.known_world import known_matcher, results_of, task_of, write_known_bag

if TYPE_CHECKING:
    from types import ModuleType

    from loftr_ros.evaluation.replay.task import SequenceTask

HELPERS = Path(__file__).parents[2] / 'helpers'

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec('ray') is None, reason='Ray is not installed'
)


class Notes:
    """A watcher that writes everything down."""

    def __init__(self) -> None:
        self.opened_names: list[str] = []
        self.advances: dict[str, int] = {}
        self.retries: list[tuple[str, str]] = []
        self.infos: list[SequenceInfo] = []

    def opened(self, name: str, found: str) -> None:  # noqa: ARG002
        self.opened_names.append(name)

    def advanced(self, name: str, done: int, total: int) -> None:  # noqa: ARG002
        self.advances[name] = done

    def retried(self, name: str, problem: str) -> None:
        self.retries.append((name, problem))

    def finished(self, info: SequenceInfo) -> None:
        self.infos.append(info)


@pytest.fixture
def bodies(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Bodies of tasks under a name that other processes can import."""
    monkeypatch.setenv('PYTHONPATH', str(HELPERS))  # for Ray's workers
    return importlib.import_module('known_world')


def never() -> bool:
    return False


def tasks_in(tmp_path: Path, place: str) -> list[SequenceTask]:
    bags = [tmp_path / name for name in ('first', 'second')]
    for index, bag in enumerate(bags):
        if not bag.exists():
            write_known_bag(bag, list(range(1 + index, 6 + index)))
    return [task_of(bag, tmp_path / place / bag.name) for bag in bags]


def test_a_task_whose_process_dies_is_started_again_with_the_same_result(
    tmp_path: Path, bodies: ModuleType
) -> None:
    here, notes = tasks_in(tmp_path, 'here'), Notes()
    list(run_here(here, known_matcher(), Notes(), never))
    outcomes = list(run_in_pool(tasks_in(tmp_path, 'pool'), 2, notes, never, bodies.dies_once))
    assert sorted(outcome.info.name for outcome in outcomes) == ['first', 'second']
    assert [outcome.attempts for outcome in outcomes] == [2, 2]
    assert {name for name, _ in notes.retries} == {'first', 'second'}
    assert notes.retries[0][1] == 'its process ended with exit code 9'
    assert results_of(tmp_path / 'here') == results_of(tmp_path / 'pool')


def test_a_task_that_always_dies_is_abandoned_and_reported(
    tmp_path: Path, bodies: ModuleType
) -> None:
    task, notes = tasks_in(tmp_path, 'pool')[0], Notes()
    (outcome,) = run_in_pool([task], 1, notes, never, bodies.dies_always)
    assert outcome.attempts == MAX_ATTEMPTS
    assert outcome.info.status == 'failed'
    assert 'exit code 9 (attempt 3 of 3)' in outcome.info.error
    assert SequenceFolder.open(task.folder).info == outcome.info


def test_a_stop_reaches_the_processes_and_starts_no_more(
    tmp_path: Path, bodies: ModuleType
) -> None:
    first, second = tasks_in(tmp_path, 'pool')
    notes = Notes()
    outcomes = list(
        run_in_pool(
            [first, second],
            1,
            notes,
            lambda: notes.advances == {'first': 3},
            bodies.waits_to_be_stopped,
        )
    )
    assert [outcome.info.name for outcome in outcomes] == ['first']
    assert outcomes[0].info.status == 'interrupted'
    assert len(SequenceFolder.open(first.folder).frames()) == 3
    assert not second.folder.exists()


@needs_ray
def test_ray_gives_the_same_results_and_tries_a_failed_task_again(
    tmp_path: Path, bodies: ModuleType
) -> None:
    notes = Notes()
    list(run_here(tasks_in(tmp_path, 'here'), known_matcher(), Notes(), never))
    outcomes = list(
        run_on_ray(tasks_in(tmp_path, 'ray'), LOCAL, notes, never, bodies.dies_once_on_ray)
    )
    assert {outcome.info.name: outcome.attempts for outcome in outcomes} == {
        'first': 2,
        'second': 1,
    }
    assert [name for name, _ in notes.retries] == ['first']
    assert results_of(tmp_path / 'here') == results_of(tmp_path / 'ray')


@needs_ray
def test_ray_that_is_started_here_listens_to_this_host_alone_and_asks_for_a_token(
    tmp_path: Path,
) -> None:
    import ray

    ports: list[str] = []
    modes: list[object] = []

    def look() -> bool:
        ports[:] = listening_ports()
        modes[:] = [os.environ['RAY_AUTH_MODE'], len(os.environ['RAY_AUTH_TOKEN'])]
        return False

    list(run_on_ray(tasks_in(tmp_path, 'ray')[:1], LOCAL, Notes(), look))
    assert not ray.is_initialized()
    assert len(ports) > 3
    assert {address.removeprefix('::ffff:') for address in ports} == {'127.0.0.1'}
    assert modes == ['token', 64]


def listening_ports() -> list[str]:
    """Return the addresses that this process and its children listen on."""
    psutil = pytest.importorskip('psutil')
    me = psutil.Process()
    found = []
    for process in [me, *me.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [
                one.laddr.ip for one in process.net_connections('inet') if one.status == 'LISTEN'
            ]
    return found


@needs_ray
def test_a_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'127.0.0.1:1' cannot be reached"):
        list(run_on_ray(tasks_in(tmp_path, 'ray'), '127.0.0.1:1', Notes(), never))


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('importlib.util.find_spec', lambda _: None)
    with pytest.raises(ValueError, match=r'pip install .*loftr_ros\[ray\]'):
        list(run_on_ray(tasks_in(tmp_path, 'ray'), LOCAL, Notes(), never))
