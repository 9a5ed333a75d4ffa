"""Download of one verified file, with progress, a time limit and a size limit."""

from __future__ import annotations

import http.client
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from rich.progress import Progress

from loftr_ros.matching.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

CHUNK = 1 << 16
TIMEOUT_S = 20.0
"""How long a server may be silent, and how long it may be slow."""
TOTAL_S = 1800.0
SLOWEST = 10_000
"""Less on average ends the download after `TIMEOUT_S`, bytes per second."""
POLL_S = 0.1


def download(
    urls: Sequence[str], path: Path, is_genuine: Callable[[bytes], bool], max_bytes: int
) -> None:
    """Fetch a file into memory, verify it, and only then put it in place.

    Args:
        urls: Where it is, the place to ask first first.
        path: Where to put it.
        is_genuine: Whether the content is that of the file.
        max_bytes: A larger one is not that file.

    Raises:
        WeightsError: No place delivers the expected file; says why, and where to put it by hand.
    """
    problems = []
    for url in urls:
        content, problem = _attempt(url, path.name, max_bytes)
        if content is not None and is_genuine(content):
            partial = path.with_suffix('.partial')
            partial.write_bytes(content)
            partial.replace(path)
            return
        problems.append(problem or f'{url} did not deliver the expected file (hash differs)')
    by_hand = f'Put the file {path.name} at {path} by hand (a copy is at {urls[0]}).'
    raise WeightsError(f'{"; ".join(problems)}. {by_hand}')


def _attempt(url: str, name: str, max_bytes: int) -> tuple[bytes | None, str]:
    """Content of a file, or why there is none."""
    try:
        return _fetch(url, name, max_bytes), ''
    except (urllib.error.URLError, OSError, http.client.HTTPException, ValueError) as error:
        return None, f'could not download {url} ({error})'


def _fetch(url: str, name: str, max_bytes: int) -> bytes:
    transfer = _Transfer(url, max_bytes)
    transfer.start()
    start = time.monotonic()
    with Progress() as progress:
        task = progress.add_task(f'Downloading {name}', total=None)
        while transfer.is_alive():
            transfer.join(POLL_S)
            received, seconds = len(transfer.content), time.monotonic() - start
            progress.update(task, completed=received, total=transfer.length)
            slow = seconds > TIMEOUT_S and received < SLOWEST * seconds
            if slow or seconds > TOTAL_S:
                transfer.abandoned = True
                raise TimeoutError(f'{received} bytes in {seconds:.0f} s')
    if transfer.error is not None:
        raise transfer.error
    return bytes(transfer.content)


class _Transfer(threading.Thread):
    """One answer of a server, in a thread that nobody waits for longer than he likes.

    The timeout of a socket begins anew with each byte, be it of the header.
    """

    def __init__(self, url: str, max_bytes: int) -> None:
        super().__init__(name='loftr-download', daemon=True)
        self.content = bytearray()
        self.length: int | None = None
        self.error: Exception | None = None
        self.abandoned = False
        self._url = url
        self._max_bytes = max_bytes

    def run(self) -> None:
        try:
            self._receive()
        except Exception as error:  # belongs to the thread that waits
            self.error = error

    def _receive(self) -> None:
        # Addresses are those of the catalogue.
        with urllib.request.urlopen(self._url, timeout=TIMEOUT_S) as response:  # nosec B310
            length = response.headers.get('Content-Length') or ''
            self.length = int(length) if length.isdecimal() else None
            self._check_size(self.length or 0)
            # Unlike read, read1 returns what has come.
            while not self.abandoned and (part := response.read1(CHUNK)):
                self.content += part
                self._check_size(len(self.content))
        if self.length is not None and len(self.content) < self.length:
            raise ConnectionError(f'it ended after {len(self.content)} of {self.length} bytes')

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise ValueError(f'it is larger than {self._max_bytes} bytes')
