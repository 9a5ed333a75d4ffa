"""One contract for message_filters and for what stands in for it where it is not installed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo

from loftr_ros.codecs.stamps import stamp_from_msg, stamp_to_msg
from loftr_ros.ros import synchronization
from loftr_ros.ros.synchronization import TopicSynchronizer

MS = 10**6


@dataclass(frozen=True)
class Classes:
    SimpleFilter: type[Any]
    TimeSynchronizer: type[Any]
    ApproximateTimeSynchronizer: type[Any]


LOCAL = Classes(
    synchronization.LocalSimpleFilter,
    synchronization.LocalTimeSynchronizer,
    synchronization.LocalApproximateTimeSynchronizer,
)
INSTALLED = Classes(
    synchronization.SimpleFilter,
    synchronization.TimeSynchronizer,
    synchronization.ApproximateTimeSynchronizer,
)


@pytest.fixture(params=['local', 'message_filters'])
def classes(request: pytest.FixtureRequest) -> Classes:
    if request.param == 'local':
        return LOCAL
    pytest.importorskip('message_filters', reason='message_filters is not installed')
    assert INSTALLED.TimeSynchronizer.__module__.startswith('message_filters')
    return INSTALLED


def message(stamp_ns: int) -> CameraInfo:
    msg = CameraInfo()
    msg.header.stamp = stamp_to_msg(stamp_ns)
    return msg


class Bench:
    """Sources of messages, a synchronizer, and the stamps of the sets that it found."""

    def __init__(self, classes: Classes, sources: int, make: Callable[[list[Any]], Any]) -> None:
        self.sources = [classes.SimpleFilter() for _ in range(sources)]
        self.sets: list[tuple[int, ...]] = []
        make(self.sources).registerCallback(self.note)

    def note(self, *messages: CameraInfo) -> None:
        self.sets.append(tuple(stamp_from_msg(msg.header.stamp) for msg in messages))

    def send(self, source: int, *stamps_ms: float) -> None:
        for stamp in stamps_ms:
            self.sources[source].signalMessage(message(round(stamp * MS)))

    def sets_ms(self) -> list[tuple[float, ...]]:
        return [tuple(stamp / MS for stamp in stamps) for stamps in self.sets]


def exact(classes: Classes, queue_size: int = 5, sources: int = 2) -> Bench:
    return Bench(classes, sources, lambda inputs: classes.TimeSynchronizer(inputs, queue_size))


def near(classes: Classes, slop_ms: float, queue_size: int = 5, sources: int = 2) -> Bench:
    return Bench(
        classes,
        sources,
        lambda inputs: classes.ApproximateTimeSynchronizer(inputs, queue_size, slop_ms / 1e3),
    )


def test_equal_stamps_belong_together_in_the_order_of_the_sources(classes: Classes) -> None:
    bench = exact(classes, sources=3)
    bench.send(2, 10)
    bench.send(0, 10)
    assert bench.sets == []
    bench.send(1, 10)
    assert bench.sets_ms() == [(10, 10, 10)]


def test_stamps_that_differ_by_a_nanosecond_do_not(classes: Classes) -> None:
    bench = exact(classes)
    bench.send(0, 10)
    bench.send(1, 10 + 1e-6)
    assert bench.sets == []


def test_a_message_is_used_once(classes: Classes) -> None:
    for bench in (exact(classes), near(classes, 5)):
        bench.send(0, 10)
        bench.send(1, 10, 10)
        assert bench.sets_ms() == [(10, 10)]


def test_only_the_newest_messages_wait(classes: Classes) -> None:
    bench = exact(classes, queue_size=3)
    bench.send(0, 10, 20, 30, 40)
    bench.send(1, 10, 20)
    assert bench.sets_ms() == [(20, 20)]


def test_messages_out_of_order_find_their_partners(classes: Classes) -> None:
    stamps = [10, 20, 30, 40, 50]
    for bench in (exact(classes), near(classes, 5)):
        shuffled = random.Random(3)
        bench.send(0, *shuffled.sample(stamps, 5))
        bench.send(1, *shuffled.sample(stamps, 5))
        assert sorted(bench.sets_ms()) == [(stamp, stamp) for stamp in stamps]


def test_near_stamps_belong_together_within_the_slop(classes: Classes) -> None:
    bench = near(classes, 10)
    bench.send(0, 100)
    bench.send(1, 109)
    bench.send(0, 200)
    bench.send(1, 211)
    assert bench.sets_ms() == [(100, 109)]


def test_the_nearest_partner_is_taken(classes: Classes) -> None:
    bench = near(classes, 20)
    bench.send(0, 95, 101, 110)
    bench.send(1, 100)
    assert bench.sets_ms() == [(101, 100)]


def test_all_of_a_set_are_within_the_slop_of_each_other(classes: Classes) -> None:
    bench = near(classes, 10, sources=3)
    bench.send(0, 100)
    bench.send(1, 92)
    bench.send(2, 108)
    assert bench.sets == []
    bench.send(2, 99)
    assert bench.sets_ms() == [(100, 92, 99)]


def test_callbacks_get_their_own_arguments_after_the_messages(classes: Classes) -> None:
    source, got = classes.SimpleFilter(), []
    source.registerCallback(lambda msg, name: got.append((msg, name)), 'left')
    source.registerCallback(lambda msg: got.append((msg, None)))
    source.signalMessage(7)
    assert got == [(7, 'left'), (7, None)]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60)), max_size=40),
    st.integers(1, 4),
    st.integers(1, 15),
)
def test_both_find_the_same_sets(
    arrivals: list[tuple[int, int]], queue_size: int, slop_ms: int
) -> None:
    pytest.importorskip('message_filters', reason='message_filters is not installed')
    for make in (
        lambda classes: exact(classes, queue_size, sources=3),
        lambda classes: near(classes, slop_ms, queue_size, sources=3),
    ):
        benches = [make(LOCAL), make(INSTALLED)]
        for bench, (source, stamp) in itertools.product(benches, arrivals):
            bench.send(source, stamp)
        assert benches[0].sets == benches[1].sets


def test_headerless_messages_are_refused() -> None:
    with pytest.raises(ValueError, match='without a stamp'):
        LOCAL.ApproximateTimeSynchronizer([], 1, 0.1, allow_headerless=True)


@pytest.mark.parametrize('slop', [0.0, 0.01])
def test_a_cleared_synchronizer_has_forgotten_what_waited(slop: float) -> None:
    sets: list[tuple[Any, ...]] = []
    synchronizer = TopicSynchronizer(2, 5, slop, lambda *messages: sets.append(messages))
    synchronizer.add(0, message(10))
    synchronizer.clear()
    synchronizer.add(1, message(10))
    assert sets == []
    synchronizer.add(0, message(10))
    assert len(sets) == 1
