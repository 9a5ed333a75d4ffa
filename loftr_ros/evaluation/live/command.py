"""The command `loftr-ros evaluate-live`: a bag played to the real node, beside its replay."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loftr_ros.console import new_console
from loftr_ros.data.bags.reader import BagSequence, topic_types
from loftr_ros.data.bags.storage import is_bag
from loftr_ros.data.bags.topics import BY_TYPE, TopicNames
from loftr_ros.data.errors import DatasetError
from loftr_ros.evaluation.live.comparison import COUNTERS, LiveRun, compare_live, repeat
from loftr_ros.evaluation.live.console import run_session
from loftr_ros.evaluation.live.plan import METRIC_OUTPUTS, OUTPUTS, LivePlan
from loftr_ros.evaluation.live.processes import check_ros, ended_by_sigterm
from loftr_ros.evaluation.live.report import live_page, live_table
from loftr_ros.evaluation.live.results import live_records, read_results
from loftr_ros.evaluation.live.session import LiveSession, Progress
from loftr_ros.evaluation.live.write import write_live_run
from loftr_ros.evaluation.records.frame_records import values_of
from loftr_ros.evaluation.records.result_files import plain, write_json
from loftr_ros.evaluation.records.results import RUN, RunFolder, SequenceFolder, open_run
from loftr_ros.evaluation.replay.command import EvaluateCommand
from loftr_ros.evaluation.replay.inputs import open_input
from loftr_ros.evaluation.replay.task import InputChoice, ReplayOptions
from loftr_ros.evaluation.reports.html_page import write_page
from loftr_ros.evaluation.reports.html_report import REPORT, write_report
from loftr_ros.settings.parameters import NodeParameters

if TYPE_CHECKING:
    from rich.console import Console

BAG, LIVE, REPLAY, LOG = 'bag', 'live', 'replay', 'node.log'
FIGURES, PAGE = 'live.json', 'live.html'
IDENTITY = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
COMPRESSED = 'sensor_msgs/msg/CompressedImage'


@dataclass(frozen=True, kw_only=True)
class LiveCommand:
    """Which bag to play to the node, and how.

    Attributes:
        bag: The bag.
        output: Folder for the results.
        rate: How many times faster than recorded it is played.
        loops: How often it is played; each time, /clock jumps back.
        parameters: Of the node.
        mode: 'mono', 'stereo' or 'rgbd'.
        topics: Topics that are not to be found by type.
        replay: Results of `evaluate` of the same bag; None makes them.

    """

    bag: Path
    output: Path
    rate: float = 1.0
    loops: int = 1
    parameters: NodeParameters = field(default_factory=NodeParameters)
    mode: str = 'mono'
    topics: TopicNames = BY_TYPE
    replay: Path | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One makes no sense.

        """
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise ValueError(
                f'--rate is {self.rate:g}: it must be above 0; 2 plays twice as fast as recorded'
            )
        if self.loops < 1:
            raise ValueError(f'--loops is {self.loops}: the bag must be played at least once')

    def run(self, console: Console | None = None) -> int:
        """Replay the bag, play it to the node, compare, and write the folder of results.

        Returns:
            0, or 130 if the user stopped the replay.

        Raises:
            DatasetError: If the bag, the output folder or the given replay cannot be used.
            LiveError: If ROS is missing, or the node failed.

        """
        console = console or new_console()
        check_ros()
        if not is_bag(self.bag):
            remedy = '`loftr-ros convert` makes a bag of a dataset.'
            raise DatasetError(self.bag, 'there is no bag', remedy)
        sequence = open_input(self.bag, self._choice, self.parameters)
        assert isinstance(sequence, BagSequence)
        plan = self._plan(sequence)
        self._prepare()
        replay = self._replay(console)
        if replay is None:
            console.print('interrupted: the same command goes on')
            return 130
        with ended_by_sigterm(), tempfile.TemporaryDirectory(prefix='loftr_live_') as name:
            session = LiveSession(plan, self.output / BAG, Path(name), self.output / LOG)
            labels = [f'playing, {number} of {self.loops}' for number in range(1, self.loops + 1)]
            played = run_session(session, labels, len(sequence), console)
        self._conclude(replay, played, plan, console)
        return 0

    def _conclude(
        self,
        replay: tuple[RunFolder, SequenceFolder],
        played: list[Progress],
        plan: LivePlan,
        console: Console,
    ) -> None:
        run, folder = replay
        replayed = folder.frames()
        runs = self._runs(played, plan.image, folder)
        metric = self.mode != 'mono'
        last = played[-1]
        live = write_live_run(self.output / LIVE, run, folder, runs, self._settings(last))
        figures = {
            'bag': str(self.bag),
            'mode': self.mode,
            'rate': self.rate,
            'node': {**self._settings(last), 'weights': last.value('node', 'weights')},
            'replay': str(run.path),
            'runs': [compare_live(each, replayed, metric=metric) for each in runs],
            'repeats': [repeat(runs[0], each) for each in runs[1:]],
        }
        write_json(self.output / FIGURES, figures)
        write_report(open_run(live), live / REPORT)
        write_page(self.output / PAGE, live_page(figures, runs, replayed, metric=metric))
        console.print(live_table(figures))
        console.print(f'results: {self.output}/, page: {self.output / PAGE}', soft_wrap=True)

    def _runs(self, played: list[Progress], image: str, folder: SequenceFolder) -> list[LiveRun]:
        """Read what was recorded each time the bag was played."""
        starts = [min(each.sent.values(), default=0) for each in played]
        before = dict.fromkeys(COUNTERS, 0)
        lost_before: dict[str, int] = {}
        runs = []
        for number, progress in enumerate(played):
            end = starts[number + 1] if number + 1 < len(starts) else 2**63
            results = read_results(self.output / BAG, starts[number], end)
            counts = _counters(progress, image)
            live = live_records(
                results, folder.frames(), progress.sent, published=self.mode != 'mono'
            )
            name = folder.name if not number else f'{folder.name}_{number + 1}'
            since = {key: counts[key] - before[key] for key in COUNTERS}
            lost = {
                topic: count - _received(progress, topic)
                for topic, count in progress.published.items()
            }
            lost_now = {topic: count - lost_before.get(topic, 0) for topic, count in lost.items()}
            runs.append(LiveRun(name, live, progress.sent, since, lost_now))
            before, lost_before = counts, lost
        return runs

    def _prepare(self) -> None:
        """Make the folder; what an interrupted run left there makes room.

        Raises:
            DatasetError: If there is something else, or results.

        """
        self.output.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in self.output.iterdir()}
        if FIGURES in names or names - {BAG, LIVE, REPLAY, LOG}:
            problem = 'the output folder is not empty'
            raise DatasetError(self.output, problem, 'Choose an empty or a new folder.')
        for name in (BAG, LIVE):
            shutil.rmtree(self.output / name, ignore_errors=True)

    def _replay(self, console: Console) -> tuple[RunFolder, SequenceFolder] | None:
        """Run the bag through the tracker, or open the results that were given.

        Raises:
            DatasetError: If that failed, or was with other settings or of another bag.

        """
        path = self.replay or self.output / REPLAY
        if self.replay is None:
            command = EvaluateCommand(
                inputs=(self.bag,),
                output=path,
                parameters=self.parameters,
                choice=self._choice,
                options=ReplayOptions(resume=(path / RUN).is_file()),
                jobs=1,
            )
            if command.run(console) == 130:
                return None
        run = open_run(path)
        bag = self.bag.expanduser().absolute()
        found = [each for each in run.sequences if Path(each.info.path) == bag]
        if not found:
            raise DatasetError(path, f'the results are not of {bag}', 'Leave --replay out.')
        if found[0].info.status != 'complete':
            problem = found[0].info.error or 'the replay was interrupted'
            raise DatasetError(path, problem, 'A live run is compared with a complete replay.')
        self._check_settings(run)
        return run, found[0]

    @property
    def _choice(self) -> InputChoice:
        return InputChoice(mode=self.mode, topics=self.topics)

    def _check_settings(self, run: RunFolder) -> None:
        wanted = plain(
            {
                'mode': self.mode,
                'matcher.weights': self.parameters.matcher.weights,
                'matcher.longer_side': self.parameters.matcher.longer_side,
                'matcher.max_matches': self.parameters.matcher.max_matches,
                'input.rectified': self.parameters.input.rectified,
                'tracker': self.parameters.tracker_options(),
            }
        )
        before = {name: run.info.parameters.get(name) for name in wanted}
        other = [name for name in wanted if before[name] != wanted[name]]
        if other:
            problem = f'the replay has other settings: {", ".join(other)}'
            raise DatasetError(run.path, problem, 'Use the same ones, or leave --replay out.')

    def _settings(self, progress: Progress) -> dict[str, Any]:
        return {
            'weights_sha256': progress.value('node', 'weights sha256'),
            'device': progress.value('node', 'device'),
            'rate': self.rate,
            'parameters': self._parameters(),
        }

    def _parameters(self) -> dict[str, Any]:
        """Return the node's parameters that are not the defaults.

        The odometry is to be that of the camera, as the replay's.
        """
        needed = {
            'mode': self.mode,
            'odometry.extrinsics': 'parameter',
            'odometry.base_T_camera': IDENTITY,
        }
        values = self.parameters.with_values(needed).values()
        defaults = NodeParameters().values()
        return {name: value for name, value in values.items() if value != defaults[name]}

    def _plan(self, sequence: BagSequence) -> LivePlan:
        """Lay out what is played under which names.

        Raises:
            DatasetError: If one of two cameras is compressed and the other is not.

        """
        types, used = topic_types(self.bag), sequence.topics
        images = [topic for topic in (used.image, used.right_image) if topic]
        transports = {_transport(types[topic], 'compressed') for topic in images}
        if len(transports) > 1:
            problem = f'of {" and ".join(images)} one is compressed and the other is not'
            raise DatasetError(self.bag, problem, 'The node takes both alike.')
        transport = transports.pop()
        values = {**self._parameters(), 'input.image_transport': transport}
        if sequence.right is not None:
            # The node receives no /tf_static here, from which this may be.
            values['input.left_T_right'] = values_of(sequence.right.left_T_right)
        played = {topic: _name(topic, transport) for topic in images}
        if used.depth:
            depth_transport = _transport(types[used.depth], 'compressedDepth')
            values['input.depth_transport'] = depth_transport
            played[used.depth] = _name(used.depth, depth_transport)
        infos = [topic for topic in (used.camera_info, used.right_camera_info) if topic]
        played |= {topic: topic for topic in infos}
        return LivePlan(
            bag=self.bag,
            topics=played,
            image=played[used.image],
            calibrations=tuple(infos),
            inputs={name: played[topic] for name, topic in self._inputs(sequence).items()},
            recorded=OUTPUTS if self.mode == 'mono' else METRIC_OUTPUTS,
            parameters={name: json.dumps(value) for name, value in values.items()},
            rate=self.rate,
            clock=True,
        )

    def _inputs(self, sequence: BagSequence) -> dict[str, str]:
        """Return the node's inputs that the bag serves -> topics of the bag."""
        used = sequence.topics
        left = 'left/' if self.mode == 'stereo' else ''
        names = {
            f'{left}image': used.image,
            f'{left}camera_info': used.camera_info,
            'right/image': used.right_image,
            'right/camera_info': used.right_camera_info,
            'depth': used.depth,
        }
        return {name: topic for name, topic in names.items() if topic}


def _transport(kind: str, compressed: str) -> str:
    return compressed if kind == COMPRESSED else 'raw'


def _name(topic: str, transport: str) -> str:
    """Return the name under which the node looks for a topic."""
    suffix = '' if transport == 'raw' or topic.endswith(f'/{transport}') else f'/{transport}'
    return topic + suffix


def _counters(progress: Progress, image: str) -> dict[str, int]:
    """Read what the node has counted so far."""
    texts = {
        name: progress.value('processing', name) for name in ('processed', 'dropped', 'errors')
    }
    texts['refused'] = progress.value('inputs', f'{image} refused')
    counts = {name: int(text or 0) for name, text in texts.items()}
    return {**counts, 'received': _received(progress, image)}


def _received(progress: Progress, topic: str) -> int:
    return int(progress.value('inputs', f'{topic} received') or 0)
