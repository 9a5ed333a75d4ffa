"""Open what `loftr-ros evaluate` is pointed at, and say what is odd about it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loftr_ros.data.bags.reader import BagSequence, is_bag, open_bag
from loftr_ros.data.datasets import open_sequence
from loftr_ros.data.errors import DatasetError
from loftr_ros.data.tables import read_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loftr_ros.data.bags.topics import TopicNames
    from loftr_ros.data.sequences import GroundTruthSequence
    from loftr_ros.evaluation.records.results import FrameRecord
    from loftr_ros.geometry import Camera
    from loftr_ros.settings.parameters import NodeParameters


def open_input(
    path: Path, mode: str, topics: TopicNames, camera: str | None, parameters: NodeParameters
) -> GroundTruthSequence:
    """Open a bag with these topics, or a dataset.

    Raises:
        DatasetError: If it cannot be used, or lacks what the mode needs.

    """
    if path.exists() and is_bag(path):
        return open_bag(path, topics, mode, rectified=parameters.input.rectified)
    return open_sequence(path, camera, mode)


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
    return f'{found}; {sequence.topics}' if isinstance(sequence, BagSequence) else found


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
        warnings.append('no calibration: there are matches, but no poses')
    if isinstance(sequence, BagSequence):
        if sequence.topics.note:
            warnings.append(sequence.topics.note)
        if sequence.unknown_types:
            warnings.append(f'types left alone: {", ".join(sequence.unknown_types)}')
    warnings += _time_warnings(records)
    known = sum(record.world_T_camera is not None for record in records)
    if 0 < known < sum(record.status != 'refused' for record in records):
        warnings.append(f'{known} of {len(records)} frames have a true pose')
    if expected is not None and len(records) < expected:
        warnings.append(f'{len(records)} of {expected} frames were read')
    return warnings


def _time_warnings(records: Sequence[FrameRecord]) -> list[str]:
    """Name refused frames, and where time went backwards."""
    last, backwards, refused = None, [], []
    for record in records:
        if record.status != 'refused':
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
    if refused:
        warnings.append(f'{len(refused)} frames were refused, first: {refused[0].reason}')
    return warnings
