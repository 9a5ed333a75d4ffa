"""Texts that come from elsewhere, as they may be shown."""

from __future__ import annotations


def shortened(text: str, length: int = 80) -> str:
    """Return the beginning of a text that may be of any length, without control characters."""
    shown = printable(text[: length + 1])
    if len(shown) <= length:
        return shown
    return f'{shown[:length]}... ({len(text)} characters)'


def printable(text: str, keep: str = '') -> str:
    """Return a text whose control characters are spelled out, which a terminal would obey."""
    return ''.join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)
