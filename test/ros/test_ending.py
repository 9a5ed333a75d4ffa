"""A signal ends the process with 0, soon, whatever it is doing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor

from loftr_ros.ros.ending import ending_on_signals

STOPS = Path(__file__).parents[1] / 'helpers' / 'stops.py'
COUNT = os.environ.get('LOFTR_ROS_STOPS', '4')


def test_stops_while_frames_arrive_end_with_0_within_2_seconds(tmp_path: Path) -> None:
    command = [sys.executable, str(STOPS), COUNT, str(tmp_path / 'log')]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    stops = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(stops) == int(COUNT)
    assert not [stop for stop in stops if stop['code'] or stop['s'] > 2], result.stderr


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_spinning_and_raises_nothing(number: signal.Signals) -> None:
    context = rclpy.Context()
    rclpy.init(context=context)
    executor = SingleThreadedExecutor(context=context)
    before = signal.getsignal(number)
    with ending_on_signals() as ending:
        assert not ending.is_set()
        os.kill(os.getpid(), number)
        ending.spin(executor)
        assert ending.is_set()
    assert signal.getsignal(number) is before
    executor.shutdown()
    rclpy.shutdown(context=context)


def test_without_a_signal_the_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with ending_on_signals() as ending:
        assert not ending.is_set()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ('arguments', 'complaint'),
    [
        (['--log-level', 'loud'], 'loud'),
        (['-r', 'nonsense'], 'nonsense'),
        (['-r', '__node:=two words'], 'two words'),
        (['-p', 'mode:=video'], 'mode'),
    ],
)
def test_a_wrong_argument_is_a_sentence_and_no_traceback(
    arguments: list[str], complaint: str
) -> None:
    command = [sys.executable, '-m', 'loftr_ros.ros.node', '--ros-args', *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert complaint in result.stderr
    assert 'Traceback' not in result.stderr
