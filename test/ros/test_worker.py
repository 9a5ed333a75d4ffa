"""The worker takes the newest item, counts what it drops, and outlives every exception."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator

import pytest

from loftr_ros.ros.worker import Worker, WorkerStoppedError

TIMEOUT = 5.0


class Bench:
    """A worker whose items wait at a gate, and what became of them."""

    def __init__(self, *, keep_all: bool = False, capacity: int = 1) -> None:
        self.gate = threading.Event()
        self.started = threading.Semaphore(0)
        self.done: list[int] = []
        self.errors: list[Exception] = []
        self.worker: Worker[int] = Worker(
            self.process, self.errors.append, keep_all=keep_all, capacity=capacity
        )

    def process(self, item: int) -> None:
        self.started.release()
        assert self.gate.wait(TIMEOUT)
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


def test_keep_all_loses_nothing_and_makes_the_sender_wait() -> None:
    bench = Bench(keep_all=True, capacity=2)
    sender = threading.Thread(target=bench.submit_all, args=(range(6),))
    sender.start()
    assert bench.started.acquire(timeout=TIMEOUT)
    time.sleep(0.05)
    assert sender.is_alive()  # one in progress, two waiting, the fourth finds no room
    bench.gate.set()
    sender.join(TIMEOUT)
    assert bench.finish() == list(range(6))
    assert bench.worker.dropped == 0
    assert bench.worker.stop(TIMEOUT)


def test_clear_forgets_the_items_that_wait_but_no_calls(bench: Bench) -> None:
    bench.worker.submit(0)
    assert bench.started.acquire(timeout=TIMEOUT)
    call = bench.worker.call(lambda: 'called')
    bench.worker.submit(1)
    bench.worker.clear()
    assert bench.finish() == [0]
    assert call.result(TIMEOUT) == 'called'


def test_stop_frees_a_sender_that_waits_and_fails_the_calls() -> None:
    bench = Bench(keep_all=True, capacity=1)
    sender = threading.Thread(target=bench.submit_all, args=(range(4),))
    sender.start()
    assert bench.started.acquire(timeout=TIMEOUT)
    call = bench.worker.call(lambda: None)
    assert not bench.worker.stop(0.01)  # the item in progress is still at the gate
    bench.gate.set()
    assert bench.worker.stop(TIMEOUT)
    sender.join(TIMEOUT)
    assert not sender.is_alive()
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
