"""Texts that come from elsewhere, as they may be shown."""

from __future__ import annotations

import sys

LAYOUT = '\n\t'
"""Control characters that only lay out a text."""


def shortened(text: str, length: int = 80) -> str:
    """Return the beginning of a text that may be of any length, without control characters."""
    shown = printable(text[: length + 1])
    if len(shown) <= length:
        return shown
    return f'{shown[:length]}... ({len(text)} characters)'


def printable(text: str, keep: str = '') -> str:
    """Return a text whose control characters are spelled out, which a terminal would obey."""
    return ''.join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)


def say(text: str, *, error: bool = False) -> None:
    """Print lines to standard output or standard error, with control characters spelled out."""
    print(printable(text, keep=LAYOUT), file=sys.stderr if error else sys.stdout)
