"""The command `loftr-ros demo`: the real node on an image sequence, over DDS, with a report."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import TimeElapsedColumn

from loftr_ros.console import counting_bar, new_console
from loftr_ros.data.sequences import InputOptions
from loftr_ros.evaluation.demo.analysis import (
    Chain,
    Computation,
    ImageCounts,
    PairErrors,
    Percentiles,
    ResultFigures,
    Summary,
    accuracy,
    chain_poses,
    count_states,
    latencies,
    pair_errors,
    result_rate,
)
from loftr_ros.evaluation.demo.feed import (
    RENDERED_FRAMES,
    RENDERED_SIZE,
    Feed,
    dataset_source,
    room_source,
    write_feed,
)
from loftr_ros.evaluation.demo.recording import (
    PairResult,
    check_counts,
    finish_bag,
    read_results,
)
from loftr_ros.evaluation.demo.report import summary_table, write_json, write_markdown
from loftr_ros.evaluation.demo.topics import CAMERA_INFO, ESTIMATED_POSE, IMAGE, INPUTS
from loftr_ros.evaluation.live.console import run_session
from loftr_ros.evaluation.live.plan import OUTPUTS, LivePlan
from loftr_ros.evaluation.live.processes import check_ros, ended_by_sigterm
from loftr_ros.evaluation.live.session import LiveSession, Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from loftr_ros.evaluation.demo.figures import RunData

BAG = 'bag'
FILES = (
    'motion.png',
    'node.png',
    'matches_start.png',
    'matches_middle.png',
    'matches_end.png',
    'matches_worst.png',
    'summary.json',
    'summary.md',
    'node.log',
)
CAPTIONS = {
    'motion.png': 'Estimated against true motion',
    'node.png': 'The node at work',
    'matches_start.png': 'Matches: the first result',
    'matches_middle.png': 'Matches: in the middle',
    'matches_end.png': 'Matches: the last result',
    'matches_worst.png': 'Matches: the worst result',
}


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What to show, and how.

    Attributes:
        data: Folder of a dataset or a bag; None renders a room.
        output: Folder for the results.
        frames: Number of images; None for a suitable number.
        rate: Images per second, Hz; None for that of the data.
        size: Width and height of rendered images, px.
        parameters: Parameters of the node.
        inputs: How the data are read.

    """

    data: Path | None = None
    output: Path = Path('demo_output')
    frames: int | None = None
    rate: float | None = None
    size: tuple[int, int] = RENDERED_SIZE
    parameters: dict[str, str] = field(default_factory=dict)
    inputs: InputOptions = field(default_factory=InputOptions)

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One makes no sense.

        """
        if self.frames is not None and self.frames < 2:
            raise ValueError(f'--frames is {self.frames}: a motion needs two images at least')
        if self.rate is not None and not 0 < self.rate <= 1000:
            raise ValueError(f'--rate is {self.rate:g} Hz: it must be above 0 and at most 1000')


def run_demo(options: DemoOptions, console: Console | None = None) -> Summary:
    """Feed the node, record what comes out, write pictures, summary and bag.

    Raises:
        LiveError: The node failed or nothing came out.
        DatasetError: The data cannot be used.

    """
    console = console or new_console()
    check_ros()
    output = _prepare(options.output)
    with ended_by_sigterm(), tempfile.TemporaryDirectory(prefix='loftr_demo_') as name:
        work = Path(name)
        feed = _feed(options, work / 'feed', console)
        recording, progress = work / 'recording', _run(options, feed, work, output, console)
        with console.status('reading the bag back, drawing'):
            data, summary = _evaluate(options, feed, recording, progress, output)
            pictures = _draw(output, data)
    write_json(output / 'summary.json', summary)
    write_markdown(output / 'summary.md', summary, {file: CAPTIONS[file] for file in pictures})
    console.print(summary_table(summary))
    console.print(f'pictures, summary and bag: {output}/')
    return summary


def save_bag(options: DemoOptions, path: Path, console: Console | None = None) -> None:
    """Write what the demo would send to the node as a bag; takes no ROS.

    Raises:
        DatasetError: The data cannot be used, or the bag is there already.

    """
    console = console or new_console()
    feed = _feed(options, path, console, recorded=True)
    console.print(
        f'{len(feed.stamps)} images with calibration and true poses: {path}/\n'
        f'  ros2 launch loftr_ros loftr.launch.py image:={IMAGE} use_sim_time:=true\n'
        f'  ros2 bag play {path} --clock',
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _prepare(output: Path) -> Path:
    """Make the folder, and remove what a demo before left in it (and nothing else)."""
    output.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        (output / file).unlink(missing_ok=True)
    if (output / BAG / f'{BAG}.mcap').exists():
        shutil.rmtree(output / BAG)
    return output


def _feed(options: DemoOptions, path: Path, console: Console, *, recorded: bool = False) -> Feed:
    if options.data is None:
        source = room_source(options.frames or RENDERED_FRAMES, options.size)
        label = 'rendering a room'
    else:
        source = dataset_source(options.data, options.frames, options.inputs)
        label = f'reading {options.data}'
    with counting_bar(console, TimeElapsedColumn(), transient=False) as bar:
        task = bar.add_task(label, total=source.expected)

        def advance() -> None:
            bar.advance(task)

        feed = write_feed(source, path, options.rate, advance, recorded=recorded)
        bar.update(task, total=len(feed.stamps) + len(feed.refused))
    if feed.refused:
        count = f'{len(feed.refused)} images cannot be used and are left out'
        console.print(f'{count}, first: {feed.refused[0]}', markup=False, soft_wrap=True)
    return feed


def _run(options: DemoOptions, feed: Feed, work: Path, output: Path, console: Console) -> Progress:
    """Run the processes; returns what was sent and recorded.

    Raises:
        LiveError: The node failed or nothing came out.

    """
    plan = LivePlan(
        bag=feed.path,
        topics={topic: topic for topic in INPUTS},
        image=IMAGE,
        calibrations=(CAMERA_INFO,),
        inputs={'image': IMAGE, 'camera_info': CAMERA_INFO},
        recorded={**INPUTS, **OUTPUTS},
        parameters=options.parameters,
    )
    session = LiveSession(plan, work / 'recording', work, output / 'node.log')
    label = f'sending at {feed.rate:g} Hz'
    return run_session(session, (label,), len(feed.stamps), console)[-1]


def _evaluate(
    options: DemoOptions, feed: Feed, recording: Path, progress: Progress, output: Path
) -> tuple[RunData, Summary]:
    """Compute everything from the bag as it was written."""
    from loftr_ros.evaluation.demo.figures import RunData  # matplotlib takes its time

    results = read_results(recording)
    errors = pair_errors(results, feed.truth)
    chain = chain_poses(results, feed.truth)
    bag = output / BAG
    counts = finish_bag(recording, bag, _estimate(chain, results, progress))
    expected = {**progress.counts, ESTIMATED_POSE: len(chain.poses)}
    check_counts(counts, {**expected, IMAGE: len(feed.stamps)}, bag)
    summary = _summarize(options, feed, results, errors, chain, progress)
    seconds = latencies(results, progress.sent)
    data = RunData(
        name=feed.name,
        results=results,
        errors=errors,
        latencies=seconds,
        truth=feed.truth,
        chain=chain,
        stamps=feed.stamps,
    )
    return data, summary


def _estimate(
    chain: Chain, results: list[PairResult], progress: Progress
) -> dict[int, tuple[int, NDArray[np.float64]]]:
    arrivals = {result.query_ns: result.arrival_ns for result in results}
    return {
        stamp: (arrivals.get(stamp, progress.sent[stamp]), pose)
        for stamp, pose in chain.poses.items()
    }


def _summarize(
    options: DemoOptions,
    feed: Feed,
    results: list[PairResult],
    errors: PairErrors,
    chain: Chain,
    progress: Progress,
) -> Summary:
    return Summary(
        source=feed.name,
        size=feed.size,
        images=_image_counts(feed, progress),
        poses=_result_figures(results, progress),
        accuracy=accuracy(errors, chain, feed.truth),
        computation=Computation(
            steps={
                name: float(progress.value('processing', f'{name} [ms]') or 'nan')
                for name in ('encode', 'match', 'pose')
            },
            weights=progress.value('node', 'weights'),
            weights_hash=progress.value('node', 'weights sha256'),
            device=progress.value('node', 'device'),
            settings={'parameters': _parameters(options), 'machine': _machine()},
        ),
    )


def _image_counts(feed: Feed, progress: Progress) -> ImageCounts:
    return ImageCounts(
        sent=len(progress.sent),
        sent_rate=feed.rate,
        received=_integer(progress.value('inputs', f'{IMAGE} received')),
        processed=_integer(progress.value('processing', 'processed')),
        dropped=_integer(progress.value('processing', 'dropped')),
        refused=_integer(progress.value('inputs', f'{IMAGE} refused')),
        errors=_integer(progress.value('processing', 'errors')),
    )


def _result_figures(results: list[PairResult], progress: Progress) -> ResultFigures:
    return ResultFigures(
        results=len(results),
        rate=result_rate(results, progress.sent),
        latency=Percentiles.of(latencies(results, progress.sent)),
        matches=Percentiles.of([result.matches for result in results]),
        inliers=Percentiles.of([result.inliers for result in results]),
        states=count_states(results),
        keyframes=sum(result.new_keyframe for result in results),
    )


def _draw(output: Path, data: RunData) -> list[str]:
    """Draw everything; returns the names of the files."""
    from loftr_ros.evaluation.demo.figures import (
        match_pictures,
        motion_figure,
        node_figure,
        write_image,
    )
    from loftr_ros.visualization.trajectories import save_figure

    files = ['node.png']
    if data.errors.known.any():
        save_figure(motion_figure(data), output / 'motion.png')
        files.insert(0, 'motion.png')
    save_figure(node_figure(data), output / 'node.png')
    for name, picture in match_pictures(output / BAG, data).items():
        files.append(f'matches_{name}.png')
        write_image(output / files[-1], picture)
    return files


def _parameters(options: DemoOptions) -> str:
    return ', '.join(f'{name} {value}' for name, value in options.parameters.items()) or 'defaults'


def _machine() -> str:
    return f'{len(os.sched_getaffinity(0))} CPU cores, load {os.getloadavg()[0]:.1f}'


def _integer(text: str) -> int:
    return int(text) if text else 0
