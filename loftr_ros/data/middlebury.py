"""Middlebury stereo pairs with dense true disparities (2003 to 2006)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from loftr_ros.data.errors import DatasetError
from loftr_ros.data.images import read_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LOOKS_FOR = 'im2.png, im6.png and disp2.png, or view1.png, view5.png and disp1.png'
NAMES = (('im2.png', 'im6.png', 'disp2.png'), ('view1.png', 'view5.png', 'disp1.png'))
# 2003 at quarter size stores four times the disparity. 2005 and 2006 store that of full size, where
# images are about 1,330 px wide; half and third size are divided by 2 and 3.
QUARTER_SIZE_SCALE = 4.0
FULL_WIDTH = 1330.0


@dataclass(frozen=True, eq=False)
class DisparityPair:
    """A rectified stereo pair with known disparities.

    Attributes:
        name: Name of the scene.
        left: (H, W, 3) RGB.
        right: (H, W, 3) RGB.
        disparity: float32 (H, W), px: left (x, y) is seen at right (x - disparity, y); NaN where
            unknown.

    """

    name: str
    left: NDArray[Any]
    right: NDArray[Any]
    disparity: NDArray[np.float32]


def is_middlebury(path: Path) -> bool:
    """Whether a folder holds one stereo pair with disparities."""
    return _names(path) is not None


def open_middlebury(path: Path) -> DisparityPair:
    """Read a stereo pair (Scharstein and Szeliski, CVPR 2003; Hirschmueller et al., CVPR 2007).

    Raises:
        DatasetError: If a file is missing, damaged or of another size.

    """
    names = _names(path)
    if names is None:
        raise DatasetError(path, 'there is no stereo pair', f'Looked for {LOOKS_FOR}.')
    left, right, coded = (read_image(path / name) for name in names)
    if left.shape != right.shape or coded.shape != left.shape[:2]:
        raise DatasetError(
            path / names[2],
            f'the images have the shapes {left.shape}, {right.shape} and {coded.shape}',
            'A pair has two images of one size and a grey disparity image of the same size.',
        )
    scale = QUARTER_SIZE_SCALE if names == NAMES[0] else max(round(FULL_WIDTH / left.shape[1]), 1)
    disparity = np.where(coded > 0, coded.astype(np.float32) / scale, np.float32(np.nan))
    return DisparityPair(path.name, left, right, disparity.astype(np.float32))


def _names(path: Path) -> tuple[str, str, str] | None:
    return next((names for names in NAMES if all((path / name).is_file() for name in names)), None)
