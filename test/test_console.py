"""What commands print cannot control a terminal, whatever the names of files and topics."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from loftr_ros.console import PrintableConsole, counting_bar
from loftr_ros.texts import say

# Some others, such as the bell, rich leaves out by itself.
EVIL = '/topic\x1b]0;title\x1b[2J\x9b31m\u202e'
SHOWN = r'/topic\x1b]0;title\x1b[2J\x9b31m\u202e'


def shown_by(*renderables: object, **options: bool) -> str:
    file = io.StringIO()
    console = PrintableConsole(file=file, width=200)
    for renderable in renderables:
        console.print(renderable, **options)  # type: ignore[arg-type]
    return file.getvalue()


def test_lines_tables_and_bars_spell_control_characters_out() -> None:
    table = Table('name')
    table.add_row(EVIL)
    assert shown_by(EVIL, markup=False) == f'{SHOWN}\n'
    assert r'/topic\x1b' in shown_by(table)  # whose columns were measured before
    assert '\x1b' not in shown_by(table)
    file = io.StringIO()
    console = PrintableConsole(file=file, width=200)
    with counting_bar(console, transient=False) as bars:
        bars.add_task(EVIL, total=3)
    assert r'/topic\x1b' in file.getvalue()
    assert '\x1b' not in file.getvalue()


def test_a_terminal_still_has_colours_and_lines() -> None:
    file = io.StringIO()
    console = PrintableConsole(file=file, force_terminal=True, width=200)
    console.print('[red]one[/red]\ntwo')
    assert '\x1b[31mone' in file.getvalue()
    assert file.getvalue().count('\n') == 2


@given(st.text(max_size=100))
def test_whatever_the_text_a_terminal_gets_no_command(text: str) -> None:
    plain = shown_by(text, markup=False, soft_wrap=True)
    assert all(c.isprintable() or c in '\n\t' for c in plain)


def test_lines_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    say(f'{EVIL}\nsecond')
    say(EVIL, error=True)
    assert capsys.readouterr() == (f'{SHOWN}\nsecond\n', f'{SHOWN}\n')
