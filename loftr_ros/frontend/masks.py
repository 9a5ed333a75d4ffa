"""Static masks: what of a camera's images never matches, such as the robot itself in view."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from loftr_ros.frontend.frame import Frame

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Masks:
    """Masks of one camera or of two.

    Attributes:
        first: bool (H, W), of the camera, the left one or that of image0; None where all matches.
        second: Of the right camera or that of image1.
    """

    first: Mask | None = None
    second: Mask | None = None

    def put_on(self, frame: Frame) -> Frame:
        """Return a frame of the (left) camera with the masks."""
        right = frame.right and replace(frame.right, mask=self.second)
        return replace(frame, mask=self.first, right=right)

    def put_on_pair(self, reference: Frame, query: Frame) -> tuple[Frame, Frame]:
        """Return the frames of two cameras with the masks."""
        return replace(reference, mask=self.first), replace(query, mask=self.second)
