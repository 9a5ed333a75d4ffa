"""Open what `loftr-ros evaluate` is pointed at, and say what is odd about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loftr_ros.codecs.calibration_files import read_calibrations
from loftr_ros.data.bags.imu import read_bag_imu
from loftr_ros.data.bags.reader import BagSequence, open_bag
from loftr_ros.data.bags.storage import is_bag
from loftr_ros.data.datasets import open_sequence
from loftr_ros.data.errors import DatasetError
from loftr_ros.data.euroc import read_euroc_imu
from loftr_ros.data.sequences import InputOptions
from loftr_ros.data.tables import read_lines
from loftr_ros.settings.declarations import transform_from_pose
from loftr_ros.texts import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loftr_ros.data.imu import ImuSamples
    from loftr_ros.data.sequences import GroundTruthFrame, GroundTruthSequence
    from loftr_ros.evaluation.records.results import FrameRecord
    from loftr_ros.evaluation.replay.task import InputChoice
    from loftr_ros.geometry import Camera
    from loftr_ros.settings.parameters import NodeParameters


def open_input(path: Path, choice: InputChoice, parameters: NodeParameters) -> GroundTruthSequence:
    """Open a bag or a dataset.

    Raises:
        DatasetError: If it cannot be used, or lacks what the mode needs.

    """
    options = input_options(parameters)
    if path.exists() and is_bag(path):
        return open_bag(path, choice.topics, choice.mode, options)
    return open_sequence(path, choice.camera, choice.mode, options)


def read_imu(
    path: Path, sequence: GroundTruthSequence, choice: InputChoice, parameters: NodeParameters
) -> ImuSamples | None:
    """Read the samples of the gyroscope of an input; None where none is asked for.

    Raises:
        DatasetError: If it has none, or nothing tells how it is mounted.

    """
    if not parameters.has_gyroscope:
        return None
    if isinstance(sequence, BagSequence):
        samples = read_bag_imu(path, choice.topics.imu, sequence.topics.image)
    elif sequence.layout == 'euroc':
        samples = read_euroc_imu(path, choice.camera)
    else:
        problem = f'input.gyroscope is set, but the layout {sequence.layout} has no gyroscope'
        raise DatasetError(path, problem, 'Leave it out, or take a bag or the layout of EuRoC.')
    if samples.camera_R_imu is None and len(parameters.input.gyroscope) == NOISES:
        problem = f'/tf_static does not join the frame of {samples.source} to that of the images'
        raise DatasetError(path, problem, 'Give camera_R_imu in input.gyroscope.')
    return samples


NOISES = 2
"""Numbers of `input.gyroscope` before those of its rotation."""


def input_options(parameters: NodeParameters) -> InputOptions:
    """Return what the parameters of the node mean for a recording.

    Raises:
        CameraInfoError: If a file of a calibration cannot be used.

    """
    return InputOptions(
        calibrations=read_calibrations(parameters.input.calibration_file),
        rectified=parameters.input.rectified,
        slop_ns=round(parameters.input.sync_slop * 1e9),
        left_T_right=transform_from_pose(parameters.input.left_T_right),
    )


def names_of(paths: Iterable[Path]) -> list[str]:
    """Name the sequences after their files; equal names are numbered."""
    names: list[str] = []
    for path in paths:
        resolved = path.expanduser().resolve()
        file = resolved.parent if resolved.name == 'mav0' else resolved
        name = re.sub(r'[^\w.-]+', '_', file.stem if file.is_file() else file.name) or 'input'
        number = 2
        unique = name
        while unique in names:
            unique, number = f'{name}_{number}', number + 1
        names.append(unique)
    return names


def read_list(path: Path) -> list[Path]:
    """Read the paths that a file lists, one a line; relative ones start at its folder.

    Raises:
        DatasetError: If it is missing or lists none.

    """
    paths = [path.parent / Path(line).expanduser() for _, line in read_lines(path)]
    if not paths:
        raise DatasetError(path, 'the file lists no bags', 'Write one path a line.')
    return paths


def topics_of(sequence: GroundTruthSequence) -> dict[str, str]:
    """Return the topics of a bag by their use; none of a dataset."""
    return sequence.topics.used() if isinstance(sequence, BagSequence) else {}


def describe(sequence: GroundTruthSequence) -> str:
    """Say what was found."""
    camera = sequence.camera
    size = f'{camera.width}x{camera.height} px' if camera else 'no calibration'
    found = f'{sequence.layout}, {len(sequence)} frames, {size}'
    topics = f'; {sequence.topics}' if isinstance(sequence, BagSequence) else ''
    return printable(found + topics)


def camera_values(camera: Camera | None) -> dict[str, Any] | None:
    """Return a calibration as plain values."""
    if camera is None:
        return None
    return {
        'width': camera.width,
        'height': camera.height,
        'matrix': camera.matrix.tolist(),
        'distortion_model': camera.distortion_model,
        'distortion': camera.distortion.tolist(),
    }


@dataclass
class PartnerCount:
    """How many frames have what gives them scale: depth, or a right image.

    Attributes:
        found: Frames that have it.
        missing: Frames that lack it.
        nearest_ns: Of those that lack it, how far the nearest is, ns; None where there is none.

    """

    found: int = 0
    missing: int = 0
    nearest_ns: int | None = None

    def add(self, item: GroundTruthFrame) -> None:
        """Count a frame."""
        if item.frame.mode != 'mono':
            self.found += 1
            return
        self.missing += 1
        if item.apart_ns is not None:
            self.nearest_ns = min(self.nearest_ns or item.apart_ns, item.apart_ns)

    def text(self, mode: str, slop_ns: int) -> str:
        """Say how many frames have it, and why the others lack it."""
        name = {'stereo': 'a right image', 'rgbd': 'a depth image'}[mode]
        text = f'{self.found} of {self.found + self.missing} frames have {name}'
        if self.nearest_ns is None:
            return f'{text}: there is none near the others'
        return (
            f'{text}: the nearest are {self.nearest_ns / 1e9:.3f} s apart, allowed '
            f'{slop_ns / 1e9:.3f} s (input.sync_slop)'
        )


def problem_of(
    records: Sequence[FrameRecord], mode: str, partners: PartnerCount, slop_ns: int
) -> str:
    """Say what the mode needs and no frame has; '' where nothing is missing.

    Args:
        records: All frames.
        mode: 'mono', 'stereo' or 'rgbd'.
        partners: How many frames have what the mode needs.
        slop_ns: How far apart stamps may be, ns.

    """
    if not records:
        return 'there are no frames'
    refused = [record for record in records if record.status == 'refused']
    if len(refused) == len(records):
        return f'none of {len(records)} frames can be used, first: {refused[0].reason}'
    if mode != 'mono' and not partners.found:
        return partners.text(mode, slop_ns)
    return ''


def warnings_of(
    sequence: GroundTruthSequence, records: Sequence[FrameRecord], expected: int | None
) -> list[str]:
    """Say what is odd about an input that was read.

    Args:
        sequence: The input.
        records: Its frames.
        expected: Number of frames that were to come; None if reading ended before.

    """
    warnings = []
    if sequence.camera is None:
        warnings.append(
            'no calibration: there are matches, but no poses; --calibration takes one from a file'
        )
    warnings += sequence.notes
    if isinstance(sequence, BagSequence):
        if sequence.topics.note:
            warnings.append(sequence.topics.note)
        if sequence.unknown_types:
            warnings.append(f'types left alone: {", ".join(sequence.unknown_types)}')
    warnings += _time_warnings(records)
    known = sum(record.world_T_camera is not None for record in records)
    span = sequence.truth_span_ns
    if not known and span is not None and records:
        warnings.append(
            f'no frame has a true pose: images are from {_seconds(records[0].stamp_ns)} to '
            f'{_seconds(records[-1].stamp_ns)} s, true poses from {_seconds(span[0])} to '
            f'{_seconds(span[1])} s'
        )
    if 0 < known < sum(record.status != 'refused' for record in records):
        warnings.append(f'{known} of {len(records)} frames have a true pose')
    if expected is not None and len(records) < expected:
        warnings.append(f'{len(records)} of {expected} frames were read')
    return warnings


def _seconds(stamp_ns: int) -> str:
    return f'{stamp_ns / 1e9:.3f}'


def _time_warnings(records: Sequence[FrameRecord]) -> list[str]:
    """Name refused frames, and where time went backwards."""
    last: int | None = None
    backwards, refused, jumps = [], [], []
    for record in records:
        if record.status != 'refused':
            if last is not None and record.stamp_ns < last:
                jumps.append((record.index, (last - record.stamp_ns) / 1e9))
            last = record.stamp_ns
        elif last is not None and record.stamp_ns <= last:
            backwards.append((record.index, (last - record.stamp_ns) / 1e9))
        else:
            refused.append(record)
    warnings = []
    if backwards:
        index, seconds = backwards[0]
        warnings.append(
            f'time goes backwards: {len(backwards)} frames are not after the one before, first '
            f'frame {index} by {seconds:g} s; they were refused'
        )
    if jumps:
        index, seconds = jumps[0]
        warnings.append(
            f'time jumps back {len(jumps)} times, first at frame {index} by {seconds:g} s: '
            'tracking starts again there'
        )
    if refused:
        warnings.append(f'{len(refused)} frames were refused, first: {refused[0].reason}')
    return warnings
