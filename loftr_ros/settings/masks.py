"""Masks from the files that the parameters name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from loftr_ros.frontend.masks import Mask, Masks
from loftr_ros.settings.declarations import ParameterError

if TYPE_CHECKING:
    from loftr_ros.settings.parameters import NodeParameters

BRIGHT = 128
"""Grey level from which on a pixel may match: compression leaves dark and bright pixels such."""


def read_masks(parameters: NodeParameters) -> Masks:
    """Read the files that the parameters name.

    Raises:
        ParameterError: One cannot be used.
    """
    return Masks(*(read_mask('input.masks', path) for path in parameters.input.masks))


def read_mask(name: str, path: str) -> Mask | None:
    """Read a mask, false where the image is dark; None for an empty path.

    Raises:
        ParameterError: There is no such image, or it leaves nothing; the message begins with the
            `name` of the parameter.
    """
    if not path:
        return None
    file = Path(path).expanduser()
    try:
        data = np.frombuffer(file.read_bytes(), np.uint8)
    except OSError as error:
        raise ParameterError(f'{name}: {path} cannot be read ({error.strerror})') from error
    image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if len(data) else None
    if image is None:
        raise ParameterError(f'{name}: {path} is no image; save the mask as PNG')
    mask = np.asarray(image) >= BRIGHT
    if not mask.any():
        raise ParameterError(
            f'{name}: {path} is dark all over (brightest {np.max(image)}, it takes {BRIGHT}): '
            'nothing would match; paint white, 255, what may match'
        )
    return mask
