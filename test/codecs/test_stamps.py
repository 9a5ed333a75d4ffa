"""Stamps are exact, and their order distinguishes a late message from a clock that was set back."""

from __future__ import annotations

import pytest
from builtin_interfaces.msg import Time

from loftr_ros.codecs.stamps import Order, StampOrder, stamp_from_msg, stamp_to_msg

SECOND = 10**9


@pytest.mark.parametrize('stamp', [0, 1, SECOND - 1, SECOND, 1_700_000_000 * SECOND + 123_456_789])
def test_stamps_survive_the_round_trip(stamp: int) -> None:
    assert stamp_from_msg(stamp_to_msg(stamp)) == stamp


def test_stamps_are_seconds_and_nanoseconds() -> None:
    assert stamp_from_msg(Time(sec=3, nanosec=5)) == 3 * SECOND + 5


def orders(*stamps: float) -> list[Order]:
    order = StampOrder()
    return [order.check(round(stamp * SECOND)) for stamp in stamps]


def test_later_stamps_are_next() -> None:
    assert orders(0, 0.1, 100.0) == [Order.NEXT] * 3


def test_a_stamp_just_before_the_last_one_is_late() -> None:
    assert orders(1.0, 1.1, 1.05, 1.2) == [Order.NEXT, Order.NEXT, Order.LATE, Order.NEXT]


def test_equal_stamps_are_late_for_ever() -> None:
    assert orders(*[0.0] * 20) == [Order.NEXT] + [Order.LATE] * 19


def test_a_stamp_long_before_the_last_one_means_that_time_jumped() -> None:
    assert orders(10.0, 10.1, 0.0, 0.1) == [Order.NEXT, Order.NEXT, Order.JUMPED, Order.NEXT]


def test_several_late_stamps_in_a_row_mean_that_time_jumped() -> None:
    found = orders(1.0, 1.3, 1.0, 1.05, 1.1, 1.15, 1.2, 1.25)
    assert found == [Order.NEXT] * 2 + [Order.LATE] * 4 + [Order.JUMPED, Order.NEXT]


def test_after_a_reset_every_stamp_is_next() -> None:
    order = StampOrder()
    order.check(5 * SECOND)
    order.reset()
    assert order.check(1) is Order.NEXT
