"""Values out of their range are refused by name, with what is expected and what was given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from loftr_ros.ranges import (
    require_at_least,
    require_not_negative,
    require_positive,
    require_share,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NAN, INFINITE = float('nan'), float('inf')


@pytest.mark.parametrize(
    ('check', 'good', 'bad', 'expected'),
    [
        (require_positive, [1e-9, 1e9], [0.0, -1.0, NAN, INFINITE], 'positive and finite'),
        (require_not_negative, [0.0, 1e9], [-1e-9, NAN, INFINITE], '0 or more, and finite'),
        (require_share, [0.0, 1.0], [-1e-9, 1.1, NAN], 'between 0 and 1'),
    ],
)
def test_a_range_holds_its_ends_and_no_nan(
    check: Callable[..., None], good: list[float], bad: list[float], expected: str
) -> None:
    for value in good:
        check(SimpleNamespace(speed=value), 'speed')
    for value in bad:
        with pytest.raises(ValueError, match=f'speed must be {expected}, not {value}'):
            check(SimpleNamespace(speed=value), 'speed')


def test_the_field_that_is_wrong_is_named_of_several() -> None:
    options = SimpleNamespace(first=8, second=7)
    require_at_least(7, options, 'first', 'second')
    with pytest.raises(ValueError, match='second must be at least 8, not 7'):
        require_at_least(8, options, 'first', 'second')
