"""Which frames a robot's computer has time to match: simulated, so that a replay is repeatable."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loftr_ros.frontend import Between, Frame, FrameError, Session, Start, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

MATCH_SECONDS = 0.12
"""Time of a matched frame on a core of its own, s: `lite` at 640x480 (docs/performance.md)."""
ALIGN_SECONDS = 0.02
"""Time of an aligned frame, s."""
DROPPED = 'a newer frame took its turn'


@dataclass(frozen=True)
class Pace:
    """How fast frames come, and how fast they are done.

    Attributes:
        rate: Frames in a second, Hz; None for their own stamps.
        cores: With one, an aligned frame delays the matched one; with two it does not.
        match_seconds: Time of a matched frame, s.
        align: Whether frames between are aligned, or else dropped.

    Raises:
        ValueError: A value is out of its range.
    """

    rate: float | None = None
    cores: int = 2
    match_seconds: float = MATCH_SECONDS
    align: bool = True

    def __post_init__(self) -> None:
        """Check all values."""
        if self.rate is not None and not 0 < self.rate < float('inf'):
            raise ValueError(f'the rate must be positive, not {self.rate!r} Hz')
        if self.cores < 1:
            raise ValueError(f'there must be at least one core, not {self.cores!r}')
        if not self.match_seconds > 0:
            raise ValueError(f'a match must take some time, not {self.match_seconds!r} s')


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a frame.

    Attributes:
        key: What it was handed over with.
        step: What is known; None where there is nothing.
        problem: Why it was refused or dropped; '' if it was not.
        dropped: Whether it was dropped.
    """

    key: Any
    step: Step | None
    problem: str = ''
    dropped: bool = False


@dataclass
class Schedule:
    """Takes frames as the node does: one matched at a time, those that come meanwhile aligned.

    A frame that cannot be aligned waits until the matcher is free; the newest takes the place of
    one that waits. Outcomes come in the order of the frames.
    """

    session: Session[Any]
    between: Between
    pace: Pace
    _free: float = 0.0
    _start: Start | None = None
    _next_start: Start | None = None
    _waiting: tuple[int, Any, Frame] | None = None
    _count: int = 0
    _emitted: int = 0
    _done: dict[int, Outcome] = field(default_factory=dict)
    _first_ns: int | None = None
    _first: int = 0

    def process(self, key: Any, frame: Frame) -> Iterator[Outcome]:  # noqa: ANN401
        """Take the next frame; yields the outcomes that are known by then, in order."""
        number, self._count = self._count, self._count + 1
        now = self._arrival(number, frame)
        self._settle(now)
        if self._free <= now:
            self._match(number, key, frame, now)
        else:
            self._align(number, key, frame)
        yield from self._ready()

    def refuse(self, key: Any, problem: str) -> Iterator[Outcome]:  # noqa: ANN401
        """Note a frame that is no frame; yields the outcomes that are known by then, in order."""
        self._done[self._count] = Outcome(key, None, problem)
        self._count += 1
        yield from self._ready()

    def reset(self) -> None:
        """Forget what frames are aligned with, as after a jump of the stamps.

        One that waits is dropped.
        """
        if self._waiting is not None:
            number, key, _ = self._waiting
            self._done[number] = Outcome(key, None, DROPPED, dropped=True)
        self._waiting = self._start = self._next_start = None
        self._first_ns, self._free = None, 0.0
        self.between.reset()

    def finish(self) -> Iterator[Outcome]:
        """Yield the outcomes that are left when no frame comes any more."""
        self._settle(float('inf'))
        yield from self._ready()

    def _arrival(self, number: int, frame: Frame) -> float:
        if self._first_ns is None:
            self._first_ns, self._first = frame.stamp_ns, number
        if self.pace.rate is not None:
            return (number - self._first) / self.pace.rate
        return (frame.stamp_ns - self._first_ns) / 1e9

    def _settle(self, now: float) -> None:
        """Let the matcher end, and take the frame that waits, up to a time."""
        if self._free > now:
            return
        self._start = self._next_start
        if self._waiting is not None:
            number, key, frame = self._waiting
            self._waiting = None
            self._match(number, key, frame, self._free)
            self._settle(now)

    def _match(self, number: int, key: Any, frame: Frame, begin: float) -> None:  # noqa: ANN401
        try:
            step = self.session.process(frame)
        except FrameError as error:
            self._done[number] = Outcome(key, None, str(error))
            return
        self._done[number] = Outcome(key, step)
        self._free, self._next_start = begin + self.pace.match_seconds, step.start

    def _align(self, number: int, key: Any, frame: Frame) -> None:  # noqa: ANN401
        step = None
        if self.pace.align and self._start is not None:
            try:
                step = self.between.process(frame, self._start)
            except FrameError as error:
                self._done[number] = Outcome(key, None, str(error))
                return
            if self.pace.cores == 1:
                self._free += ALIGN_SECONDS
        if step is not None:
            self._done[number] = Outcome(key, step)
            return
        if self._waiting is not None:
            before, other, _ = self._waiting
            self._done[before] = Outcome(other, None, DROPPED, dropped=True)
        self._waiting = number, key, frame

    def _ready(self) -> Iterator[Outcome]:
        while self._emitted in self._done:
            yield self._done.pop(self._emitted)
            self._emitted += 1
