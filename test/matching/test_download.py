"""A server that hangs, drips or never ends costs a bounded time and memory."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import (
    Send,
    announced,
    endless,
    no_http,
    no_length,
    serving,
    silent,
    slow_body,
    slow_chunks,
    slow_header,
    truncated,
)

from loftr_ros.matching import download as module
from loftr_ros.matching.download import download
from loftr_ros.matching.errors import WeightsError


@pytest.mark.parametrize(
    ('answer', 'reason'),
    [
        (slow_body, r'\d+ bytes in 1 s'),
        (slow_header, '0 bytes in 1 s'),
        (slow_chunks, r'\d+ bytes in 1 s'),
        (silent, r'timed out|0 bytes in 1 s'),
        (endless, 'larger than 1000000 bytes'),
        (announced, 'larger than 1000000 bytes'),
        (truncated, 'ended after 999 of 1000 bytes'),
        (no_length, 'hash differs'),
        (no_http, 'could not download'),
    ],
)
def test_a_server_that_does_not_deliver_ends_in_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[[Send], None], reason: str
) -> None:
    monkeypatch.setattr(module, 'TIMEOUT_S', 0.6)
    start = time.monotonic()
    with serving(answer) as url, pytest.raises(WeightsError, match=reason):
        download([url], tmp_path / 'w.ckpt', lambda _: False, 10**6)
    assert time.monotonic() - start < 10
    assert not list(tmp_path.iterdir())


def test_a_download_ends_at_the_total_time_however_quick_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'TOTAL_S', 0.5)
    with serving(endless) as url, pytest.raises(WeightsError, match='bytes in 1 s'):
        download([url], tmp_path / 'w.ckpt', lambda _: True, 10**12)


def test_the_next_place_is_asked_where_one_drips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'TIMEOUT_S', 0.6)
    with serving(slow_body) as first, serving(no_length) as second:
        download([first, second], tmp_path / 'w.ckpt', b'weights'.__eq__, 10**6)
    assert (tmp_path / 'w.ckpt').read_bytes() == b'weights'


def test_a_command_that_waits_for_a_server_obeys_sigterm(tmp_path: Path) -> None:
    with serving(slow_body) as url:
        code = (
            'from pathlib import Path; from loftr_ros.matching.download import download;'
            f"print('begin', flush=True);"
            f'download([{url!r}], Path({str(tmp_path / "w")!r}), lambda _: True, 10**6)'
        )
        process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b'begin\n'
        time.sleep(0.5)
        start = time.monotonic()
        process.terminate()
        process.wait(10)
        process.stdout.close()
    assert time.monotonic() - start < 2
