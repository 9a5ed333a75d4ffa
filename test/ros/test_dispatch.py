"""One thread matches, another aligns: which frame goes where, and none of them twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from loftr_ros.ros.dispatch import Dispatcher
from loftr_ros.ros.frames import Arrival
from loftr_ros.ros.worker import Worker

TIMEOUT = 5.0


class Bench:
    """A dispatcher whose matching waits at a gate, and who took what; frames are their times."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.matching = threading.Semaphore(0)
        self.matched: list[float] = []
        self.aligned: list[float] = []
        self.errors: list[BaseException] = []
        self.has_anchor = True
        self.lost: set[float] = set()
        self.worker: Worker[Arrival] = Worker(self.match, self.errors.append)
        self.dispatcher = Dispatcher(
            self.worker, self.align, lambda: self.has_anchor, self.errors.append
        )

    def match(self, arrival: Arrival) -> None:
        self.matching.release()
        assert self.gate.wait(TIMEOUT)
        self.matched.append(arrival.received)

    def align(self, arrival: Arrival) -> bool:
        if arrival.received < 0:
            raise RuntimeError('out of memory')
        if arrival.received in self.lost:
            return False
        self.aligned.append(arrival.received)
        return True

    def submit(self, *times: float) -> None:
        for time in times:
            self.dispatcher.submit(Arrival((), time))
            self.dispatcher.aligning.call(lambda: None).result(TIMEOUT)

    def start_a_match(self, time: float) -> None:
        self.submit(time)
        assert self.matching.acquire(timeout=TIMEOUT)

    def finish(self) -> None:
        self.gate.set()
        self.worker.call(lambda: None).result(TIMEOUT)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.gate.set()
    assert bench.dispatcher.stop(TIMEOUT)
    assert bench.worker.stop(TIMEOUT)


def test_frames_that_come_during_a_match_are_aligned(bench: Bench) -> None:
    bench.start_a_match(1.0)
    bench.submit(2.0, 3.0, 4.0)
    bench.finish()
    assert (bench.matched, bench.aligned) == ([1.0], [2.0, 3.0, 4.0])
    assert bench.dispatcher.dropped == 0


def test_a_frame_that_cannot_be_aligned_waits_and_the_newest_of_them_is_matched(
    bench: Bench,
) -> None:
    bench.lost = {2.0, 4.0}
    bench.start_a_match(1.0)
    bench.submit(2.0, 3.0, 4.0)
    bench.finish()
    assert (bench.matched, bench.aligned) == ([1.0, 4.0], [3.0])
    assert bench.dispatcher.dropped == 1


def test_with_nothing_to_align_with_the_newest_frame_waits(bench: Bench) -> None:
    bench.has_anchor = False
    bench.start_a_match(1.0)
    bench.submit(2.0, 3.0)
    bench.finish()
    assert (bench.matched, bench.aligned) == ([1.0, 3.0], [])
    assert bench.dispatcher.dropped == 1


def test_a_frame_older_than_one_that_waits_already_is_dropped(bench: Bench) -> None:
    bench.lost = {2.0}
    bench.start_a_match(1.0)
    bench.has_anchor = False
    bench.submit(3.0)
    bench.has_anchor = True
    bench.submit(2.0)
    bench.finish()
    assert bench.matched == [1.0, 3.0]
    assert bench.dispatcher.dropped == 1


def test_an_error_of_alignment_is_reported_and_the_next_frame_has_its_chance(bench: Bench) -> None:
    bench.start_a_match(-2.0)
    bench.submit(-1.0, 1.0)
    assert [str(error) for error in bench.errors] == ['out of memory']
    assert bench.aligned == [1.0]
