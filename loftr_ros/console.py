"""How commands show what they do: the console, and bars that count."""

from __future__ import annotations

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, ProgressColumn, TimeRemainingColumn


def new_console() -> Console:
    """Return the console of standard output; files and pipes get lines wide enough for tables."""
    console = Console()
    return console if console.is_terminal else Console(width=140)


def counting_bar(console: Console, *columns: ProgressColumn, transient: bool = True) -> Progress:
    """Make a bar that counts, with further columns; that of the time left unless others are given.

    Args:
        console: Where to show it.
        columns: What stands beside it.
        transient: Whether it disappears in the end.

    """
    standard = (*Progress.get_default_columns()[:2], MofNCompleteColumn())
    beside = columns or (TimeRemainingColumn(),)
    return Progress(*standard, *beside, console=console, transient=transient)
