"""Rates, latencies and refusals, and the words for what is wrong with the inputs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from loftr_ros.frontend import Frame, TrackingResult, TrackingState
from loftr_ros.geometry import PoseState, RelativePose
from loftr_ros.matching.matches import Matches
from loftr_ros.ros.monitoring import (
    HORIZON_S,
    MOST_KINDS,
    REPEAT_S,
    RateMeter,
    Refusal,
    TopicMonitor,
    TopicReport,
    WorkMonitor,
    find_input_problems,
)

MS = 10**6


def topic(name: str = '/image', **fields: object) -> TopicReport:
    values: dict[str, object] = {
        'received': 10,
        'refused': 0,
        'rate': 10.0,
        'silence': 0.1,
        'stamps': (10 * MS, 110 * MS),
        'publishers': 1,
    }
    return TopicReport(name=name, **{**values, **fields})  # type: ignore[arg-type]


def problems(*topics: TopicReport, set_silence: float = 0.0, slop: float = 0.01) -> list[str]:
    return find_input_problems(list(topics), set_silence, 2.0, slop)


def test_a_rate_is_that_of_the_last_seconds() -> None:
    meter = RateMeter()
    assert meter.rate(0.0) == 0
    for tick in range(21):
        meter.tick(tick * 0.1)
    assert meter.rate(2.0) == pytest.approx(10)
    assert meter.rate(2.0 + HORIZON_S + 1) == 0


def test_a_topic_reports_what_came_and_how_long_ago() -> None:
    monitor = TopicMonitor('/image', 0.0)
    assert monitor.report(3.0).silence == 3.0
    monitor.tick(4.0, 123)
    report = monitor.report(5.0, 2, 'why')
    assert (report.received, report.silence, report.stamps) == (1, 1.0, (123,))
    assert (report.publishers, report.qos_problem) == (2, 'why')


def test_nothing_is_wrong_with_topics_that_bring_messages() -> None:
    assert problems(topic()) == []
    assert problems(topic('/image0'), topic('/image1')) == []


def test_a_topic_without_publisher_is_named() -> None:
    [problem] = problems(topic(silence=3.0, received=0, publishers=0))
    assert problem.startswith('/image has no publisher: is the driver running')
    [problem] = problems(topic(silence=3.0, publishers=0))
    assert problem.startswith('/image has no publisher any more')


def test_a_publisher_that_fell_silent_is_named() -> None:
    [problem] = problems(topic(silence=3.25))
    assert problem == '/image is silent: a publisher, but no message for 3.2 s'
    [problem] = problems(topic(silence=3.0, received=0, publishers=2))
    assert problem == '/image is silent: 2 publishers, but no message yet'


def test_a_publisher_that_does_not_fit_is_explained() -> None:
    [problem] = problems(topic(silence=3.0, received=0, qos_problem='best effort'))
    assert problem == '/image is silent: best effort'


def test_only_the_silent_one_of_two_is_named() -> None:
    [problem] = problems(topic('/image0'), topic('/image1', silence=9.0), set_silence=9.0)
    assert problem.startswith('/image1 is silent')


def test_stamps_that_never_match_are_explained() -> None:
    [problem] = problems(
        topic('/image0', stamps=(0, 100 * MS)),
        topic('/image1', stamps=(40 * MS, 140 * MS)),
        set_silence=3.0,
    )
    assert problem.startswith(
        'the stamps of /image0, /image1 never match: the nearest are 0.0400 s'
    )
    assert 'allowed are 0.01 s (input.sync_slop' in problem


def test_the_same_refusal_is_logged_once_in_a_while() -> None:
    monitor = WorkMonitor()
    assert monitor.refused(Refusal('/a', 'x', 0.0))
    assert not monitor.refused(Refusal('/a', 'x', 1.0))
    assert monitor.refused(Refusal('/a', 'y', 2.0))
    assert monitor.refused(Refusal('/b', 'y', 2.0))
    assert monitor.refused(Refusal('/a', 'y', 2.0 + REPEAT_S))
    assert str(monitor.report(3.0).last_refusal) == '/a: y'


def test_latencies_are_those_of_the_last_seconds() -> None:
    monitor = WorkMonitor()
    assert math.isnan(monitor.report(0.0).latency_p50)
    for index in range(100):
        monitor.succeeded(None, 1.0, 1.0 + (index + 1) / 100)
    report = monitor.report(2.0, dropped=4)
    assert report.latency_p50 == pytest.approx(0.505)
    assert report.latency_p95 == pytest.approx(0.9505)
    assert (report.processed, report.dropped) == (100, 4)
    assert math.isnan(monitor.report(2.0 + HORIZON_S + 1).latency_p95)


def test_an_unexpected_error_is_kept_but_soon_past() -> None:
    monitor = WorkMonitor()
    monitor.failed(ZeroDivisionError('by zero'), 1.0)
    assert monitor.report(2.0).errors.recent
    late = monitor.report(2.0 + HORIZON_S)
    assert not late.errors.recent
    assert (late.errors.count, late.errors.last) == (1, 'ZeroDivisionError: by zero')


def result(state: TrackingState, reason: str = '') -> TrackingResult:
    frame = Frame(0, np.zeros((8, 8), np.uint8))
    pose = RelativePose.failed(PoseState.LOST, reason or 'none')
    ids = np.zeros(0, np.int64)
    return TrackingResult(
        reference=frame,
        query=frame,
        matches=Matches.empty(),
        track_ids=ids,
        pose=pose,
        new_keyframe=False,
        seconds={},
        state=state,
    )


def test_lost_and_found_are_reported_when_they_begin() -> None:
    monitor = WorkMonitor()
    messages = []
    for now, state in enumerate(
        [TrackingState.TRACKING, *[TrackingState.SEARCHING] * 3, TrackingState.RECOVERED]
    ):
        found = result(state, 'too dark')
        messages.append(monitor.state_change(found, float(now)))
        monitor.succeeded(found, float(now), float(now))
    assert messages[:2] == ['', 'tracking lost, the keyframe is kept: too dark']
    assert messages[2:4] == ['', '']
    assert messages[4].startswith('tracking is back, with the keyframe from before the gap')
    report = monitor.report(5.0)
    assert report.last.tracking == 'RECOVERED'
    assert report.trackings == {'TRACKING': 1, 'SEARCHING': 3, 'RECOVERED': 1}


def test_a_flicker_does_not_fill_the_log() -> None:
    monitor = WorkMonitor()
    lines = 0
    for now in range(8):
        found = result(TrackingState.SEARCHING if now % 2 else TrackingState.TRACKING)
        lines += bool(monitor.state_change(found, float(now)))
        monitor.succeeded(found, float(now), float(now))
    assert lines == 1
    assert monitor.state_change(result(TrackingState.FROZEN), 8.0)


def test_a_kind_of_refusals_has_one_line_with_their_number() -> None:
    monitor = WorkMonitor()
    assert monitor.refused(Refusal('/a', "encoding 'x' is not supported, 5 bytes", 0.0))
    for number in range(40):
        reason = f"encoding '{'y' * number}' is not supported, {number} bytes"
        assert not monitor.refused(Refusal('/a', reason, 0.1 * number))
    line = monitor.refused(Refusal('/a', "encoding 'z' is not supported, 9 bytes", REPEAT_S))
    assert line.endswith('(and 40 more of this kind before)')


def test_ever_new_reasons_do_not_fill_log_or_memory() -> None:
    monitor = WorkMonitor()
    words = (chr(97 + a) + chr(97 + b) for a in range(26) for b in range(26))
    lines = [monitor.refused(Refusal('/a', word, 0.0)) for word in words]
    assert sum(bool(line) for line in lines) <= MOST_KINDS + 1
    assert len(monitor._limit._logged) <= MOST_KINDS + 1


def test_resets_and_errors_come_to_the_log_once_in_a_while() -> None:
    monitor = WorkMonitor()
    text = 'the stamps of /image went back by {} s: everything before is forgotten'
    lines = [monitor.was_reset(text.format(number), 0.1 * number) for number in range(30)]
    lines.append(monitor.was_reset(text.format(99), REPEAT_S))
    assert [line for line in lines if line] == [
        text.format(0),
        text.format(99) + ' (and 29 more of this kind before)',
    ]
    assert monitor.report(REPEAT_S).resets == 31
    errors = [monitor.failed(ValueError(f'wrong: {number}'), number) for number in range(12)]
    assert [line for line in errors if line] == [
        'unexpected ValueError: wrong: 0',
        'unexpected ValueError: wrong: 10 (and 9 more of this kind before)',
    ]
    assert monitor.report(12.0).errors.count == 12
