"""The command `loftr-ros convert`: a dataset becomes a ROS 2 bag to try the node with."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from loftr_ros.console import counting_bar, new_console
from loftr_ros.data.bags.writer import BagWriter
from loftr_ros.data.datasets import BY_DEFAULT, open_sequence
from loftr_ros.data.errors import DatasetError
from loftr_ros.data.sequences import InputOptions, RefusedFrame
from loftr_ros.geometry.transforms import inverse_transform, make_transform

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from rich.console import Console

    from loftr_ros.data.sequences import GroundTruthFrame, GroundTruthSequence
    from loftr_ros.frontend.frame import Frame, RightView
    from loftr_ros.geometry import Camera

    Matrix = NDArray[np.float64]

BASE, WORLD = 'base_link', 'world'
TRUTH_TOPIC = '/ground_truth/odometry'
# REP 103: the base looks along x with z up, an optical frame along z with y down.
BASE_R_OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
SAME_DIRECTION = 1e-6


@dataclass(frozen=True, kw_only=True)
class ConvertCommand:
    """What to convert, and into what.

    Attributes:
        dataset: Folder of a KITTI, EuRoC, TUM or 7-Scenes sequence, or another bag.
        output: Folder of the new bag; it must not exist.
        storage: 'mcap' or 'sqlite3'.
        compressed: Whether to write images as PNG; depth stays as it is.
        mode: 'mono', 'stereo' or 'rgbd'; None for all that the dataset has.
        camera: Camera of the dataset; None for the first.
        frames: Greatest number of frames; None for all.
        options: How the dataset is read.

    """

    dataset: Path
    output: Path
    storage: str = 'mcap'
    compressed: bool = False
    mode: str | None = None
    camera: str | None = None
    frames: int | None = None
    options: InputOptions = BY_DEFAULT

    def run(self, console: Console | None = None) -> dict[str, int]:
        """Write the bag.

        Returns:
            Number of messages by topic.

        Raises:
            DatasetError: If the dataset cannot be used, or the bag exists.

        """
        console = console or new_console()
        sequence, mode = self._open()
        total = len(sequence) if self.frames is None else min(self.frames, len(sequence))
        with (
            BagWriter(self.output, self.storage) as bag,
            counting_bar(console) as progress,
        ):
            converter = Converter(bag, mode, self.compressed)
            task = progress.add_task(f'{sequence.layout}, {mode}', total=total)
            for item in itertools.islice(sequence.items(), total):
                converter.add(item)
                progress.advance(task)
        self._check(converter, mode)
        for note in sequence.notes:
            console.print(f'warning: {note}', soft_wrap=True, markup=False)
        if converter.refused:
            first = converter.refused[0].reason
            text = f'{len(converter.refused)} of {total} frames were left out, first: {first}'
            console.print(text, soft_wrap=True, markup=False)
        for topic, count in sorted(converter.counts.items()):
            console.print(f'{topic}: {count}', highlight=False)
        console.print(f'bag: {self.output}/ (ros2 bag play {self.output} --clock)', soft_wrap=True)
        return converter.counts

    def _check(self, converter: Converter, mode: str) -> None:
        """Refuse a bag that lacks what the mode needs.

        Raises:
            DatasetError: No frame can be used, or none has it.

        """
        remedy = f'{self.output} holds what could be written.'
        if converter.refused and not converter.written:
            problem = f'no frame can be used, first: {converter.refused[0].reason}'
            raise DatasetError(self.dataset, problem, remedy)
        if mode != 'mono' and not converter.metric:
            problem = f'none of {converter.written} frames has what the mode {mode} needs in time'
            raise DatasetError(self.dataset, problem, remedy)

    def _open(self) -> tuple[GroundTruthSequence, str]:
        """Open the dataset in the mode that has most."""
        if self.mode is not None:
            return open_sequence(self.dataset, self.camera, self.mode, self.options), self.mode
        found = (self._attempt(mode) for mode in ('rgbd', 'stereo'))
        opened = next(filter(None, found), None)
        return opened or (
            open_sequence(self.dataset, self.camera, options=self.options),
            'mono',
        )

    def _attempt(self, mode: str) -> tuple[GroundTruthSequence, str] | None:
        try:
            return open_sequence(self.dataset, self.camera, mode, self.options), mode
        except DatasetError:  # it lacks what this mode needs, or more: then mono will say
            return None


class Converter:
    """Writes frames with all that belongs to them.

    Topics are those of the node's inputs under /camera (mono, rgbd) or /left and /right (stereo).
    The true pose is of the optical frame, as nav_msgs/Odometry and on /tf as a frame of its own:
    two parents of one frame would break the tree that an odometry publishes.
    """

    def __init__(self, bag: BagWriter, mode: str, compressed: bool) -> None:
        self._bag = bag
        self._compressed = compressed
        self._stereo = mode == 'stereo'
        self._frame_id = 'left_camera_optical_frame' if self._stereo else 'camera_optical_frame'
        self._namespace = '/left' if self._stereo else '/camera'
        self._static_ns: int | None = None
        self.counts: dict[str, int] = {}
        self.refused: list[RefusedFrame] = []
        self.written = self.metric = 0

    def add(self, item: GroundTruthFrame | RefusedFrame) -> None:
        """Write one frame, or note that it cannot be used."""
        if isinstance(item, RefusedFrame):
            self.refused.append(item)
            return
        self.written += 1
        self.metric += item.frame.mode != 'mono'
        self.write(item)

    def write(self, item: GroundTruthFrame) -> None:
        """Write one frame."""
        frame, bag = item.frame, self._bag
        stamp, header = frame.stamp_ns, bag.header(frame.stamp_ns, self._frame_id)
        if self._static_ns is None:
            self._write_static(frame)
        left_info, right_info = (
            _rectified(frame.camera, frame.right) if frame.right and frame.camera else ({}, {})
        )
        self._write_image(self._namespace, frame.image, header)
        if frame.camera is not None:
            self._write(
                f'{self._namespace}/camera_info',
                bag.camera_info(frame.camera, header, **left_info),
                stamp,
            )
        if item.depth is not None and not self._stereo:
            self._write('/camera/depth/image_raw', bag.image(item.depth, header), stamp)
            if frame.camera is not None:
                info = bag.camera_info(frame.camera, header)
                self._write('/camera/depth/camera_info', info, stamp)
        if frame.right is not None:
            header = bag.header(stamp, 'right_camera_optical_frame')
            self._write_image('/right', frame.right.image, header)
            info = bag.camera_info(frame.right.camera, header, **right_info)
            self._write('/right/camera_info', info, stamp)
        if item.world_T_camera is not None:
            self._write_truth(item.world_T_camera, stamp)

    def _write_image(self, namespace: str, image: NDArray[Any], header: Any) -> None:  # noqa: ANN401
        stamp = header.stamp.sec * 10**9 + header.stamp.nanosec
        if self._compressed:
            message = self._bag.compressed_image(image, header)
            self._write(f'{namespace}/image_raw/compressed', message, stamp)
        else:
            self._write(f'{namespace}/image_raw', self._bag.image(image, header), stamp)

    def _write_static(self, frame: Frame) -> None:
        self._static_ns = frame.stamp_ns
        edges = [(BASE, self._frame_id, make_transform(BASE_R_OPTICAL, np.zeros(3)))]
        if frame.right is not None:
            right = 'right_camera_optical_frame'
            edges.append((self._frame_id, right, frame.right.left_T_right))
        message = self._bag.transforms(edges, frame.stamp_ns)
        self._write('/tf_static', message, frame.stamp_ns)

    def _write_truth(self, world_T_camera: Matrix, stamp: int) -> None:
        self._bag.write_odometry(TRUTH_TOPIC, world_T_camera, stamp, WORLD, self._frame_id)
        self.counts[TRUTH_TOPIC] = self.counts.get(TRUTH_TOPIC, 0) + 1
        edge = WORLD, f'{self._frame_id}_ground_truth', world_T_camera
        self._write('/tf', self._bag.transforms([edge], stamp), stamp)

    def _write(self, topic: str, message: Any, stamp: int) -> None:  # noqa: ANN401 - any message
        self._bag.write(topic, message, stamp)
        self.counts[topic] = self.counts.get(topic, 0) + 1


def _rectified(left: Camera, right: RightView) -> tuple[dict[str, Matrix], dict[str, Matrix]]:
    """Return r and p of both cameras: the baseline of a stereo pair stands in the right p.

    A pair that is rectified stays as it is; of others OpenCV computes the common plane.
    """
    right_T_left = inverse_transform(right.left_T_right)
    rotation, translation = right_T_left[:3, :3], right_T_left[:3, 3]
    along_x = np.abs(translation[1:]).max() < SAME_DIRECTION * abs(translation[0])
    if along_x and np.allclose(rotation, np.eye(3), atol=SAME_DIRECTION):
        p = np.hstack([right.camera.matrix, right.camera.matrix @ translation[:, None]])
        return {}, {'projection': p}
    fisheye = left.distortion_model == 'equidistant'
    rectify = cv2.fisheye.stereoRectify if fisheye else cv2.stereoRectify
    size = left.width, left.height
    calibrations = (_opencv(left), _opencv(right.camera))
    options: dict[str, Any] = {'flags': cv2.CALIB_ZERO_DISPARITY}
    found = rectify(*calibrations[0], *calibrations[1], size, rotation, translation, **options)
    r0, r1, p0, p1 = (np.asarray(matrix, np.float64) for matrix in found[:4])
    return {'rectification': r0, 'projection': p0}, {'rectification': r1, 'projection': p1}


def _opencv(camera: Camera) -> tuple[Matrix, Matrix]:
    distortion = camera.distortion if camera.distortion.size else np.zeros(5)
    return camera.matrix, distortion
