"""Ranges of options: a value outside of them is refused by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

INFINITE = float('inf')


def require_positive(options: object, *names: str) -> None:
    """Raise a ValueError for a field that is not positive and finite."""
    require(options, names, lambda value: 0 < value < INFINITE, 'positive and finite')


def require_not_negative(options: object, *names: str) -> None:
    """Raise a ValueError for a field that is negative or not finite."""
    require(options, names, lambda value: 0 <= value < INFINITE, '0 or more, and finite')


def require_share(options: object, *names: str) -> None:
    """Raise a ValueError for a field that is no share of a whole."""
    require(options, names, lambda value: 0 <= value <= 1, 'between 0 and 1')


def require_at_least(least: int, options: object, *names: str) -> None:
    """Raise a ValueError for a field that is below a limit."""
    require(options, names, lambda value: value >= least, f'at least {least}')


def require(
    options: object, names: tuple[str, ...], holds: Callable[[Any], bool], expected: str
) -> None:
    """Raise a ValueError for a field of which something does not hold."""
    for name in names:
        value = getattr(options, name)
        if not holds(value):
            raise ValueError(f'{name} must be {expected}, not {value!r}')
