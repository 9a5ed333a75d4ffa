"""What malformed messages do to the node: `python benchmarks/fuzz_node.py [--seconds 600]`.

In each mode in turn every topic that the real node subscribes to, by the graph, gets messages with
wrong fields: lengths, sizes, encodings, stamps, numbers that are none, texts of any length, and
bytes that are no message at all. Every few seconds images without a fault must still give a result.
Memory, threads, open files, cores and that answer's latency over time are written as JSON and as a
picture. The exit code is 1 where the node ended, or did not answer.
"""

from __future__ import annotations

import argparse
import array
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from latency import NodeProcess, Player, node_process
from rclpy.serialization import serialize_message
from resources import Watch, draw, growths, write_json
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from loftr_ros.codecs.conversions import camera_to_msg, header_to_msg, image_to_msg
from loftr_ros.codecs.stamps import stamp_from_msg
from loftr_ros.geometry import Camera
from loftr_ros.msg import RelativePose
from loftr_ros.rendering.room import RenderedView, render_room_sequence
from loftr_ros.ros.playback import message_class

MODES: dict[str, list[str]] = {
    'mono': ['odometry.scale:=twist'],
    'mono compressed': ['input.image_transport:=compressed', 'odometry.scale:=odometry'],
    'stereo': ['mode:=stereo'],
    'rgbd': ['mode:=rgbd'],
    'rgbd compressed': ['mode:=rgbd', 'input.depth_transport:=compressedDepth'],
    'pair': ['mode:=pair', 'input.image_transport:=compressed'],
}
RATE = 50.0
"""Malformed messages per second, Hz."""
CHECK_S = 5.0
PATIENCE_S = 20.0
"""How long images without a fault may wait for a result."""
SIZE = 160, 120
TEXTS = (
    '', 'mono8', 'mono16', 'rgb8', '16UC1', '32FC1', 'bayer_rggb8', 'nv12', 'jpeg', 'png',
    '16UC1; compressedDepth', 'rgb8; jpeg compressed bgr8', 'plumb_bob', 'equidistant', 'odom',
    '\x1b[2J\x07', '\n' * 50, 'x' * 100_000, '../../etc/passwd', '%s%n{0}',
)  # fmt: skip
NUMBERS = (0.0, -1.0, 1e-300, 1e300, float('nan'), float('inf'), -float('inf'), 1e9)
REAL = 'double', 'float'


class Fuzzer:
    """Publishes to all topics of a node: messages without a fault, and malformed ones."""

    def __init__(
        self, player: Player, name: str, views: list[RenderedView], rng: np.random.Generator
    ) -> None:
        self._node = player.node
        self._name = name
        self._views = views
        self._rng = rng
        self._publishers: dict[str, tuple[type[Any], Any]] = {}
        self.counts: Counter[str] = Counter()
        self._answers: dict[int, float] = {}
        self._subscription = self._node.create_subscription(
            RelativePose, f'{name}/relative_pose', self._on_pose, 50
        )

    def find_topics(self) -> list[str]:
        """Return the topics that the node subscribes to, by the graph."""
        for _, publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._publishers = {}
        if self._name not in self._node.get_node_names():
            return []
        found = self._node.get_subscriber_names_and_types_by_node(self._name, '/')
        kinds = {name: message_class(types[0]) for name, types in found}
        self._publishers = {
            name: (kind, self._node.create_publisher(kind, name, 5)) for name, kind in kinds.items()
        }
        return sorted(kinds)

    def wait_for_topics(self, image: str, seconds: float) -> None:
        """Wait until the node is active, which subscribes to images.

        Raises:
            RuntimeError: It is not in time.
        """
        deadline = time.monotonic() + seconds
        while not any(image in name for name in self.find_topics()):
            if time.monotonic() > deadline:
                raise RuntimeError(f'the node subscribes to no {image} within {seconds:g} s')
            time.sleep(0.5)

    def send_malformed(self) -> None:
        """Publish one malformed message to one of the topics."""
        name = str(self._rng.choice(sorted(self._publishers)))
        kind, publisher = self._publishers[name]
        message = self._valid(name, kind, time.time_ns(), int(self._rng.integers(99)))
        for _ in range(int(self._rng.integers(1, 4))):
            mutate(message, self._rng)
        self.counts[name] += 1
        if self._rng.random() < 0.1:
            publisher.publish(cut(serialize_message(message), self._rng))
            return
        publisher.publish(message)

    def answer_time(self) -> float:
        """Publish images without a fault until there is a result, and return the time to it, s.

        Raises:
            TimeoutError: There is none.
        """
        self._answers.clear()
        begin, count = time.monotonic(), 0
        while time.monotonic() - begin < PATIENCE_S:
            stamp_ns, count = time.time_ns(), count + 1
            for name, (kind, publisher) in self._publishers.items():
                if kind in (Image, CompressedImage, CameraInfo):
                    publisher.publish(self._valid(name, kind, stamp_ns, count))
            time.sleep(0.2)
            if self._answers:
                return min(self._answers.values()) - begin
        raise TimeoutError(f'images without a fault had no result within {PATIENCE_S:g} s')

    def close(self) -> None:
        """Take the publishers back."""
        for _, publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._node.destroy_subscription(self._subscription)

    def _on_pose(self, msg: RelativePose) -> None:
        self._answers[stamp_from_msg(msg.header.stamp)] = time.monotonic()

    def _valid(self, name: str, kind: type[Any], stamp_ns: int, index: int) -> Any:  # noqa: ANN401
        view = self._views[index % len(self._views)]
        header = header_to_msg(stamp_ns, 'camera')
        height, width = view.image.shape
        if kind is Image:
            return image_to_msg(view.depth if 'depth' in name else view.image, header)
        if kind is CompressedImage:
            data, described = compressed(view, 'depth' in name)
            return CompressedImage(header=header, format=described, data=array.array('B', data))
        if kind is CameraInfo:
            info = camera_to_msg(Camera(width, height, view.matrix), header)
            info.p[3] = -0.1 * view.matrix[0, 0] if 'right' in name else 0.0
            return info
        message = kind()
        if hasattr(message, 'header'):
            message.header = header
        return message


def compressed(view: RenderedView, depth: bool) -> tuple[bytes, str]:
    """Encode an image, or its depth as compressed_depth_image_transport does."""
    if not depth:
        return cv2.imencode('.jpg', view.image)[1].tobytes(), 'mono8; jpeg compressed '
    millimetres = np.round(1e3 * view.depth).astype(np.uint16)
    return bytes(12) + cv2.imencode('.png', millimetres)[1].tobytes(), '16UC1; compressedDepth png'


def mutate(message: Any, rng: np.random.Generator) -> None:  # noqa: ANN401 - of any type
    """Give one field, however deep, a wrong value."""
    fields = message.get_fields_and_field_types()
    if not fields:
        return
    name = str(rng.choice(sorted(fields)))
    kind, value = fields[name], getattr(message, name)
    if hasattr(value, 'get_fields_and_field_types'):
        mutate(value, rng)
    elif isinstance(value, (list, np.ndarray, array.array)) and '/' not in kind:
        setattr(message, name, sequence(kind, value, rng))
    elif kind.startswith(REAL):
        setattr(message, name, float(rng.choice(NUMBERS)))
    elif kind == 'string':
        setattr(message, name, str(rng.choice(TEXTS)))
    elif kind == 'boolean':
        setattr(message, name, not value)
    elif 'int' in kind or kind in ('octet', 'byte'):
        setattr(message, name, integer(kind, rng))


def integer(kind: str, rng: np.random.Generator) -> int:
    """Return an integer of a type: one of its limits, or any."""
    limits = np.iinfo(kind if 'int' in kind else 'uint8')
    values = [0, 1, 2, 3, 65535, int(limits.min), int(limits.max), int(rng.integers(2000))]
    return int(np.clip(values[rng.integers(len(values))], limits.min, limits.max))


def sequence(kind: str, value: Any, rng: np.random.Generator) -> Any:  # noqa: ANN401
    """Return numbers of a fixed length that are wrong, or a sequence of another length."""
    if any(name in kind for name in REAL):
        count = len(value) if '[' in kind else int(rng.choice([0, 1, 4, 5, 8, 12, 14, 100]))
        drawn = rng.choice(NUMBERS, count) if rng.random() < 0.5 else rng.normal(size=count)
        return drawn.tolist()
    data = bytearray(bytes(value))
    for change in range(int(rng.integers(1, 4))):
        place = int(rng.integers(len(data) + 1))
        if change == 0 and rng.random() < 0.5:
            del data[place:]
        else:
            data[place : place + 4] = rng.bytes(int(rng.integers(8)))
    return array.array('B', bytes(data))


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    """Return the bytes of a message that end too early, or of which some have changed."""
    changed = bytearray(data)
    for place in rng.integers(len(changed), size=3):
        changed[place] = rng.integers(256)
    return bytes(changed[: int(rng.integers(4, len(changed) + 1))])


def alive(node: NodeProcess) -> Iterator[None]:
    """Go on while the node does.

    Raises:
        RuntimeError: It has ended.
    """
    while node.process.poll() is None:
        yield
    raise RuntimeError(f'the node has ended with exit code {node.process.returncode}')


def attack(
    fuzzer: Fuzzer, node: NodeProcess, seconds: float, answered: Callable[[float], None]
) -> None:
    """Send malformed messages for so long, and look every few seconds if the node still answers."""
    begin = checked = time.monotonic()
    for _ in alive(node):
        now = time.monotonic()
        if now - checked > CHECK_S or now - begin > seconds:
            answered(fuzzer.answer_time())
            checked = time.monotonic()
        if now - begin > seconds:
            return
        fuzzer.send_malformed()
        time.sleep(1 / RATE)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=600.0, help='of all modes together')
    parser.add_argument('--modes', nargs='+', choices=MODES, default=list(MODES))
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=Path, default=Path('fuzz.json'))
    parser.add_argument('--picture', type=Path, default=Path('fuzz.png'))
    parser.add_argument('parameters', nargs='*', help='of the node: matcher.longer_side:=160 ...')
    options = parser.parse_args(words)
    views = list(render_room_sequence(20, width=SIZE[0], height=SIZE[1], rate_hz=10.0))
    player, watch = Player(), Watch()
    rng, counts = np.random.default_rng(options.seed), Counter[str]()
    latencies: list[tuple[float, float]] = []
    marks: list[tuple[float, str]] = []
    figures: dict[str, Any] = {}
    problems: list[str] = []
    for number, mode in enumerate(options.modes):
        # The graph knows a node for a while after its end: each has a name of its own.
        fuzzer = Fuzzer(player, f'loftr{number}', views, rng)
        marks.append((watch.seconds(), mode))
        try:
            with node_process([*MODES[mode], *options.parameters], f'loftr{number}') as node:
                fuzzer.wait_for_topics('image', 60.0)
                watch.begin(node.process.pid)
                first = len(watch.samples)
                attack(
                    fuzzer,
                    node,
                    options.seconds / len(options.modes),
                    lambda answer: latencies.append((watch.seconds(), answer)),
                )
                log = node.log.read_text(encoding='utf-8')
        except (RuntimeError, TimeoutError) as error:
            problems.append(f'{mode}: {error}')
            continue
        finally:
            watch.end()
            counts += fuzzer.counts
            fuzzer.close()
        held = growths(watch.samples[first:])
        figures[mode] = {'log lines': log.count('\n'), 'longest line': longest(log), **held}
        if node.process.returncode or 'Traceback' in log:
            problems.append(f'{mode}: exit code {node.process.returncode}: {log[-500:]}')
    player.close()
    figures['malformed messages'] = sum(counts.values())
    write_json(
        options.json,
        figures,
        watch.samples,
        counts=dict(counts),
        latencies=latencies,
        problems=problems,
    )
    title = f'{figures["malformed messages"]} malformed messages, seed {options.seed}'
    draw(options.picture, title, watch.samples, latencies, marks)
    for name, value in figures.items():
        print(f'  {name:<20} {value}')
    print('\n'.join(problems) or f'holds: {options.json}, {options.picture}')
    return int(bool(problems))


def longest(log: str) -> int:
    """Return the length of the longest line."""
    return max(map(len, log.splitlines()), default=0)


if __name__ == '__main__':
    sys.exit(main())
