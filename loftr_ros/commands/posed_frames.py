"""Sequences of a user as training takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from loftr_ros.training.sequences import PosedFrame


def posed_frames(path: Path) -> list[PosedFrame]:
    """Read the frames of a dataset or bag with depth and poses."""
    from loftr_ros.data.depth_frames import read_depth_frames
    from loftr_ros.training.sequences import PosedFrame

    return [PosedFrame(*frame) for frame in read_depth_frames(path)]
