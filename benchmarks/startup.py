"""How long starting takes: imports, and the node's first frames: `python benchmarks/startup.py`.

The node runs as a process of its own and is reached over DDS. A frame alone has no result, so two
images are sent together, and the time counts until the pose between them comes: right after the
node is active, and again and again once it runs, each time with its memory of frames reset.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from latency import START_TIMEOUT_S, Player, node_process
from rclpy.client import Client
from rclpy.qos import QoSProfile
from rich.console import Console
from rich.table import Table
from std_srvs.srv import Trigger

from loftr_ros.codecs.stamps import SECOND_NS
from loftr_ros.rendering.room import RenderedView, render_room_sequence

LIMIT_RATIO = 2.0
LIMIT_IMPORT_S = 1.0
COMMANDS = {
    'bare interpreter': ['-c', 'pass'],
    'import loftr_ros': ['-c', 'import loftr_ros'],
    'loftr-ros --help': ['-m', 'loftr_ros.commands.main', '--help'],
    'loftr-ros evaluate --help': ['-m', 'loftr_ros.commands.main', 'evaluate', '--help'],
}


@dataclass(frozen=True)
class Start:
    """One start of the node.

    Attributes:
        active_s: From launching the process until it subscribes, s.
        first_ms: From sending two images to the pose between them, right after that, ms.
        steady_ms: The same later, each time with the frames before forgotten, ms.
    """

    active_s: float
    first_ms: float
    steady_ms: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """First over the median of the later ones."""
        return self.first_ms / float(np.median(self.steady_ms))


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that the node does.

    Raises:
        RuntimeError: It did not happen in time.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f'no {what} within {START_TIMEOUT_S:g} s')
        time.sleep(0.002)


def time_pose(player: Player, views: Sequence[RenderedView], stamp_ns: int) -> float:
    """Milliseconds from sending two images to the pose between them."""
    player.send_info(views[0], stamp_ns)
    time.sleep(0.1)  # a frame without calibration would be no reference for one that has it
    player.latencies.clear()
    started = time.perf_counter()
    for index, view in enumerate(views[:2]):
        player.send(view, stamp_ns + index * SECOND_NS // 10)
    wait_until(lambda: player.latencies, 'pose')
    return 1e3 * (player.latencies[0][0] - started)


def start_node(
    player: Player, views: Sequence[RenderedView], parameters: list[str], runs: int
) -> Start:
    """Start the node, time its first pose and later ones."""
    reset = player.node.create_client(Trigger, 'loftr/reset')
    # Of two frames none must get lost in transport, or be dropped for the other.
    parameters = ['input.process_every_frame:=true', 'input.reliability:=reliable', *parameters]
    launched = time.perf_counter()
    with node_process(parameters):
        wait_until(lambda: player.images.get_subscription_count(), 'subscription')
        active = time.perf_counter() - launched
        wait_until(lambda: player.infos.get_subscription_count(), 'subscription')
        wait_until(lambda: player.node.count_publishers('loftr/relative_pose'), 'publisher')
        time.sleep(1.0)  # discovery is over on both sides, and nothing else is going on
        first, *steady = (
            _time_after_reset(player, reset, views, run * 10 * SECOND_NS)
            for run in range(1, runs + 2)
        )
    wait_until(lambda: not player.images.get_subscription_count(), 'end of the node')
    return Start(active, first, tuple(steady))


def _time_after_reset(
    player: Player,
    reset: Client,
    views: Sequence[RenderedView],
    stamp_ns: int,
) -> float:
    answer = reset.call(Trigger.Request())
    if answer is None or not answer.success:
        raise RuntimeError('~/reset failed')
    return time_pose(player, views, stamp_ns)


def time_command(arguments: Sequence[str], runs: int = 5) -> float:
    """Seconds that a command takes, the median of some runs."""
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def print_tables(commands: dict[str, float], starts: Sequence[Start], console: Console) -> None:
    """Print commands, then starts of the node."""
    table = Table(title='Commands that compute nothing')
    table.add_column('command')
    table.add_column('s', justify='right')
    for name, seconds in commands.items():
        table.add_row(name, f'{seconds:.2f}')
    console.print(table)
    table = Table(title='Starts of the node')
    for name in ('active after s', 'first pose ms', 'later ms', 'p10-p90', 'first / later'):
        table.add_column(name, justify='right')
    for start in starts:
        low, median, high = np.percentile(start.steady_ms, (10, 50, 90))
        table.add_row(
            f'{start.active_s:.1f}',
            f'{start.first_ms:.0f}',
            f'{median:.0f}',
            f'{low:.0f}-{high:.0f}',
            f'{start.ratio:.2f}',
        )
    console.print(table)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0] if __doc__ else None)
    parser.add_argument('--size', default='640x480', help='width x height of the images, px')
    parser.add_argument('--starts', type=int, default=3, help='processes that are started')
    parser.add_argument('--runs', type=int, default=15, help='later poses in each of them')
    parser.add_argument('--json', type=Path, help='file for all figures')
    parser.add_argument('parameters', nargs='*', help='of the node, such as matcher.weights:=lite')
    return parser.parse_args()


def main() -> int:
    """Measure; 1 when a limit is passed."""
    options = parse()
    width, height = map(int, options.size.split('x'))
    views = list(render_room_sequence(2, width=width, height=height, rate_hz=10))
    commands = {name: time_command(arguments) for name, arguments in COMMANDS.items()}
    player = Player(QoSProfile(depth=10))
    try:
        starts = [
            start_node(player, views, options.parameters, options.runs)
            for _ in range(options.starts)
        ]
    finally:
        player.close()
    console = Console(width=100)
    console.print(f'{options.size}, {" ".join(options.parameters) or "default parameters"}')
    print_tables(commands, starts, console)
    if options.json:
        figures = {'commands': commands, 'starts': [asdict(start) for start in starts]}
        options.json.write_text(json.dumps(figures, indent=1) + '\n', encoding='utf-8')
    slow = [name for name, seconds in commands.items() if seconds > LIMIT_IMPORT_S]
    late = float(np.median([start.ratio for start in starts])) > LIMIT_RATIO
    return int(bool(slow) or late)


if __name__ == '__main__':
    sys.exit(main())
