"""Latency of the real node at the rate of a camera: `python benchmarks/latency.py`.

Plays a rendered sequence over DDS into the node, which runs as a process of its own, and prints the
time from sending an image to receiving its pose, the rate and what was dropped. With
every_frame:=aligned the frames that were matched and those that were aligned stand apart.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

# Nobody else shall listen: what is measured is this machine alone.
os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
os.environ.setdefault('ROS_DOMAIN_ID', '102')

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from resources import processor_seconds
from sensor_msgs.msg import CameraInfo, Image

from loftr_ros.codecs.conversions import camera_to_msg, header_to_msg, image_to_msg
from loftr_ros.codecs.stamps import SECOND_NS, stamp_from_msg
from loftr_ros.geometry import Camera
from loftr_ros.msg import RelativePose
from loftr_ros.rendering.room import RenderedView, render_room_sequence

LIMIT_MS = 250.0
START_TIMEOUT_S = 180.0


class Player:
    """Publishes images at a rate, and notes when the pose of each comes back."""

    def __init__(self, qos: QoSProfile = qos_profile_sensor_data) -> None:
        rclpy.init(args=[])
        self.node = Node('latency')
        self.images = self.node.create_publisher(Image, 'image', qos)
        self.infos = self.node.create_publisher(CameraInfo, 'camera_info', qos)
        self.sent: dict[int, float] = {}
        self.latencies: list[tuple[float, float]] = []
        self.aligned: list[float] = []
        self.matched: list[float] = []
        self.diagnostics: dict[str, str] = {}
        self.node.create_subscription(RelativePose, 'loftr/relative_pose', self._on_pose, 50)
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        threading.Thread(target=self._spin, daemon=True).start()

    def _spin(self) -> None:
        try:
            self.executor.spin()
        except ExternalShutdownException:
            return

    def _on_pose(self, msg: RelativePose) -> None:
        now = time.perf_counter()
        sent = self.sent.get(stamp_from_msg(msg.header.stamp))
        # A loop comes after the pose of its frame, and is nobody's latency.
        if sent is not None and msg.kind != RelativePose.KIND_LOOP:
            self.latencies.append((now, now - sent))
            aligned = msg.source == RelativePose.SOURCE_ALIGNED
            (self.aligned if aligned else self.matched).append(now - sent)

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            if status.name.endswith(': processing'):
                self.diagnostics = {pair.key: pair.value for pair in status.values}

    def send_info(self, view: RenderedView, stamp_ns: int) -> None:
        """Publish the calibration of an image."""
        height, width = view.image.shape
        camera = Camera(width, height, view.matrix)
        self.infos.publish(camera_to_msg(camera, header_to_msg(stamp_ns, 'camera')))

    def send(self, view: RenderedView, stamp_ns: int) -> None:
        """Publish an image with its calibration."""
        self.send_info(view, stamp_ns)
        image = image_to_msg(view.image, header_to_msg(stamp_ns, 'camera'))
        self.sent[stamp_ns] = time.perf_counter()
        self.images.publish(image)

    def play(self, views: list[RenderedView], rate: float, seconds: float, start_ns: int) -> int:
        """Send so many images a second, to and fro through the sequence; returns their number."""
        order = [*range(len(views)), *range(len(views) - 2, 0, -1)]
        start, count = time.perf_counter(), int(rate * seconds)
        for index in range(count):
            time.sleep(max(0.0, start + index / rate - time.perf_counter()))
            self.send(views[order[index % len(order)]], start_ns + round(index / rate * SECOND_NS))
        return count

    def close(self) -> None:
        """Leave the graph."""
        rclpy.try_shutdown()


class NodeProcess(NamedTuple):
    """The node in a process of its own, and the file of its log."""

    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def node_process(parameters: list[str], name: str = 'loftr') -> Iterator[NodeProcess]:
    """Run the node with parameters name:=value; its log is shown if something fails meanwhile."""
    arguments = [item for parameter in parameters for item in ('-p', parameter)]
    arguments += ['-r', f'__node:={name}']
    command = [sys.executable, '-m', 'loftr_ros.ros.node', '--ros-args', *arguments]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, 'node.log')
        with log.open('w') as stream:
            process = subprocess.Popen(command, stdout=stream, stderr=stream)
        try:
            yield NodeProcess(process, log)
        except Exception:
            print(log.read_text(), file=sys.stderr)
            raise
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(30)


def wait_for_first_pose(player: Player, views: list[RenderedView]) -> None:
    """Send images until the node answers: the model is loaded and all are connected."""
    deadline, stamp_ns = time.monotonic() + START_TIMEOUT_S, 0
    while not player.latencies:
        if time.monotonic() > deadline:
            raise RuntimeError(f'no pose came within {START_TIMEOUT_S:g} s')
        stamp_ns += SECOND_NS
        player.send(views[stamp_ns // SECOND_NS % len(views)], stamp_ns)
        time.sleep(0.5)
    time.sleep(2.0)  # what was sent meanwhile shall be done


def summarize(player: Player, sent: int, dropped: int, rate: float) -> dict[str, Any]:
    """Return the figures of a run."""
    latencies = np.array([latency for _, latency in player.latencies]) * 1e3
    times = [at for at, _ in player.latencies]
    third = max(1, len(latencies) // 3)
    return {
        'sent': sent,
        'input rate [Hz]': rate,
        'poses': len(latencies),
        'rate [Hz]': (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0,
        'dropped': dropped,
        'matched': len(player.matched),
        'p95 matched [ms]': _percentile(player.matched, 95),
        'aligned': len(player.aligned),
        'p50 aligned [ms]': _percentile(player.aligned, 50),
        'p95 aligned [ms]': _percentile(player.aligned, 95),
        'p50 [ms]': float(np.percentile(latencies, 50)),
        'p95 [ms]': float(np.percentile(latencies, 95)),
        'median of the first third [ms]': float(np.median(latencies[:third])),
        'median of the last third [ms]': float(np.median(latencies[-third:])),
        'node latency p95 [ms]': float(player.diagnostics.get('latency p95 [ms]', 'nan')),
        'load average': os.getloadavg()[0],
    }


def _percentile(seconds: list[float], share: float) -> float:
    return float(np.percentile(seconds, share)) * 1e3 if seconds else float('nan')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rate', type=float, default=30.0, help='images per second, Hz')
    parser.add_argument('--seconds', type=float, default=20.0)
    parser.add_argument('--width', type=int, default=640)
    parser.add_argument('--height', type=int, default=480)
    parser.add_argument('--views', type=int, default=45, help='images that are rendered')
    parser.add_argument('--json', action='store_true', help='print JSON rather than a table')
    parser.add_argument(
        'parameters',
        nargs='*',
        help='of the node, such as matcher.longer_side:=480 matcher.weights:=lite',
    )
    arguments = parser.parse_args()
    size = {'width': arguments.width, 'height': arguments.height}
    views = list(render_room_sequence(arguments.views, **size, rate_hz=arguments.rate))
    player = Player()
    try:
        with node_process(arguments.parameters) as node:
            pid = node.process.pid
            wait_for_first_pose(player, views)
            before = int(player.diagnostics.get('dropped', 0))
            for latencies in (player.latencies, player.matched, player.aligned):
                latencies.clear()
            worked = processor_seconds(pid)
            sent = player.play(views, arguments.rate, arguments.seconds, 10**12)
            worked = processor_seconds(pid) - worked
            time.sleep(2.5)  # for the last frame and the last report
            dropped = int(player.diagnostics.get('dropped', 0)) - before
    finally:
        player.close()
    figures = summarize(player, sent, dropped, arguments.rate)
    figures['cores at work'] = worked / arguments.seconds
    if arguments.json:
        print(json.dumps(figures))
    else:
        print(
            f'{size["width"]}x{size["height"]}, '
            f'{" ".join(arguments.parameters) or "default parameters"}'
        )
        for name, value in figures.items():
            print(f'  {name:<32} {value:.6g}')
    return int(figures['p95 [ms]'] >= LIMIT_MS)


if __name__ == '__main__':
    sys.exit(main())
