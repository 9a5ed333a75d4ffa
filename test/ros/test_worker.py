"""The worker takes the newest item, counts what it drops, and outlives every exception."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterable, Iterator

import pytest
from harness import wait_until

from loftr_ros.ros.worker import Worker, WorkerStoppedError

TIMEOUT = 5.0
EXIT = -100


class Bench:
    """A worker whose items wait at a gate, and what became of them."""

    def __init__(self, *, keep_all: bool = False, capacity: int = 1) -> None:
        self.gate = threading.Event()
        self.started = threading.Semaphore(0)
        self.done: list[int] = []
        self.errors: list[BaseException] = []
        self.room = threading.Semaphore(0)
        self.worker: Worker[int] = Worker(
            self.process,
            self.errors.append,
            keep_all=keep_all,
            capacity=capacity,
            on_room=self.room.release,
        )

    def process(self, item: int) -> None:
        self.started.release()
        assert self.gate.wait(TIMEOUT)
        if item == EXIT:
            raise SystemExit('a library asks to exit')
        if item < 0:
            raise ValueError(f'item {item}')
        self.done.append(item)

    def submit_all(self, items: Iterable[int]) -> None:
        for item in items:
            self.worker.submit(item)

    def finish(self) -> list[int]:
        self.gate.set()
        self.worker.call(lambda: None).result(TIMEOUT)
        return self.done


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.gate.set()
    assert bench.worker.stop(TIMEOUT)


def test_the_newest_item_wins_and_the_others_are_counted(bench: Bench) -> None:
    bench.worker.submit(0)
    assert bench.started.acquire(timeout=TIMEOUT)
    for item in range(1, 6):
        bench.worker.submit(item)
    assert bench.finish() == [0, 5]
    assert bench.worker.dropped == 4


def test_an_exception_is_reported_and_does_not_end_the_thread(bench: Bench) -> None:
    bench.gate.set()
    for item in (-1, -2, 3):
        bench.worker.submit(item)
        bench.worker.call(lambda: None).result(TIMEOUT)
    assert [str(error) for error in bench.errors] == ['item -1', 'item -2']
    assert bench.done == [3]


def test_a_call_returns_its_result_or_its_exception(bench: Bench) -> None:
    assert bench.worker.call(lambda: 6 * 7).result(TIMEOUT) == 42
    with pytest.raises(ZeroDivisionError):
        bench.worker.call(lambda: 1 / 0).result(TIMEOUT)
    assert not bench.errors


def test_calls_are_done_in_their_order_among_the_items(bench: Bench) -> None:
    bench.worker.submit(0)
    assert bench.started.acquire(timeout=TIMEOUT)
    bench.worker.submit(1)
    bench.worker.call(lambda: bench.done.append(100))
    assert bench.finish() == [0, 1, 100]


def test_a_newer_item_does_not_go_before_a_call(bench: Bench) -> None:
    bench.worker.submit(0)
    assert bench.started.acquire(timeout=TIMEOUT)
    bench.worker.submit(1)
    bench.worker.call(lambda: bench.done.append(100))
    bench.worker.submit(2)
    assert bench.finish() == [0, 100, 2]


def test_keep_all_loses_nothing_and_says_when_there_is_room_again() -> None:
    bench = Bench(keep_all=True, capacity=2)
    seen = [bench.worker.has_room]
    bench.worker.submit(0)
    assert bench.started.acquire(timeout=TIMEOUT)
    for item in range(1, 6):
        bench.worker.submit(item)
        seen.append(bench.worker.has_room)
    assert seen == [True, True, False, False, False, False]
    assert not bench.room.acquire(blocking=False)
    assert bench.finish() == list(range(6))
    assert bench.room.acquire(timeout=TIMEOUT)
    assert bench.worker.has_room
    assert bench.worker.dropped == 0
    assert bench.worker.stop(TIMEOUT)


def test_an_exit_does_not_end_the_thread(bench: Bench) -> None:
    bench.gate.set()
    bench.worker.submit(EXIT)
    with pytest.raises(SystemExit):
        bench.worker.call(lambda: sys.exit(3)).result(TIMEOUT)
    assert [str(error) for error in bench.errors] == ['a library asks to exit']
    bench.worker.submit(7)
    assert bench.finish() == [7]
    assert not bench.worker.problem()


def test_an_item_that_takes_longer_than_all_others_is_a_problem(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('loftr_ros.ros.worker.STUCK_S', 0.05)
    monkeypatch.setattr('loftr_ros.ros.worker.STUCK_FACTOR', 0.0)
    bench.gate.set()
    bench.worker.submit(0)
    assert bench.finish() == [0]
    assert not bench.worker.problem()
    bench.gate.clear()
    bench.started.acquire(timeout=TIMEOUT)
    bench.worker.submit(1)
    assert bench.started.acquire(timeout=TIMEOUT)
    wait_until(bench.worker.problem, 'the problem')
    assert re.fullmatch(
        r'the worker has been busy with one frame for \d s, others took at most 0\.\d\d s',
        bench.worker.problem(),
    )
    bench.finish()
    assert not bench.worker.problem()


def test_the_first_item_and_calls_have_patience(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.worker.submit(0)
    assert bench.started.acquire(timeout=TIMEOUT)
    assert not bench.worker.problem()
    monkeypatch.setattr('loftr_ros.ros.worker.PATIENCE_S', 0.0)
    assert bench.worker.problem() == 'the worker has been busy with one frame for 0 s'
    bench.finish()
    bench.worker.call(bench.gate.wait)
    assert not bench.worker.problem() or 'a call' in bench.worker.problem()


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
def test_a_thread_that_has_ended_is_a_problem() -> None:
    def fail(_: object) -> None:
        raise SystemExit

    worker: Worker[int] = Worker(fail, fail)
    worker.submit(0)
    wait_until(worker.problem, 'the problem')
    assert worker.problem() == 'the worker has ended'


def test_a_call_that_is_cancelled_in_time_is_not_run(bench: Bench) -> None:
    bench.worker.submit(0)
    assert bench.started.acquire(timeout=TIMEOUT)
    call = bench.worker.call(lambda: bench.done.append(100))
    assert call.cancel()
    assert bench.finish() == [0]
    assert bench.worker.stop(TIMEOUT)


def test_clear_forgets_the_items_that_wait_but_no_calls(bench: Bench) -> None:
    bench.worker.submit(0)
    assert bench.started.acquire(timeout=TIMEOUT)
    call = bench.worker.call(lambda: 'called')
    bench.worker.submit(1)
    bench.worker.clear()
    assert bench.finish() == [0]
    assert call.result(TIMEOUT) == 'called'


def test_stop_forgets_what_waits_and_fails_the_calls() -> None:
    bench = Bench(keep_all=True, capacity=1)
    bench.submit_all(range(4))
    assert bench.started.acquire(timeout=TIMEOUT)
    call, cancelled = bench.worker.call(lambda: None), bench.worker.call(lambda: None)
    assert cancelled.cancel()
    assert not bench.worker.stop(0.01)  # the item in progress is still at the gate
    bench.gate.set()
    assert bench.worker.stop(TIMEOUT)
    assert bench.done == [0]
    with pytest.raises(WorkerStoppedError):
        call.result(TIMEOUT)
    with pytest.raises(WorkerStoppedError):
        bench.worker.call(lambda: None).result(TIMEOUT)


def test_with_room_for_two_a_third_takes_the_place_of_the_oldest() -> None:
    bench = Bench(capacity=2)
    bench.worker.submit(0)
    assert bench.started.acquire(timeout=TIMEOUT)
    bench.submit_all([1, 2, 3])
    assert bench.finish() == [0, 2, 3]
    assert bench.worker.dropped == 1
    assert bench.worker.stop(TIMEOUT)


def test_a_worker_is_idle_when_nothing_is_in_progress_or_waits(bench: Bench) -> None:
    seen = [bench.worker.idle]
    bench.worker.submit(0)
    seen.append(bench.worker.idle)
    assert bench.started.acquire(timeout=TIMEOUT)
    seen.append(bench.worker.idle)
    bench.finish()
    assert bench.worker.stop(TIMEOUT)
    seen.append(bench.worker.idle)
    assert seen == [True, False, False, True]
