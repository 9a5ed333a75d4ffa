"""Texts of others are short and harmless where they are shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loftr_ros.texts import printable, shortened


def test_what_is_cut_says_how_long_it_was() -> None:
    assert shortened('x' * 10**6, 5) == 'xxxxx... (1000000 characters)'
    assert shortened('short') == 'short'


def test_a_terminal_gets_no_command() -> None:
    assert printable('/topic\x1b[2J\x07\n') == r'/topic\x1b[2J\x07\n'
    assert printable('a\nb\t', keep='\n') == 'a\nb\\t'
    assert printable('K\u00fcche') == 'K\u00fcche'


@given(st.text(max_size=300))
def test_whatever_the_text_it_is_printable_and_short(text: str) -> None:
    assert shortened(text, 50).isprintable()
    assert len(shortened(text, 50)) < 100
