"""Processes that a live run starts, and that never outlive it."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

STOP_TIMEOUT_S = 15.0
LOG_LINES = 15
# Those above 101 collide with the ephemeral ports of Linux.
DOMAINS = 100
RESERVATION_PORT = 47_000
# The first participant of domain 0 listens here.
DDS_PORT, DDS_PORTS_PER_DOMAIN = 7410, 250
PR_SET_PDEATHSIG = 1
PROFILE = 'fastdds.xml'
PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
LARGE_MESSAGES = """\
<?xml version="1.0" encoding="UTF-8"?>
<!-- Shared memory for images: with the 512 KB of the default, of two large images published
     at one time the first is overwritten before a busy subscriber has read it. -->
<dds xmlns="http://www.eprosima.com">
  <profiles>
    <transport_descriptors>
      <transport_descriptor>
        <transport_id>shared_memory</transport_id>
        <type>SHM</type>
        <segment_size>67108864</segment_size>
      </transport_descriptor>
      <transport_descriptor>
        <transport_id>udp</transport_id>
        <type>UDPv4</type>
      </transport_descriptor>
    </transport_descriptors>
    <participant profile_name="large_messages" is_default_profile="true">
      <rtps>
        <userTransports>
          <transport_id>shared_memory</transport_id>
          <transport_id>udp</transport_id>
        </userTransports>
        <useBuiltinTransports>false</useBuiltinTransports>
      </rtps>
    </participant>
  </profiles>
</dds>
"""
_LIBC = ctypes.CDLL(None) if sys.platform == 'linux' else None


class LiveError(ChildProcessError):
    """A live run could not do what it is for; the message says why."""


class Process:
    """A Python module in a process of its own; stopped as it leaves the `with` statement.

    Its standard output and errors go to a log, or, with `talks`, its standard output is read as
    one JSON object per line.
    """

    def __init__(self, name: str, module: str, arguments: Sequence[str], log: Path) -> None:
        """Remember what to start.

        Args:
            name: What messages call it.
            module: What `python -m` runs.
            arguments: Of the command line.
            log: File for what it writes.

        """
        self.name = name
        self.log = log
        self.events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._command = [sys.executable, '-m', module, *arguments]
        self._process: subprocess.Popen[str] | None = None

    def start(self, environment: dict[str, str], *, talks: bool) -> None:
        """Start it in a session of its own: Ctrl-C in the terminal reaches only this process."""
        with self.log.open('w', encoding='utf-8') as log:
            self._process = subprocess.Popen(
                self._command,
                env=environment,
                text=True,
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        if talks:
            threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it runs or before it started."""
        return None if self._process is None else self._process.poll()

    def check(self) -> None:
        """Make sure that it is alive.

        Raises:
            LiveError: It has ended.

        """
        if self.exit_code is not None:
            raise self.error(f'ended unexpectedly with exit code {self.exit_code}')

    def error(self, problem: str) -> LiveError:
        """Describe a problem, with the last lines of the log."""
        lines = self.log.read_text(encoding='utf-8', errors='replace').splitlines()[-LOG_LINES:]
        log = '\n'.join(f'  {line}' for line in lines) or '  (nothing)'
        return LiveError(f'{self.name} {problem}. The last lines of its log:\n{log}')

    def send(self, line: str) -> None:
        """Write a line to its standard input."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(f'{line}\n')
            self._process.stdin.flush()

    def stop(self) -> int | None:
        """End it: gently, then with SIGTERM, then by force; returns the exit code."""
        process = self._process
        if process is None:
            return None
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it has ended already
                process.stdin.close()
        elif process.poll() is None:
            process.send_signal(signal.SIGINT)
        for how in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(STOP_TIMEOUT_S)
            process.send_signal(how)
        return process.wait()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.events.put(json.loads(line))


def check_ros() -> None:
    """Make sure that the node can be started.

    Raises:
        LiveError: ROS or the messages are missing.

    """
    missing = [
        name for name in ('rclpy', 'loftr_ros.msg') if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise LiveError(
            f'{" and ".join(missing)} cannot be imported. Run `make env` and use '
            '.venv/bin/loftr-ros, or source your ROS 2 installation and the workspace that '
            'loftr_ros was built in.'
        )


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that it leaves no processes behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@functools.cache
def reserve_domain() -> tuple[int, socket.socket]:
    """Find a ROS domain that no other program on this machine uses.

    Returns:
        The domain, which is that of this process as long as it lives, and what reserves it.

    Raises:
        LiveError: All are taken.

    """
    for offset in range(DOMAINS):
        domain = 1 + (os.getpid() + offset) % DOMAINS
        reservation = _bind('127.0.0.1', RESERVATION_PORT + domain)
        used_by_dds = _bind('', DDS_PORT + DDS_PORTS_PER_DOMAIN * domain)
        if reservation is not None and used_by_dds is not None:
            used_by_dds.close()
            return domain, reservation
    raise LiveError(f'all ROS domains from 1 to {DOMAINS} are in use on this machine')


def _bind(host: str, port: int) -> socket.socket | None:
    """Return a socket at a UDP port that nobody else has."""
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        found.bind((host, port))
    except OSError:
        found.close()
        return None
    return found


def ros_environment(folder: Path) -> dict[str, str]:
    """Return an environment whose ROS graph no other program on this machine shares.

    Unless the user has a profile, Fast DDS gets one in `folder` that loses no large images.
    """
    environment = {
        **os.environ,
        'ROS_DOMAIN_ID': str(reserve_domain()[0]),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'ROS_LOG_DIR': str(folder),
        'PYTHONUNBUFFERED': '1',
    }
    if environment.get('ROS_DISTRO') == 'humble':  # which does not know the discovery range
        environment['ROS_LOCALHOST_ONLY'] = '1'
    if not any(name in environment for name in (*PROFILE_VARIABLES, 'FASTDDS_BUILTIN_TRANSPORTS')):
        profile = folder / PROFILE
        profile.write_text(LARGE_MESSAGES, encoding='utf-8')
        environment |= dict.fromkeys(PROFILE_VARIABLES, str(profile))
    return environment


def _end_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
