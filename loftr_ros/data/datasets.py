"""Open a sequence of images, whatever its layout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from loftr_ros.data import colmap_layout, euroc, kitti, middlebury, sevenscenes, tum
from loftr_ros.data.errors import DatasetError
from loftr_ros.data.sequences import (
    FrameEntry,
    GroundTruthFrame,
    GroundTruthSequence,
    ImageSequence,
    InputOptions,
    RefusedFrame,
    with_depth,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    'LAYOUTS',
    'MODES',
    'DatasetError',
    'FrameEntry',
    'GroundTruthFrame',
    'GroundTruthSequence',
    'ImageSequence',
    'InputOptions',
    'RefusedFrame',
    'find_layout',
    'open_sequence',
]


BY_DEFAULT = InputOptions()
MODES = ('mono', 'stereo', 'rgbd')


@dataclass(frozen=True)
class Layout:
    """One layout of datasets.

    Attributes:
        name: Its name in tables.
        looks_for: The files by which it is known, for messages.
        matches: Whether a folder has this layout.
        open: Index the sequence in a folder, for one of its cameras.
        open_stereo: The same with the views of the right camera; None where there is none.

    """

    name: str
    looks_for: str
    matches: Callable[[Path], bool]
    open: Callable[[Path, str | None], ImageSequence]
    open_stereo: Callable[[Path, str | None], ImageSequence] | None = None


LAYOUTS = (
    Layout('kitti', kitti.LOOKS_FOR, kitti.is_kitti, kitti.open_kitti, kitti.open_kitti_stereo),
    Layout('euroc', euroc.LOOKS_FOR, euroc.is_euroc, euroc.open_euroc, euroc.open_euroc_stereo),
    Layout('tum', tum.LOOKS_FOR, tum.is_tum, tum.open_tum),
    Layout(
        'sevenscenes',
        sevenscenes.LOOKS_FOR,
        sevenscenes.is_sevenscenes,
        sevenscenes.open_sevenscenes,
    ),
    Layout('colmap', colmap_layout.LOOKS_FOR, colmap_layout.is_colmap, colmap_layout.open_colmap),
)


def find_layout(path: Path) -> Layout | None:
    """Return the layout of a folder, or None where it has none of `LAYOUTS`."""
    if not path.is_dir():
        return None
    return next((layout for layout in LAYOUTS if layout.matches(path)), None)


def open_sequence(
    path: Path | str,
    camera: str | None = None,
    mode: str = 'mono',
    options: InputOptions = BY_DEFAULT,
) -> GroundTruthSequence:
    """Open a dataset folder or a ROS 2 bag.

    Args:
        path: Folder of a KITTI, EuRoC (ASL), TUM RGB-D or 7-Scenes sequence or of a COLMAP model,
            or a bag (its folder, or a single .mcap or .db3 file).
        camera: Which camera of the dataset (its folder, as 'cam1'), or image topic of the bag; by
            default the first.
        mode: One of `MODES`: what the frames carry besides their image.
        options: How inputs are read.

    Raises:
        DatasetError: If nothing known is there, it is incomplete or malformed, or it lacks what the
            mode needs.
        ValueError: If there is no such mode.

    """
    from loftr_ros.data.bags.reader import open_bag
    from loftr_ros.data.bags.storage import is_bag
    from loftr_ros.data.bags.topics import TopicNames  # only bags need rosbags

    path = Path(path).expanduser()
    if not path.exists():
        raise DatasetError(path, 'there is no such file or folder', 'Check the path.')
    if mode not in MODES:
        raise ValueError(f'mode must be one of {", ".join(MODES)}, not {mode!r}')
    if is_bag(path):
        return open_bag(path, TopicNames(image=camera), mode, options)
    layout = find_layout(path)
    if layout is None:
        raise DatasetError(path, _nothing_found(path), _looked_for())
    if options.calibrations.cameras:
        problem = 'a data set has its calibration: that of a file is for bags'
        raise DatasetError(path, problem, 'Leave the calibration file out.')
    return replace(_open_in_mode(layout, path, camera, mode), slop_ns=options.slop_ns)


def _open_in_mode(layout: Layout, path: Path, camera: str | None, mode: str) -> ImageSequence:
    if mode == 'rgbd':
        return with_depth(layout.open(path, camera), path)
    if mode == 'mono':
        return layout.open(path, camera)
    if layout.open_stereo is None:
        raise DatasetError(path, f'{layout.name} has no right camera', 'Use another mode.')
    return layout.open_stereo(path, camera)


def _nothing_found(path: Path) -> str:
    if path.is_file():
        return 'the name of this file is that of no bag'
    if middlebury.is_middlebury(path):
        return 'this is a stereo pair without poses, not a sequence'
    inside = sorted(child.name for child in path.iterdir() if _known(child))
    hint = f'; what can be opened lies in it: {", ".join(inside[:5])}' if inside else ''
    return f'no known layout{hint}'


def _known(path: Path) -> bool:
    from loftr_ros.data.bags.storage import is_bag

    return find_layout(path) is not None or is_bag(path)


def _looked_for() -> str:
    known = [f'{layout.name} ({layout.looks_for})' for layout in LAYOUTS]
    return f'Looked for {"; ".join(known)}; bag (metadata.yaml, *.mcap or *.db3).'
