"""How commands show what they do: the console, and bars that count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import MofNCompleteColumn, Progress, ProgressColumn, TimeRemainingColumn
from rich.segment import Segment

from loftr_ros.texts import LAYOUT, printable

if TYPE_CHECKING:
    from collections.abc import Iterable


class PrintableConsole(Console):
    """A console that spells out control characters, as names of files and topics may hold them."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Return the pieces of what is printed; those of rich itself may control the terminal."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text, keep=LAYOUT), segment.style)


def new_console() -> Console:
    """Return the console of standard output; files and pipes get lines wide enough for tables."""
    console = PrintableConsole()
    return console if console.is_terminal else PrintableConsole(width=140)


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
