"""Where sequences run: in this process, and what every place has in common."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from loftr_ros.evaluation.records.result_files import write_json
from loftr_ros.evaluation.records.results import SEQUENCE, SequenceFolder, SequenceInfo
from loftr_ros.evaluation.replay.sequence_run import Listener, run_sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from typing_extensions import Self

    from loftr_ros.evaluation.replay.task import SequenceTask
    from loftr_ros.settings.parameters import NodeParameters

    Stopped = Callable[[], bool]

MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class Outcome:
    """What became of a sequence.

    Attributes:
        info: As in its sequence.json.
        attempts: How often it was started.

    """

    info: SequenceInfo
    attempts: int = 1


class Watcher(Protocol):
    """Shows how sequences go on."""

    def opened(self, name: str, found: str) -> None:
        """Show what was found and chosen."""

    def advanced(self, name: str, done: int, total: int) -> None:
        """Show the numbers of frames done and announced."""

    def retried(self, name: str, problem: str) -> None:
        """Show that a task failed and starts again."""

    def finished(self, info: SequenceInfo) -> None:
        """Show what became of a sequence."""


def prepare_process(parameters: NodeParameters) -> None:
    """Make the results of this process independent of where and beside what it runs."""
    import cv2
    import torch

    torch.set_num_threads(parameters.matcher.num_threads)
    cv2.setNumThreads(parameters.matcher.num_threads)
    if torch.cuda.is_available():
        # Sums in the order that the threads of a GPU happen to finish in differ from run to run.
        torch.use_deterministic_algorithms(mode=True, warn_only=True)


class StopRequest:
    """Ctrl-C asks to stop, so that no step is left half done; the second one interrupts."""

    def __init__(self) -> None:
        self._asked = False
        self._before: Any = None

    def __enter__(self) -> Self:
        """Listen, if this is the thread that receives signals."""
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave Ctrl-C as it was."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def __call__(self) -> bool:
        """Return whether the user asked to stop."""
        return self._asked

    def _ask(self, *_: object) -> None:
        self._asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


class WatchedSequence(Listener):
    """Reports to a watcher how one sequence goes on."""

    def __init__(self, name: str, watcher: Watcher, stopped: Stopped) -> None:
        self._name = name
        self._watcher = watcher
        self._stopped = stopped

    def stopped(self) -> bool:
        """Return whether to stop."""
        return self._stopped()

    def opened(self, found: str) -> None:
        """Report what was found and chosen."""
        self._watcher.opened(self._name, found)

    def advanced(self, done: int, total: int) -> None:
        """Report the numbers of frames done and announced."""
        self._watcher.advanced(self._name, done, total)


def run_here(
    tasks: Iterable[SequenceTask],
    matcher: Any,  # noqa: ANN401 - of any features
    watcher: Watcher,
    stopped: Stopped,
) -> Iterator[Outcome]:
    """Run one sequence after the other in this process, until `stopped` says so."""
    for task in tasks:
        info = run_sequence(task, matcher, WatchedSequence(task.name, watcher, stopped))
        watcher.finished(info)
        yield Outcome(info)
        if info.status == 'interrupted':
            return


def abandoned(task: SequenceTask, problem: str) -> SequenceInfo:
    """Note in its folder that a task failed whenever it was started."""
    if (task.folder / SEQUENCE).is_file():
        info = SequenceFolder.open(task.folder).info
    else:
        info = task.unopened(problem)
    info = replace(info, status='failed', error=problem)
    write_json(task.folder / SEQUENCE, info)
    return info
