"""Which pairs of images are evaluated: sets of pairs found in a folder of datasets."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING

import numpy as np

from loftr_ros.data import middlebury
from loftr_ros.data.datasets import LAYOUTS, ImageSequence, find_layout
from loftr_ros.data.errors import DatasetError
from loftr_ros.geometry.transforms import inverse_transform

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SEARCH_DEPTH = 2
# Closer cameras have no direction of translation that the truth could give.
SMALLEST_BASELINE = 0.02


@dataclass(frozen=True)
class PairRule:
    """Which frames of a sequence make a pair.

    Attributes:
        suffix: Added to the name of the set; empty for the only rule of a layout.
        rate_hz: Frame rate at which the layout is recorded.
        shortest: Least number of frames of that rate between the two images.
        longest: Greatest number of frames between them.

    """

    suffix: str
    rate_hz: int
    shortest: int
    longest: int


RULES: dict[str, tuple[PairRule, ...]] = {
    'kitti': (PairRule('consecutive', 10, 1, 1), PairRule('gaps_3_6', 10, 3, 6)),
    'euroc': (PairRule('', 20, 10, 20),),
    'tum': (PairRule('', 30, 25, 65),),
    'sevenscenes': (PairRule('', 30, 30, 60),),
    'colmap': (PairRule('', 1, 1, 4),),
}


@dataclass(frozen=True, eq=False)
class PosePair:
    """Two frames of a sequence and the true motion between them.

    Attributes:
        reference: Index of the reference frame.
        query: Index of the query frame.
        reference_T_query: float64 (4, 4), true pose of the query camera, metres.

    """

    reference: int
    query: int
    reference_T_query: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PoseSet:
    """Pairs of one sequence with known relative poses.

    Attributes:
        name: Name of the set in tables and files.
        sequence: The images.
        pairs: The pairs, in the order of their reference.

    """

    name: str
    sequence: ImageSequence
    pairs: tuple[PosePair, ...]

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.pairs)


@dataclass(frozen=True, eq=False)
class DisparitySet:
    """Rectified stereo pairs with known disparities.

    Attributes:
        name: Name of the set in tables and files.
        folders: The folder of each pair.

    """

    name: str
    folders: tuple[Path, ...]

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.folders)


PairSet = PoseSet | DisparitySet


def find_pair_sets(
    data: Path, patterns: Sequence[str] = (), max_pairs: int | None = 200
) -> list[PairSet]:
    """Find all sets of pairs below a folder.

    Args:
        data: Folder of one dataset or of several.
        patterns: Names of sets to keep, with wildcards; none keeps all.
        max_pairs: Greatest number of pairs of a set, evenly chosen; None for all.

    Raises:
        DatasetError: If there is no set, none of such a name, or a malformed dataset.

    """
    if not data.is_dir():
        raise DatasetError(data, 'there is no such folder', 'Give the folder of the datasets.')
    folders = list(_folders(data, SEARCH_DEPTH))
    found: list[PairSet] = [*_pose_sets(folders, max_pairs), *_disparity_sets(folders)]
    if not found:
        known = [f'{layout.name} ({layout.looks_for})' for layout in LAYOUTS]
        looked_for = '; '.join([*known, f'middlebury ({middlebury.LOOKS_FOR})'])
        raise DatasetError(data, 'there are no pairs with known poses', f'Looked for {looked_for}.')
    return _select(found, patterns, data)


def _folders(folder: Path, depth: int) -> Iterable[Path]:
    """Walk down to a depth, but not into datasets."""
    yield folder
    if depth and find_layout(folder) is None:
        for child in sorted(child for child in folder.iterdir() if child.is_dir()):
            yield from _folders(child, depth - 1)


def _pose_sets(folders: Sequence[Path], max_pairs: int | None) -> Iterable[PoseSet]:
    layouts = [(folder, layout) for folder in folders if (layout := find_layout(folder))]
    names = [layout.name for _, layout in layouts]
    for folder, layout in layouts:
        sequence = layout.open(folder, None)
        for rule in RULES[layout.name]:
            pairs = select_pairs(sequence, rule, max_pairs)
            alone = rule.suffix and names.count(layout.name) == 1
            stem = layout.name if alone else sequence.name
            if pairs:
                yield PoseSet('_'.join(filter(None, (stem, rule.suffix))), sequence, pairs)


def select_pairs(
    sequence: ImageSequence, rule: PairRule, max_pairs: int | None = None
) -> tuple[PosePair, ...]:
    """List the pairs of a sequence that a rule asks for and whose poses are known."""
    pairs = []
    for first, reference in enumerate(sequence.entries):
        for second in range(first + 1, len(sequence)):
            query = sequence.entries[second]
            gap = round((query.stamp_ns - reference.stamp_ns) * rule.rate_hz / 1e9)
            if gap > rule.longest:
                break
            if gap < rule.shortest or reference.world_T_camera is None:
                continue
            if query.world_T_camera is None:
                continue
            motion = inverse_transform(reference.world_T_camera) @ query.world_T_camera
            if np.linalg.norm(motion[:3, 3]) >= SMALLEST_BASELINE:
                pairs.append(PosePair(first, second, motion))
    if max_pairs is not None and len(pairs) > max_pairs:
        chosen = np.linspace(0, len(pairs) - 1, max_pairs).round().astype(int)
        pairs = [pairs[index] for index in chosen]
    return tuple(pairs)


def _disparity_sets(folders: Sequence[Path]) -> Iterable[DisparitySet]:
    scenes = [folder for folder in folders if middlebury.is_middlebury(folder)]
    for parent in dict.fromkeys(scene.parent for scene in scenes):
        yield DisparitySet(parent.name, tuple(scene for scene in scenes if scene.parent == parent))


def _select(found: list[PairSet], patterns: Sequence[str], data: Path) -> list[PairSet]:
    if not patterns:
        return found
    names = ', '.join(pair_set.name for pair_set in found)
    for pattern in patterns:
        if not any(fnmatch(pair_set.name, pattern) for pair_set in found):
            raise DatasetError(data, f'there is no set {pattern!r}', f'There are: {names}.')
    return [s for s in found if any(fnmatch(s.name, pattern) for pattern in patterns)]
