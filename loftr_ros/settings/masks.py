"""Static masks: what of a camera's images never matches, such as the robot itself in view."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from loftr_ros.settings.declarations import ParameterError

if TYPE_CHECKING:
    from loftr_ros.frontend import Frame
    from loftr_ros.settings.matching_parameters import MatchingParameters

Mask = npt.NDArray[np.bool_]

BRIGHT = 128
"""Grey level from which on a pixel may match: compression leaves dark and bright pixels such."""


@dataclass(frozen=True, eq=False)
class Masks:
    """Masks of one camera or of two.

    Attributes:
        first: bool (H, W), of the camera, the left one or that of image0; None where all matches.
        second: Of the right camera or that of image1.
    """

    first: Mask | None = None
    second: Mask | None = None

    @classmethod
    def read(cls, parameters: MatchingParameters) -> Masks:
        """Read the files that the parameters name.

        Raises:
            ParameterError: One cannot be used.
        """
        names = ('mask', 'second_mask')
        return cls(*(read_mask(name, getattr(parameters, name)) for name in names))

    def put_on(self, frame: Frame) -> Frame:
        """Return a frame of the (left) camera with the masks."""
        right = frame.right and replace(frame.right, mask=self.second)
        return replace(frame, mask=self.first, right=right)

    def put_on_pair(self, reference: Frame, query: Frame) -> tuple[Frame, Frame]:
        """Return the frames of two cameras with the masks."""
        return replace(reference, mask=self.first), replace(query, mask=self.second)


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
