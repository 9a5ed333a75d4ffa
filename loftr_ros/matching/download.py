"""Download of one verified file, with progress."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from rich.progress import Progress

from .errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHUNK = 1 << 16
TIMEOUT_S = 20.0


def download(url: str, path: Path, is_genuine: Callable[[bytes], bool]) -> None:
    """Fetch a file into memory, verify it, and only then put it in place.

    Raises:
        WeightsError: Offline, broken off, or not the expected file; says where to put it by hand.
    """
    by_hand = f'Put the file {path.name} at {path} by hand (a copy is at {url}).'
    try:
        content = _fetch(url, path.name)
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        raise WeightsError(f'could not download {url} ({error}). {by_hand}') from error
    if not is_genuine(content):
        raise WeightsError(f'{url} did not deliver the expected file (hash differs). {by_hand}')
    partial = path.with_suffix('.partial')
    partial.write_bytes(content)
    partial.replace(path)


def _fetch(url: str, name: str) -> bytes:
    parts = []
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response, Progress() as progress:
        length = response.headers.get('Content-Length')
        task = progress.add_task(f'Downloading {name}', total=int(length) if length else None)
        while part := response.read(CHUNK):
            parts.append(part)
            progress.advance(task, len(part))
    return b''.join(parts)
