"""A live run as the terminal shows it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rich.progress import TextColumn, TimeElapsedColumn

from loftr_ros.console import counting_bar
from loftr_ros.data.bags.messages import STATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from loftr_ros.evaluation.live.session import LiveSession, Progress


def run_session(
    session: LiveSession, labels: Sequence[str], total: int, console: Console
) -> list[Progress]:
    """Play the bag once for each label, and end everything in order.

    Args:
        session: The run, not started yet.
        labels: What to call each time.
        total: Number of images of the bag.
        console: Where to show it.

    Returns:
        How far the run was after each time.

    Raises:
        LiveError: A process failed or nothing came out.

    """
    with session:
        with console.status('starting the node, a camera and a recorder'):
            session.wait_until_ready()
        found = [_play(session, label, total, console) for label in labels]
        found[-1] = session.finish()
    if not found[-1].results:
        raise session.node.error('published no result')
    return found


def _play(session: LiveSession, label: str, total: int, console: Console) -> Progress:
    columns = TimeElapsedColumn(), TextColumn('{task.fields[status]}')
    with counting_bar(console, *columns, transient=False) as bar:
        task = bar.add_task(label, total=total, status='')
        session.play(
            lambda progress: bar.update(
                task, completed=len(progress.sent), status=_status(progress)
            )
        )
    return replace(session.progress)


def _status(progress: Progress) -> str:
    state = progress.result.get('state', 0)
    dropped = progress.value('processing', 'dropped') or '0'
    text = f'{progress.results} results, {dropped} dropped'
    return f'{text}, {STATES[state]}' if progress.result else text
