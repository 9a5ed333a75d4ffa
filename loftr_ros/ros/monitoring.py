"""What the node knows about its inputs and its work: rates, latencies, refusals."""

from __future__ import annotations

import re
import threading
from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np

from loftr_ros.codecs.stamps import SECOND_NS
from loftr_ros.frontend import TrackingResult, TrackingState
from loftr_ros.texts import shortened

HORIZON_S = 5.0
"""Rates and latencies are those of so many last seconds."""

REPEAT_S = 10.0
"""The same refusal is logged again only after this time, s."""
KEPT_S = 600.0
MOST_KINDS = 10
"""Kinds of refusals that are distinguished for each topic."""
DIFFERENT = re.compile(r"'[^']*'|-?\d[\d.]*")
"""What differs in the text of a kind: numbers, and names of others."""
LONGEST_TEXT = 500
"""Texts of logs and diagnostics are cut behind so many characters: others wrote a part of them."""


STATE_MESSAGES = {
    TrackingState.SEARCHING: 'tracking lost, the keyframe is kept',
    TrackingState.BRIDGED: 'tracking lost, odometry goes on by the gyroscope',
    TrackingState.RECOVERED: 'tracking is back, with the keyframe from before the gap',
    TrackingState.RESTARTED: 'tracking starts anew, without a link to the keyframe before',
    TrackingState.FROZEN: 'the camera delivers the same image again',
}
"""What the log says when tracking comes to a state."""


@dataclass
class RateMeter:
    """Events per second over the last `HORIZON_S` seconds."""

    _times: deque[float] = field(default_factory=deque)

    def tick(self, now: float) -> None:
        """Count an event at `now`, s."""
        self._times.append(now)
        self._forget(now)

    def rate(self, now: float) -> float:
        """Return the rate at `now`, Hz; 0 with fewer than two events."""
        self._forget(now)
        if len(self._times) < 2:
            return 0.0
        return (len(self._times) - 1) / max(self._times[-1] - self._times[0], 1e-9)

    def _forget(self, now: float) -> None:
        while self._times and now - self._times[0] > HORIZON_S:
            self._times.popleft()


@dataclass(frozen=True)
class Refusal:
    """An input that could not be used.

    Attributes:
        topic: Where it came from.
        reason: What was wrong with it.
        time: When it was refused, s of the monotonic clock.
    """

    topic: str
    reason: str
    time: float

    def __str__(self) -> str:
        """Say both in one line."""
        return f'{self.topic}: {self.reason}'


@dataclass(frozen=True, kw_only=True)
class TopicReport:
    """State of one subscribed topic.

    Attributes:
        name: Full name of the topic.
        received: Messages so far.
        refused: Those among them that could not be used.
        rate: Messages per second, Hz.
        silence: Time since the last message (or since the subscription), s.
        stamps: Stamps of the newest messages, ns.
        publishers: Number of publishers; None if not known.
        qos_problem: Why publishers and subscription do not fit together; '' if they do.
    """

    name: str
    received: int
    refused: int
    rate: float
    silence: float
    stamps: tuple[int, ...] = ()
    publishers: int | None = None
    qos_problem: str = ''


class TopicMonitor:
    """Counts the messages of one subscribed topic."""

    def __init__(self, name: str, now: float) -> None:
        """Start at `now`, s."""
        self.name = name
        self.received = 0
        self.refused = 0
        self._rate = RateMeter()
        self._last = now
        self._stamps: deque[int] = deque(maxlen=16)

    def tick(self, now: float, stamp_ns: int) -> None:
        """Count a message that arrives at `now`, s."""
        self.received += 1
        self._rate.tick(now)
        self._last = now
        self._stamps.append(stamp_ns)

    def excuse(self, now: float) -> None:
        """Count no silence until `now`, s: nobody took messages."""
        self._last = now

    def report(
        self, now: float, publishers: int | None = None, qos_problem: str = ''
    ) -> TopicReport:
        """Return the state at `now`, s."""
        return TopicReport(
            name=self.name,
            received=self.received,
            refused=self.refused,
            rate=self._rate.rate(now),
            silence=now - self._last,
            stamps=tuple(self._stamps),
            publishers=publishers,
            qos_problem=qos_problem,
        )


@dataclass(frozen=True, kw_only=True)
class LastResult:
    """Figures of the last result.

    Attributes:
        matches: Its matches.
        rotation: Degrees by which its query was rotated to match; see `Matches`.
        inliers: Its inliers.
        state: State of its pose; '' before the first.
        tracking: How its frame hangs together with those before it; '' before the first.
    """

    matches: int = 0
    rotation: int = 0
    inliers: int = 0
    state: str = ''
    tracking: str = ''

    @classmethod
    def of(cls, result: TrackingResult | None) -> LastResult:
        """Take them of a result; None before the first."""
        if result is None:
            return cls()
        return cls(
            matches=len(result.matches),
            rotation=result.matches.rotation,
            inliers=int(np.count_nonzero(result.pose.inliers)),
            state=result.pose.state.name,
            tracking=result.state.name,
        )


@dataclass(frozen=True, kw_only=True)
class ErrorReport:
    """Unexpected exceptions.

    Attributes:
        count: How many there were.
        last: The last one; '' for none.
        recent: Whether that was within the last `HORIZON_S` seconds.
    """

    count: int = 0
    last: str = ''
    recent: bool = False


@dataclass(frozen=True, kw_only=True)
class WorkReport:
    """State of the processing.

    Attributes:
        processed: Frames (or pairs) that came to a result.
        rate: Results per second, Hz.
        dropped: Frames that a newer one replaced before their turn.
        latency_p50: Median time from arrival to publishing, s; NaN without recent results.
        latency_p95: 95th percentile of the same.
        seconds: Mean time of each step, s.
        states: How often each state of the pose came out.
        trackings: How often each state of the tracker came out.
        last: The last result.
        last_refusal: The last input that was refused.
        errors: Frames that ended in an unexpected exception.
        resets: How often everything was forgotten because time went back.
    """

    processed: int = 0
    rate: float = 0.0
    dropped: int = 0
    latency_p50: float = float('nan')
    latency_p95: float = float('nan')
    seconds: dict[str, float] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    trackings: dict[str, int] = field(default_factory=dict)
    last: LastResult = field(default_factory=LastResult)
    last_refusal: Refusal | None = None
    errors: ErrorReport = field(default_factory=ErrorReport)
    resets: int = 0


class LogLimit:
    """Lets each kind of line of each topic come once in `REPEAT_S`; not for several threads."""

    def __init__(self) -> None:
        self._logged: dict[tuple[str, str], tuple[float, int]] = {}

    def line(self, topic: str, text: str, now: float) -> str:
        """Return the line for the log, with the number of those since the last; '' for none.

        Args:
            topic: What it is about; '' for nothing that has a name.
            text: What is said of it; kinds are texts that differ in numbers and quoted names alone.
            now: The time, s of the monotonic clock.
        """
        key = self._kind(topic, text, now)
        logged, more = self._logged.get(key, (-float('inf'), 0))
        if now - logged < REPEAT_S:
            self._logged[key] = logged, more + 1
            return ''
        self._logged[key] = now, 0
        line = f'{topic}: {text}' if topic else text
        return line + (f' (and {more} more of this kind before)' if more else '')

    def _kind(self, topic: str, text: str, now: float) -> tuple[str, str]:
        """Return topic and text without what differs from message to message."""
        recent = {key: one for key, one in self._logged.items() if now - one[0] < KEPT_S}
        self._logged = recent
        key = topic, DIFFERENT.sub('#', text)
        kinds = sum(other == topic for other, _ in recent)
        # Texts made of those of others may be of ever new kinds.
        return key if key in recent or kinds < MOST_KINDS else (topic, 'other')


class WorkMonitor:
    """Counts results, refusals and errors; for use by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rate = RateMeter()
        self._latencies: deque[tuple[float, float]] = deque(maxlen=1000)
        self._seconds: dict[str, float] = {}
        self._states: Counter[str] = Counter()
        self._trackings: Counter[str] = Counter()
        self._reported: dict[TrackingState, float] = {}
        self._limit = LogLimit()
        self._last: TrackingResult | None = None
        self._processed = self._errors = self._resets = 0
        self._last_refusal: Refusal | None = None
        self._last_error = ''
        self._last_error_time = -float('inf')

    def succeeded(self, result: TrackingResult | None, received: float, now: float) -> None:
        """Count a frame that arrived at `received` and was done at `now`, s."""
        with self._lock:
            self._processed += 1
            self._rate.tick(now)
            self._latencies.append((now, now - received))
            if result is None:
                return
            self._last = result
            self._states[result.pose.state.name] += 1
            self._trackings[result.state.name] += 1
            for name, seconds in result.seconds.items():
                # An exponential mean is enough to see where the time goes.
                self._seconds[name] = 0.9 * self._seconds.get(name, seconds) + 0.1 * seconds

    def state_change(self, result: TrackingResult, now: float) -> str:
        """Say in words if tracking is not what it was for the last frame; '' for nothing new.

        To be asked before `succeeded`; the same is said again only after `REPEAT_S`.
        """
        with self._lock:
            before = TrackingState.TRACKING if self._last is None else self._last.state
            state = result.state
            if state in (before, TrackingState.TRACKING):
                return ''
            if now - self._reported.get(state, -float('inf')) < REPEAT_S:
                return ''
            self._reported[state] = now
            reason = f': {result.pose.reason}' if result.pose.reason else ''
            return f'{STATE_MESSAGES[state]}{reason}'

    def refused(self, refusal: Refusal) -> str:
        """Count a refused input; returns the line for the log, as `LogLimit.line` does."""
        with self._lock:
            self._last_refusal = refusal
            return self._limit.line(refusal.topic, refusal.reason, refusal.time)

    def failed(self, error: BaseException, now: float) -> str:
        """Count an unexpected exception at `now`, s; returns the line for the log, as above."""
        with self._lock:
            self._errors += 1
            self._last_error_time = now
            self._last_error = shortened(f'{type(error).__name__}: {error}', LONGEST_TEXT)
            return self._limit.line('', f'unexpected {self._last_error}', now)

    def was_reset(self, reason: str, now: float) -> str:
        """Count that everything was forgotten; returns the line for the log, as `LogLimit` does."""
        with self._lock:
            self._resets += 1
            return self._limit.line('', reason, now)

    def report(self, now: float, dropped: int = 0) -> WorkReport:
        """Return the state at `now`, s."""
        with self._lock:
            recent = [latency for time, latency in self._latencies if now - time <= HORIZON_S]
            p50, p95 = np.percentile(recent, [50, 95]) if recent else (np.nan, np.nan)
            recently = now - self._last_error_time <= HORIZON_S
            return WorkReport(
                processed=self._processed,
                rate=self._rate.rate(now),
                dropped=dropped,
                latency_p50=float(p50),
                latency_p95=float(p95),
                seconds=dict(self._seconds),
                states=dict(self._states),
                trackings=dict(self._trackings),
                last=LastResult.of(self._last),
                last_refusal=self._last_refusal,
                errors=ErrorReport(count=self._errors, last=self._last_error, recent=recently),
                resets=self._resets,
            )


def find_input_problems(
    topics: list[TopicReport], *, set_silence: float, timeout: float, slop: float
) -> list[str]:
    """Say which topics are silent, and why; or that their stamps never match.

    Args:
        topics: All topics that a result needs one message of.
        set_silence: Time since messages of all of them belonged together, s.
        timeout: A topic without messages for this long is silent, s.
        slop: Largest difference of stamps that belong together, s.
    """
    silent = [topic for topic in topics if topic.silence > timeout]
    if silent:
        return [_describe_silence(topic) for topic in silent]
    problems = [f'{topic.name}: {topic.qos_problem}' for topic in topics if topic.qos_problem]
    if len(topics) > 1 and set_silence > timeout and all(topic.stamps for topic in topics):
        problems.append(_describe_mismatch(topics, slop))
    return problems


def _describe_silence(topic: TopicReport) -> str:
    if topic.publishers == 0:
        gone = 'has no publisher any more' if topic.received else 'has no publisher'
        return f'{topic.name} {gone}: is the driver running, is the topic remapped?'
    if topic.qos_problem:
        return f'{topic.name} is silent: {topic.qos_problem}'
    count = 'a publisher' if topic.publishers == 1 else f'{topic.publishers} publishers'
    since = 'yet' if not topic.received else f'for {topic.silence:.1f} s'
    return f'{topic.name} is silent: {count}, but no message {since}'


def _describe_mismatch(topics: list[TopicReport], slop: float) -> str:
    names = ', '.join(topic.name for topic in topics)
    first, *others = topics
    gaps = [
        min(abs(a - b) for a in first.stamps for b in other.stamps) / SECOND_NS for other in others
    ]
    return (
        f'the stamps of {names} never match: the nearest are {max(gaps):.4f} s apart, '
        f'allowed are {slop:g} s (input.sync_slop)'
    )
