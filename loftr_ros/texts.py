"""Texts that come from elsewhere, as they may be shown."""

from __future__ import annotations


def shortened(text: str, length: int = 80) -> str:
    """Return the beginning of a text that may be of any length, without control characters."""
    shown = ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: length + 1])
    return shown if len(text) <= length else f'{shown[:length]}... ({len(text)} characters)'
