"""Bags whose every match is known, and tasks that fail on purpose; processes import them."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from loftr_ros.data.bags.writer import BagWriter
from loftr_ros.evaluation.replay.ray import read_files
from loftr_ros.evaluation.replay.sequence_run import Listener, run_sequence
from loftr_ros.evaluation.replay.task import InputChoice, ReplayOptions, SequenceTask
from loftr_ros.geometry import Camera
from loftr_ros.geometry.transforms import make_transform
from loftr_ros.settings.parameters import NodeParameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from test.frontend.conftest import World
else:
    # Processes that are spawned find Python's own package `test` under that name.
    SPEC = importlib.util.spec_from_file_location(
        'known_world_of_frontend', Path(__file__).parents[1] / 'frontend' / 'conftest.py'
    )
    sys.modules[SPEC.name] = importlib.util.module_from_spec(SPEC)
    SPEC.loader.exec_module(sys.modules[SPEC.name])
    World = sys.modules[SPEC.name].World

JSON_FILES = ('run.json', 'summary.json', 'sequence.json', 'frames.jsonl')
BIT_IDENTICAL = (*JSON_FILES, '.tum', '.kitti', '.npz', '.jpg')


class KnownMatcher(World):
    """A matcher with all that the command asks of one."""

    weights_name = 'known'
    weights_hash = '0' * 64
    device = 'cpu'
    precision = 'float32'
    confidence_threshold = 0.2

    def position(self, index: int) -> NDArray[np.float64]:
        """Return the place of a camera; paths on one line cannot be aligned."""
        return np.array([*self.step]) * index + [0.0, 0.1 * np.sin(index), 0.0]


def known_matcher(_: NodeParameters | None = None) -> KnownMatcher:
    """Make a matcher whose errors have a standard deviation of 0.1 px."""
    camera = Camera(240, 180, np.array([[190, 0, 119.5], [0, 190, 89.5], [0, 0, 1]]))
    return KnownMatcher(noise=0.1, camera=camera, step=(0.15, 0.0, 0.06))


def write_known_bag(
    path: Path,
    indices: list[int],
    *,
    truth: bool = True,
    storage: str = 'mcap',
    stamps: list[int] | None = None,
) -> Path:
    """Write frames of the known world, by their numbers (0 is black), with true poses."""
    world = known_matcher()
    with BagWriter(path, storage) as bag:
        for place, index in enumerate(indices):
            stamp = stamps[place] if stamps else 10**9 + place * 10**8
            bag.write_frame('/camera', world.frame(index, stamp), 10**9 + place * 10**8)
            if truth:
                pose = make_transform(np.eye(3), world.position(index))
                bag.write_pose('/ground_truth/pose', pose, stamp)
    return path


def task_of(
    path: Path,
    folder: Path,
    mode: str = 'mono',
    parameters: Mapping[str, object] | None = None,
    **options: Any,  # noqa: ANN401
) -> SequenceTask:
    """Make a task of one thread; `options` are those of `ReplayOptions`."""
    values = {'matcher.num_threads': 1, **(parameters or {})}
    return SequenceTask(
        name=path.name,
        path=path,
        folder=folder,
        parameters=NodeParameters().with_values(values),
        choice=InputChoice(mode=mode),
        options=ReplayOptions(**options),
    )


def run_known(task: SequenceTask, listener: Listener | None = None) -> Any:  # noqa: ANN401
    return run_sequence(task, known_matcher(), listener)


def results_of(folder: Path) -> dict[str, bytes]:
    """Read all files that must be the same whenever a run is repeated."""
    files = (path for path in sorted(folder.rglob('*')) if path.name.endswith(BIT_IDENTICAL))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def dies_once(task: SequenceTask, *_: object) -> None:
    """End the process at the first attempt; run the task at the second."""
    mark = task.folder.parent / f'{task.name}.died'
    if not mark.exists():
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        os._exit(9)
    run_known(task)


def dies_always(*_: object) -> None:
    os._exit(9)


def waits_to_be_stopped(task: SequenceTask, events: Any, stop: Any) -> None:  # noqa: ANN401
    """Run until the pool is stopped, whatever the length of the input."""

    class Slow(Listener):
        def advanced(self, done: int, total: int) -> None:
            events.put(('advanced', task.name, done, total))
            if done == 3:
                stop.wait()

        def stopped(self) -> bool:
            return bool(stop.is_set())

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run_known(task, Slow())


def dies_once_on_ray(task: SequenceTask, *_: object) -> dict[str, bytes]:
    """End the process at the first attempt at the bag `first`; else run."""
    mark = task.path.parent / 'died'
    if task.name == 'first' and not mark.exists():
        mark.touch()
        os._exit(9)
    with tempfile.TemporaryDirectory() as folder:
        run_known(replace(task, folder=Path(folder) / task.name))
        return read_files(Path(folder) / task.name)
