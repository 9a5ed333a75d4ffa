"""Processes of a live run have a ROS domain that nobody else on the machine uses."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from loftr_ros.evaluation.live import processes
from loftr_ros.evaluation.live.processes import LiveError, reserve_domain

reserve = reserve_domain.__wrapped__


@pytest.fixture
def other() -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as found:
        yield found


def test_two_reservations_are_two_domains() -> None:
    first, reservation = reserve()
    with closing(reservation):
        second, other_reservation = reserve()
        other_reservation.close()
    assert first != second
    assert os.environ['ROS_DOMAIN_ID'] not in {str(first), str(second)}


def test_a_domain_with_a_dds_participant_is_in_use(other: socket.socket) -> None:
    free, reservation = reserve()
    reservation.close()
    other.bind(('', 7410 + 250 * free))
    found, reservation = reserve()
    reservation.close()
    assert found != free


def test_without_a_free_domain_the_reason_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, '_bind', lambda *_: None)
    with pytest.raises(LiveError, match='all ROS domains from 1 to 100 are in use'):
        reserve()
