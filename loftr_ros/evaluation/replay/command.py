"""The command `loftr-ros evaluate`: every frame of bags and datasets through the tracker."""

from __future__ import annotations

import dataclasses
import fcntl
import importlib.metadata
import os
import platform
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loftr_ros.console import new_console
from loftr_ros.data.errors import DatasetError
from loftr_ros.evaluation.records.result_files import plain, read_json, write_json
from loftr_ros.evaluation.records.results import (
    RUN,
    SEQUENCES,
    SUMMARY,
    TIMING,
    RunInfo,
    SequenceFolder,
    open_run,
)
from loftr_ros.evaluation.records.summaries import summarize_times, total_of
from loftr_ros.evaluation.replay.backends import Outcome, StopRequest, prepare_process, run_here
from loftr_ros.evaluation.replay.inputs import names_of
from loftr_ros.evaluation.replay.progress import RunProgress
from loftr_ros.evaluation.replay.task import MODES, InputChoice, ReplayOptions, SequenceTask
from loftr_ros.evaluation.reports.html_report import REPORT, write_report
from loftr_ros.frontend.place_files import load_places
from loftr_ros.settings.matcher import load_matcher
from loftr_ros.settings.parameters import NodeParameters
from loftr_ros.version import package_version
from loftr_ros.visualization.rerun_recording import require_rerun

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PACKAGES = ('torch', 'numpy', 'opencv-python-headless', 'poselib', 'scipy', 'evo', 'rosbags')


@dataclass(frozen=True, kw_only=True)
class EvaluateCommand:
    """What to evaluate, and how.

    Attributes:
        inputs: Bags and folders of datasets.
        output: Folder for the results.
        parameters: Of the node; `matcher.num_threads` 0 counts as 1, so that results do not depend
            on the machine's load or on how many sequences run side by side.
        choice: What is read of each input.
        options: How each is run. Those that load or save places look for loops, too, and places
            are saved of a single input.
        jobs: Sequences side by side; None for one per CPU, if there are several.
        ray: Address of a Ray cluster, 'local' to start one here; None uses no Ray.

    """

    inputs: tuple[Path, ...]
    output: Path
    parameters: NodeParameters = dataclasses.field(default_factory=NodeParameters)
    choice: InputChoice = dataclasses.field(default_factory=InputChoice)
    options: ReplayOptions = dataclasses.field(default_factory=ReplayOptions)
    jobs: int | None = None
    ray: str | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One makes no sense.

        """
        if not self.inputs:
            raise ValueError('there is nothing to evaluate: name a bag or dataset, or use --bags')
        for name, value, least in (
            ('frames', self.choice.frames, 2),
            ('jobs', self.jobs, 1),
            ('worst', self.options.worst, 0),
        ):
            if value is not None and value < least:
                raise ValueError(f'--{name} is {value}: it must be at least {least}')
        mode = self.choice.mode
        if mode not in MODES:
            raise ValueError(f'mode must be one of {", ".join(MODES)}, not {mode!r}')
        if self.parameters.odometry.scale != 'none':
            raise ValueError(
                f'odometry.scale is {self.parameters.odometry.scale}: a replay reads no speed; '
                'leave it out'
            )
        if self.options.save_places is not None and len(self.inputs) > 1:
            raise ValueError('--save-places takes one input, since a file holds one map')
        if self.options.rerun:
            require_rerun()

    def run(self, console: Console | None = None) -> int:
        """Evaluate, write the folder of results, print a table.

        Returns:
            0, or 1 if a sequence failed, or 130 if the user stopped the run.

        Raises:
            DatasetError: If the output folder cannot be used.
            ValueError: If weights or parameters cannot be used.

        """
        self._check_output()
        self.output.mkdir(parents=True, exist_ok=True)
        with locked(self.output):
            return self._run(console or new_console())

    def _run(self, console: Console) -> int:
        started = datetime.now(timezone.utc).isoformat(timespec='seconds')
        begin = time.monotonic()
        prepare_process(self._parameters())
        matcher = load_matcher(self._parameters())
        places = self.options.places
        if places is not None:  # a file that cannot be used ends the run before it begins
            load_places(places.expanduser(), matcher.weights_hash, self.parameters.loop.memory)
        info = self._run_info(matcher)
        self._check_resumed(info)
        write_json(self.output / RUN, info)
        tasks = self._tasks()
        with RunProgress(console, len(tasks)) as progress, StopRequest() as stopped:
            found = self._outcomes(tasks, matcher, progress, stopped)
            outcomes = {outcome.info.name: outcome for outcome in found}
        ordered = [outcomes[task.name] for task in tasks if task.name in outcomes]
        summaries = self._write_summary(ordered)
        self._write_timing(ordered, started, time.monotonic() - begin)
        console.print(_table(summaries))
        write_report(open_run(self.output), self.output / REPORT)
        console.print(f'results: {self.output}/, report: {self.output / REPORT}')
        statuses = {outcome.info.status for outcome in ordered}
        if 'interrupted' in statuses or len(ordered) < len(tasks):
            console.print('interrupted: the same command with --resume goes on')
            return 130
        return 1 if 'failed' in statuses else 0

    def _outcomes(
        self,
        tasks: list[SequenceTask],
        matcher: Any,  # noqa: ANN401 - of any features
        progress: RunProgress,
        stopped: StopRequest,
    ) -> Iterator[Outcome]:
        if self.ray is not None:
            from loftr_ros.evaluation.replay.ray import run_on_ray

            return run_on_ray(tasks, self.ray, progress, stopped)
        jobs = min(self.jobs or len(os.sched_getaffinity(0)), len(tasks))
        if jobs == 1:
            return run_here(tasks, matcher, progress, stopped)
        from loftr_ros.evaluation.replay.pool import run_in_pool

        return run_in_pool(tasks, jobs, progress, stopped)

    def _parameters(self) -> NodeParameters:
        threads = self.parameters.matcher.num_threads or 1
        files = self.options.places, self.options.save_places
        looks = self.parameters.loop.enabled or any(file is not None for file in files)
        values = {'matcher.num_threads': threads, 'loop.enabled': looks}
        return self.parameters.with_values(values)

    def _tasks(self) -> list[SequenceTask]:
        files = {name: getattr(self.options, name) for name in ('places', 'save_places')}
        absolute = {name: file and file.expanduser().absolute() for name, file in files.items()}
        return [
            SequenceTask(
                name=name,
                path=path.expanduser().absolute(),
                folder=self.output / SEQUENCES / name,
                parameters=self._parameters(),
                choice=self.choice,
                options=dataclasses.replace(self.options, **absolute),
            )
            for name, path in zip(names_of(self.inputs), self.inputs, strict=True)
        ]

    def _check_output(self) -> None:
        """Refuse to mix results with what is in the folder."""
        if not self.output.exists() or (self.output.is_dir() and not any(self.output.iterdir())):
            return
        if not (self.output / RUN).is_file():
            problem = 'the output folder holds something else'
            raise DatasetError(self.output, problem, 'Choose an empty or a new folder.')
        if not self.options.resume:
            problem = 'the output folder holds results of a run'
            raise DatasetError(self.output, problem, 'Choose another one, or add --resume.')

    def _check_resumed(self, info: RunInfo) -> None:
        """Refuse to go on with results of other settings."""
        if not (self.output / RUN).is_file():
            return
        before, now = read_json(self.output / RUN), plain(info)
        other = [name for name in now if name != 'inputs' and before.get(name) != now[name]]
        if other:
            problem = f'the run to go on with has other {", ".join(other)}'
            raise DatasetError(self.output / RUN, problem, 'Use its settings or another folder.')

    def _run_info(self, matcher: Any) -> RunInfo:  # noqa: ANN401 - of any features
        parameters = self._parameters()
        values = parameters.values() | {
            'mode': self.choice.mode,
            'frames': self.choice.frames,
            'pace': plain(self.options.pace),
            'places': plain(self.options.places),
            'matcher.confidence_threshold': matcher.confidence_threshold,
            'tracker': plain(parameters.tracker_options()),
        }
        return RunInfo(
            inputs=tuple(map(str, self.inputs)),
            parameters=values,
            weights=matcher.weights_name,
            weights_sha256=matcher.weights_hash,
            device=matcher.device,
            precision=matcher.precision,
            threads=parameters.matcher.num_threads,
            versions={
                'loftr_ros': package_version(),
                'python': platform.python_version(),
                **_versions(),
            },
            machine={
                'system': platform.platform(),
                'processor': _processor(),
                'cpus': os.cpu_count(),
            },
        )

    def _write_summary(self, outcomes: list[Outcome]) -> dict[str, dict[str, Any]]:
        summaries: dict[str, dict[str, Any]] = {}
        for outcome in outcomes:
            info = outcome.info
            file = self.output / SEQUENCES / info.name / SUMMARY
            figures = read_json(file) if file.is_file() else {}
            summaries[info.name] = {'status': info.status, 'error': info.error, **figures}
        total = total_of(summaries)
        write_json(self.output / SUMMARY, {'sequences': summaries, 'total': total})
        return summaries

    def _write_timing(self, outcomes: list[Outcome], started: str, seconds: float) -> None:
        times = {}
        for outcome in outcomes:
            folder = SequenceFolder(self.output / SEQUENCES / outcome.info.name, outcome.info)
            if outcome.info.layout:
                times[folder.name] = summarize_times(folder.times())
        attempts = {outcome.info.name: outcome.attempts for outcome in outcomes}
        backend = 'ray' if self.ray is not None else 'local'
        write_json(
            self.output / TIMING,
            {
                'started': started,
                'seconds': seconds,
                'backend': backend,
                'jobs': self.jobs,
                'attempts': attempts,
                'sequences': times,
            },
        )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder; the lock goes with the process, whatever its end.

    Raises:
        DatasetError: If another run has it.

    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        problem = 'another run writes to this folder'
        raise DatasetError(folder, problem, 'Wait for its end, or choose another one.') from error
    finally:
        os.close(descriptor)


def _versions() -> dict[str, str]:
    """Return the versions of the packages that results depend on."""
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return 'not from a package'  # a distribution's own, such as python3-opencv


def _processor() -> str:
    """Return the name of the CPU; platform.processor() is empty on most Linux systems."""
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()


def _table(summaries: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table()
    for name in ('sequence', 'status', 'frames', 'ok', 'matches', 'inliers'):
        table.add_column(name, justify='left' if name in {'sequence', 'status'} else 'right')
    for name in ('rotation [deg]', 'direction [deg]', 'AUC@5', 'NEES', 'ATE [m]', 'of [m]'):
        table.add_column(escape(name), justify='right')
    for name, one in summaries.items():
        trajectory = one.get('trajectory') or {}
        table.add_row(
            name,
            one['status'],
            str(one.get('frames', 0)),
            str(one.get('states', {}).get('ok', 0)),
            *(_number(one.get(key), 'p50', '.0f') for key in ('matches', 'inliers')),
            _number(one.get('rotation_error_deg'), 'p50', '.3f'),
            _number(one.get('direction_error_deg'), 'p50', '.2f'),
            _number(one.get('pose_auc'), '5', '.3f'),
            _number(one.get('nees'), 'mean', '.2f'),
            _number(trajectory.get('ate_m'), 'rmse', '.3f'),
            _number(trajectory, 'length_m', '.1f'),
        )
    return table


def _number(values: Mapping[str, float] | None, key: str, form: str) -> str:
    return format(values[key], form) if values and values.get(key) is not None else '-'
