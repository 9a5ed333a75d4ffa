"""What the demo feeds the node with: a bag of images, calibrations and true poses."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from loftr_ros.data.bags.writer import BagWriter
from loftr_ros.data.errors import DatasetError
from loftr_ros.data.sequences import GroundTruthFrame, InputOptions, RefusedFrame
from loftr_ros.evaluation.demo.topics import TRUE_POSE
from loftr_ros.frontend.frame import Frame
from loftr_ros.geometry import Camera

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

RENDERED_FRAMES = 120
RENDERED_SIZE = 640, 480
RENDERED_RATE = 10.0
MAX_SECONDS = 60.0
MAX_FRAMES = 600
WORLD, CAMERA = 'world', 'camera'


@dataclass(frozen=True, eq=False)
class FrameSource:
    """Where the frames come from.

    Attributes:
        name: Name of the sequence.
        frames: The frames in the order of time.
        expected: How many there are, for a progress bar; at most so many are used.

    """

    name: str
    frames: Iterable[GroundTruthFrame | RefusedFrame]
    expected: int


@dataclass(frozen=True, eq=False)
class Feed:
    """Messages that are ready to be sent.

    Attributes:
        name: Name of the sequence.
        path: The bag; the time of each message is when to send it, ns after the start.
        stamps: Times of the images, ns.
        rate: Images per second, Hz.
        size: Width and height of the images, px.
        truth: Time of an image, ns -> pose of the camera in the world (4, 4), where it is known.
        refused: Why images that cannot be used were left out.

    """

    name: str
    path: Path
    stamps: tuple[int, ...]
    rate: float
    size: tuple[int, int]
    truth: Mapping[int, NDArray[np.float64]]
    refused: tuple[str, ...] = ()


def room_source(
    frames: int = RENDERED_FRAMES, size: tuple[int, int] = RENDERED_SIZE
) -> FrameSource:
    """Render a walk through a furnished room, whose poses are exact."""
    return FrameSource('rendered room', _render(frames, width=size[0], height=size[1]), frames)


def dataset_source(
    path: Path, frames: int | None = None, options: InputOptions | None = None
) -> FrameSource:
    """Read a dataset or a bag: so many frames, or what fits into `MAX_SECONDS`.

    Raises:
        DatasetError: Nothing known is there.

    """
    from loftr_ros.data.datasets import open_sequence

    sequence = open_sequence(path, options=options or InputOptions())
    count = min(frames or MAX_FRAMES, len(sequence))
    chosen = itertools.islice(sequence.items(), count)
    return FrameSource(sequence.name, chosen if frames else _limited(chosen), count)


def write_feed(
    source: FrameSource,
    path: Path,
    rate: float | None = None,
    on_frame: Callable[[], None] = lambda: None,
    *,
    recorded: bool = False,
) -> Feed:
    """Write the bag that will be played.

    Args:
        source: The frames.
        path: Folder of the bag, which does not exist yet.
        rate: Images per second, Hz; None sends them as their stamps say.
        on_frame: Called after each frame.
        recorded: Whether the times of the messages are those of the stamps, as a recorder writes
            them, rather than count from 0.

    Raises:
        DatasetError: There are less than two frames, or their stamps do not rise.

    """
    stamps: list[int] = []
    truth: dict[int, NDArray[np.float64]] = {}
    refused: list[str] = []
    size = 0, 0
    with BagWriter(path) as writer:
        for index, item in enumerate(source.frames):
            on_frame()
            if isinstance(item, RefusedFrame):
                refused.append(item.reason)
                continue
            stamp = item.frame.stamp_ns
            _check_order(source, stamps, stamp, path)
            stamps.append(stamp)
            time_ns = round(index * 1e9 / rate) if rate else stamp - stamps[0]
            time_ns += stamps[0] if recorded else 0
            writer.write_frame(f'/{CAMERA}', item.frame, time_ns)
            size = item.frame.image.shape[1], item.frame.image.shape[0]
            if item.world_T_camera is not None:
                truth[stamp] = item.world_T_camera
                writer.write_pose(
                    TRUE_POSE, item.world_T_camera, stamp, frame_id=WORLD, time_ns=time_ns
                )
    if len(stamps) < 2:
        problem = f'{source.name} has {len(stamps)} frames that can be used'
        problem += f' and {len(refused)} that cannot, first: {refused[0]}' if refused else ''
        raise DatasetError(path, problem, 'Two are needed.')
    measured = 1e9 / float(np.median(np.diff(stamps)))
    return Feed(source.name, path, tuple(stamps), rate or measured, size, truth, tuple(refused))


def _check_order(source: FrameSource, stamps: list[int], stamp: int, path: Path) -> None:
    if stamps and stamp <= stamps[-1]:
        raise DatasetError(
            path,
            f'{source.name}: the stamp of image {len(stamps)} is not after that of the one before',
            'Correct the stamps.',
        )


def _render(frames: int, *, width: int, height: int) -> Iterator[GroundTruthFrame]:
    import torch  # which takes seconds

    from loftr_ros.rendering.room import render_room_sequence

    # On a machine with other work, threads that wait for each other are far slower than one.
    torch.set_num_threads(1)
    for view in render_room_sequence(frames, width=width, height=height, rate_hz=RENDERED_RATE):
        camera = Camera(width, height, view.matrix, 'none', np.zeros(0))
        frame = Frame(view.stamp_ns, view.image, CAMERA, camera)
        yield GroundTruthFrame(frame, view.world_T_camera)


def _limited(
    frames: Iterable[GroundTruthFrame | RefusedFrame],
) -> Iterator[GroundTruthFrame | RefusedFrame]:
    first = None
    for item in frames:
        if isinstance(item, RefusedFrame):
            yield item
            continue
        first = item.frame.stamp_ns if first is None else first
        if item.frame.stamp_ns - first > MAX_SECONDS * 1e9:
            return
        yield item
