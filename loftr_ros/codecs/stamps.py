"""Times of ROS messages as whole nanoseconds, and what their order says."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builtin_interfaces.msg import Time

SECOND_NS = 10**9


def stamp_from_msg(msg: Time) -> int:
    """Return the time of a message, ns."""
    return int(msg.sec) * SECOND_NS + int(msg.nanosec)


def stamp_to_msg(stamp_ns: int) -> Time:
    """Return a time in ns as a message."""
    from builtin_interfaces.msg import Time

    sec, nanosec = divmod(stamp_ns, SECOND_NS)
    return Time(sec=sec, nanosec=nanosec)


class Order(enum.Enum):
    """What the stamp of a message says with respect to those before it."""

    NEXT = 'next'
    LATE = 'late'
    """It is not newer than the last one, though time runs on: the message came out of order."""
    JUMPED = 'jumped'
    """Time itself went back, as at the start of the next round of a looped bag."""


def describe_late(stamp_ns: int, last_ns: int) -> str:
    """Say what is wrong with a stamp that is not after the last one."""
    if not stamp_ns:
        return 'the stamp is zero: the driver must set the time of the exposure'
    if stamp_ns == last_ns:
        return f'the stamp {stamp_ns / SECOND_NS:.6f} s is that of the image before'
    behind = (last_ns - stamp_ns) / SECOND_NS
    return f'the stamp is {behind:.6f} s before that of the image before'


@dataclass
class StampOrder:
    """Distinguish messages that came out of order from a clock that was set back.

    Attributes:
        jump_ns: A stamp that is earlier by this much means that time went back, ns.
        patience: So many late messages in a row mean it as well, however close they are.
        last_ns: The newest stamp so far, ns; None before the first message.
    """

    jump_ns: int = SECOND_NS // 2
    patience: int = 5
    last_ns: int | None = None
    _late: int = 0

    def check(self, stamp_ns: int) -> Order:
        """Take note of the next stamp."""
        if self.last_ns is None or stamp_ns > self.last_ns:
            self.last_ns, self._late = stamp_ns, 0
            return Order.NEXT
        self._late += stamp_ns < self.last_ns
        if self.last_ns - stamp_ns >= self.jump_ns or self._late >= self.patience:
            self.last_ns, self._late = stamp_ns, 0
            return Order.JUMPED
        return Order.LATE

    def reset(self) -> None:
        """Forget all stamps."""
        self.last_ns, self._late = None, 0
