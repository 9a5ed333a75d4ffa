"""Shows the progress of many sequences with rate and time left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console
    from rich.progress import TaskID
    from typing_extensions import Self

    from loftr_ros.evaluation.records.results import SequenceInfo


class RateColumn(ProgressColumn):
    """Frames per second."""

    def render(self, task: Task) -> Text:
        """Show the rate once it is known."""
        speed = task.finished_speed or task.speed
        return Text('' if speed is None else f'{speed:.1f}/s', style='progress.data.speed')


class RunProgress:
    """A bar for each running sequence, and lines for what was found and what became of it."""

    def __init__(self, console: Console, sequences: int) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn('{task.description}'),
            BarColumn(),
            MofNCompleteColumn(),
            RateColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._all = self._bars.add_task('sequences', total=sequences, visible=sequences > 1)

    def __enter__(self) -> Self:
        """Start to show bars."""
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the bars."""
        self._bars.stop()

    def opened(self, name: str, found: str) -> None:
        """Say what was found and chosen."""
        self._print(f'{name}: {found}')

    def advanced(self, name: str, done: int, total: int) -> None:
        """Move the bar of a sequence."""
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total)
        self._bars.update(self._tasks[name], completed=done, total=total)

    def retried(self, name: str, problem: str) -> None:
        """Say that a task failed and starts again."""
        self._print(f'{name}: {problem}; it is started again')

    def finished(self, info: SequenceInfo) -> None:
        """Say what became of a sequence."""
        for warning in info.warnings:
            self._print(f'{info.name}: warning: {warning}')
        self._print(f'{info.name}: {info.status}' + (f': {info.error}' if info.error else ''))
        if info.name in self._tasks:
            self._bars.remove_task(self._tasks.pop(info.name))
        self._bars.advance(self._all)

    def _print(self, text: str) -> None:
        # Paths and topics are no markup, and are not to be broken into lines or coloured.
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
