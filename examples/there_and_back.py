#!/usr/bin/env python3
"""Close loops for real: loftr_ros and the back-end of pose_graph_node.py, one frame at a time.

    python examples/there_and_back.py                       # a walk round a rendered room
    python examples/there_and_back.py DATA --mode stereo    # a KITTI or 7-Scenes (rgbd) folder

A dataset is shown there on every other frame and back on those in between, so that no image comes
twice; with --once it is shown as it is. What both nodes make of it is left in a folder.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rclpy
from evo.tools.file_interface import write_tum_trajectory_file
from pose_graph_report import trajectory
from rclpy.client import Client
from rclpy.node import Node
from rich.progress import track
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import Trigger

from loftr_ros.codecs.conversions import camera_to_msg, header_to_msg, image_to_msg, stamp_from_msg
from loftr_ros.data.datasets import DatasetError, open_sequence
from loftr_ros.data.sequences import ImageSequence
from loftr_ros.evaluation.live.processes import LiveError, Process, ros_environment
from loftr_ros.frontend import Frame
from loftr_ros.geometry import Camera
from loftr_ros.geometry.quaternions import quaternion_from_rotation
from loftr_ros.geometry.transforms import make_transform
from loftr_ros.msg import RelativePose
from loftr_ros.rendering.room import render_room_sequence

Array = npt.NDArray[np.float64]

START_NS = 10**9
ROUND, OVERLAP = 60, 8
"""Frames of a walk round the room, and of its end that sees the start again."""

TIMEOUT_S = 60.0
SETTLE_S = 1.0
TRUTH = 'truth.tum'
POSES = '/loftr/relative_pose'
EXAMPLES = Path(__file__).parent
TOPICS = {
    'stereo': ('left/camera_info', 'left/image', 'right/camera_info', 'right/image'),
    'rgbd': ('camera_info', 'depth', 'image'),
}
NODE_PARAMETERS = (
    # Nothing may be lost: the next frame waits for the result of this one.
    'input.process_every_frame:=true',
    'input.reliability:=reliable',
    # No transforms are published: the camera is on the base as the default says.
    'odometry.extrinsics:=parameter',
    # The sequences are short.
    'loop.enabled:=true',
    'loop.min_age:=3.0',
    'loop.interval:=0.0',
)
GRAPH_TOPICS = (f'relative_pose:={POSES}', 'odometry:=/loftr/odometry')


@dataclass(frozen=True)
class Film:
    """What is shown to the nodes.

    Attributes:
        mode: Of loftr_ros.
        stamps: Time of each frame, ns.
        truths: True pose of the camera at each frame (4, 4); None where it is unknown.
        frames: Reads the frames, one after the other.
        left_T_right: Pose of the right camera (4, 4) in the mode stereo.
    """

    mode: str
    stamps: Sequence[int]
    truths: Sequence[Array | None]
    frames: Iterable[Frame]
    left_T_right: Array | None = None


def order_of(count: int, once: bool = False) -> list[int]:
    """Return the indices of frames as they are shown: even ones there, and back on the odd ones."""
    there, back = range(0, count, 2), range(count - 1 - count % 2, 0, -2)
    return list(range(count)) if once else [*there, *back]


def stamps_of(times_ns: Sequence[int]) -> list[int]:
    """Return the stamps of frames shown in another order: as far apart as their times are, ns."""
    steps = np.abs(np.diff(np.array(times_ns, np.int64)))
    return [START_NS, *(START_NS + np.cumsum(steps)).tolist()]


class Rig(Node):
    """The camera of a sequence, with an ear for what loftr_ros makes of its images."""

    def __init__(self, mode: str) -> None:
        """Join the graph with the topics of a mode of loftr_ros."""
        super().__init__('camera')
        self._types = {
            name: CameraInfo if name.endswith('info') else Image for name in TOPICS[mode]
        }
        self._outputs = {
            name: self.create_publisher(kind, name, 5) for name, kind in self._types.items()
        }
        self._latest_result_ns = 0
        self.create_subscription(RelativePose, POSES, self._on_pose, 100)

    def has_subscribers(self) -> bool:
        """Return whether somebody listens to each topic."""
        return all(output.get_subscription_count() for output in self._outputs.values())

    def has_result(self, stamp_ns: int) -> bool:
        """Return whether there is a result of a frame."""
        return self._latest_result_ns >= stamp_ns

    def show(self, frame: Frame, stamp_ns: int) -> None:
        """Publish all that a frame carries, at a time of its own."""
        header = header_to_msg(stamp_ns, 'camera_optical_frame')
        left = 'left/' if frame.right else ''
        messages = {f'{left}camera_info': camera_to_msg(frame.camera, header)}
        if frame.right is not None:
            messages['right/camera_info'] = camera_to_msg(frame.right.camera, header)
            messages['right/image'] = image_to_msg(frame.right.image, header)
        if frame.depth is not None:
            messages['depth'] = image_to_msg(frame.depth, header)
        messages[f'{left}image'] = image_to_msg(frame.image, header)
        for name, msg in messages.items():
            self._outputs[name].publish(msg)

    def wait(self, condition: Callable[[], object], process: Process, what: str) -> None:
        """Listen until something holds.

        Raises:
            LiveError: The process that it depends on ended, or takes too long.
        """
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            process.check()
            if time.monotonic() > deadline:
                raise process.error(f'has not {what} within {TIMEOUT_S:.0f} s')
            rclpy.spin_once(self, timeout_sec=0.05)

    def call(self, service: str, process: Process) -> str:
        """Call a service of the type Trigger, and return its message.

        Raises:
            LiveError: It fails or does not answer.
        """
        client: Client[Trigger.Request, Trigger.Response] = self.create_client(Trigger, service)
        self.wait(client.service_is_ready, process, f'offered {service}')
        future = client.call_async(Trigger.Request())
        self.wait(future.done, process, f'answered {service}')
        response = future.result()
        if response is None or not response.success:
            raise process.error(f'refused {service}: {response.message if response else ""}')
        return str(response.message)

    def _on_pose(self, msg: RelativePose) -> None:
        self._latest_result_ns = max(self._latest_result_ns, stamp_from_msg(msg.header.stamp))


def open_film(path: Path, mode: str, once: bool) -> Film:
    """Take the frames of a dataset, there and back or once.

    Raises:
        DatasetError: There is none, it is a bag, or it lacks what the mode needs.
    """
    sequence = open_sequence(path, mode=mode)
    if not isinstance(sequence, ImageSequence):
        raise DatasetError(path, 'a bag cannot be played back', 'Name the folder of a dataset.')
    order = order_of(len(sequence), once)
    entries = [sequence.entries[index] for index in order]
    return Film(
        mode,
        stamps_of([entry.stamp_ns for entry in entries]),
        [entry.world_T_camera for entry in entries],
        (sequence[index].frame for index in order),
        sequence.right.left_T_right if sequence.right else None,
    )


def room_film() -> Film:
    """Walk once round a rendered room and a little further, looking at its walls."""
    poses = [round_the_room(index / ROUND) for index in range(ROUND + OVERLAP)]
    views = render_room_sequence(len(poses), path=lambda seconds: poses[round(10 * seconds)])
    stamps = [START_NS + index * 10**8 for index in range(len(poses))]
    frames = (
        Frame(view.stamp_ns, view.image, camera=Camera(640, 480, view.matrix), depth=view.depth)
        for view in views
    )
    return Film('rgbd', stamps, poses, frames)


def round_the_room(laps: float) -> Array:
    """Return the pose (4, 4) of a camera that goes in narrowing circles and looks outwards."""
    angle, radius = 2 * np.pi * laps, 1.2 - 0.1 * laps
    ahead = np.array([np.cos(angle), np.sin(angle), 0.0])
    right = np.array([np.sin(angle), -np.cos(angle), 0.0])
    rotation = np.column_stack([right, [0.0, 0.0, -1.0], ahead])
    return make_transform(rotation, radius * ahead + [-0.8, 0.0, 1.4])


def run(film: Film, options: argparse.Namespace) -> str:
    """Show a film to both nodes, and return what the back-end says.

    Raises:
        LiveError: One of the nodes failed.
        DatasetError: A frame cannot be read.
    """
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    write_truth(out / TRUTH, film)
    arguments = node_arguments(film, options), graph_arguments(options)
    node = Process('loftr_ros', 'loftr_ros.ros.node', arguments[0], out / 'node.log')
    graph = Process('the back-end', 'pose_graph_node', arguments[1], out / 'pose_graph.log')
    rclpy.init(args=[])
    try:
        for process in (node, graph):
            process.start(dict(os.environ), talks=False)
        return show(film, Rig(film.mode), node, graph)
    finally:
        for process in (node, graph):
            process.stop()
        rclpy.try_shutdown()


def show(film: Film, rig: Rig, node: Process, graph: Process) -> str:
    """Show each frame when the one before has its result; then let the back-end write."""
    rig.wait(rig.has_subscribers, node, 'become active')
    rig.wait(lambda: rig.count_subscribers(POSES) > 1, graph, 'subscribed')
    time.sleep(SETTLE_S)  # discovery is not simultaneous on all sides
    for number, frame in enumerate(track(film.frames, 'frames', total=len(film.stamps))):
        stamp_ns = film.stamps[number]
        rig.show(frame, stamp_ns)
        if number:  # the first has nothing to be matched to
            found = functools.partial(rig.has_result, stamp_ns)
            rig.wait(found, node, f'matched frame {number}')
    # The worker answers after the loops of the last frame.
    rig.call('/loftr/set_keyframe', node)
    time.sleep(SETTLE_S)
    return rig.call('/pose_graph/save', graph)


def node_arguments(film: Film, options: argparse.Namespace) -> list[str]:
    """Return the command line of loftr_ros."""
    values = [f'mode:={film.mode}', *NODE_PARAMETERS, *options.node]
    if film.left_T_right is not None:
        rotation, position = film.left_T_right[:3, :3], film.left_T_right[:3, 3]
        numbers = [*position, *quaternion_from_rotation(rotation)]
        values.append(f'input.left_T_right:=[{", ".join(f"{number:.12f}" for number in numbers)}]')
    return ['--ros-args', *with_flag('-p', values)]


def graph_arguments(options: argparse.Namespace) -> list[str]:
    """Return the command line of the back-end."""
    values = [f'output:={options.out}', f'ground_truth:={options.out / TRUTH}', *options.graph]
    return ['--ros-args', *with_flag('-r', GRAPH_TOPICS), *with_flag('-p', values)]


def with_flag(flag: str, values: Iterable[str]) -> list[str]:
    """Put a flag before each value."""
    return [word for value in values for word in (flag, value)]


def write_truth(path: Path, film: Film) -> None:
    """Write the true poses of the frames that have one, in the format of TUM."""
    both = zip(film.stamps, film.truths, strict=True)
    known = [(stamp, pose) for stamp, pose in both if pose is not None]
    true_path = trajectory([stamp for stamp, _ in known], np.array([pose for _, pose in known]))
    write_tum_trajectory_file(str(path), true_path)


def main() -> int:
    """Run the example.

    Returns:
        Exit code: 0, or 1 with the reason on standard error.
    """
    options = parse_arguments()
    with tempfile.TemporaryDirectory(prefix='loftr_example_') as logs:
        os.environ.update(ros_environment(Path(logs)))
        paths = [str(EXAMPLES), os.environ.get('PYTHONPATH', '')]
        os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, paths))
        try:
            data: Path | None = options.data
            film = open_film(data, options.mode, options.once) if data else room_film()
            print(run(film, options))
        except (LiveError, DatasetError) as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('data', type=Path, nargs='?', help='folder of a dataset; none for the room')
    parser.add_argument('--mode', choices=sorted(TOPICS), default='rgbd', help='of loftr_ros')
    parser.add_argument('--out', type=Path, default=Path('out/there_and_back'), help='folder')
    parser.add_argument('--once', action='store_true', help='show the dataset as it is')
    for name, whose in (('node', 'loftr_ros'), ('graph', 'the back-end')):
        text = f'a parameter of {whose}; may be repeated'
        parser.add_argument(
            f'--{name}', action='append', default=[], metavar='NAME:=VALUE', help=text
        )
    return parser.parse_args()


if __name__ == '__main__':
    sys.exit(main())
