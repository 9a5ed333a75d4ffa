"""Download of one verified file, with progress."""

from __future__ import annotations

import http.client
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


def download(urls: Sequence[str], path: Path, is_genuine: Callable[[bytes], bool]) -> None:
    """Fetch a file into memory, verify it, and only then put it in place.

    Args:
        urls: Where it is, the place to ask first first.
        path: Where to put it.
        is_genuine: Whether the content is that of the file.

    Raises:
        WeightsError: No place delivers the expected file; says why, and where to put it by hand.
    """
    problems = []
    for url in urls:
        content, problem = _attempt(url, path.name)
        if content is not None and is_genuine(content):
            partial = path.with_suffix('.partial')
            partial.write_bytes(content)
            partial.replace(path)
            return
        problems.append(problem or f'{url} did not deliver the expected file (hash differs)')
    by_hand = f'Put the file {path.name} at {path} by hand (a copy is at {urls[0]}).'
    raise WeightsError(f'{"; ".join(problems)}. {by_hand}')


def _attempt(url: str, name: str) -> tuple[bytes | None, str]:
    """Content of a file, or why there is none."""
    try:
        return _fetch(url, name), ''
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        return None, f'could not download {url} ({error})'


def _fetch(url: str, name: str) -> bytes:
    parts = []
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response, Progress() as progress:
        length = response.headers.get('Content-Length')
        task = progress.add_task(f'Downloading {name}', total=int(length) if length else None)
        while part := response.read(CHUNK):
            parts.append(part)
            progress.advance(task, len(part))
    return b''.join(parts)
