"""One image with its time and its camera, as it enters the frontend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry import Camera


class FrameError(ValueError):
    """A frame cannot be used; the message says which and why."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of one camera.

    Attributes:
        stamp_ns: Time of the exposure, ns.
        image: (H, W) or (H, W, 1 | 3 | 4) uint8, uint16 or float32 (0..1), colour in RGB order.
        frame_id: Name of the camera's optical frame.
        camera: Calibration of the image; None if unknown, and then no pose is estimated.
    """

    stamp_ns: int
    image: npt.NDArray[Any]
    frame_id: str = ''
    camera: Camera | None = None

    def check(self) -> None:
        """Refuse an image that is empty or does not belong to the camera.

        Raises:
            FrameError: The frame cannot be used.
        """
        if not isinstance(self.image, np.ndarray) or self.image.ndim not in (2, 3):
            shape = getattr(self.image, 'shape', type(self.image).__name__)
            raise FrameError(f'{self}: the image must be an array (H, W) or (H, W, C), not {shape}')
        height, width = self.image.shape[:2]
        if not height or not width:
            raise FrameError(f'{self}: the image is empty ({width}x{height} px)')
        if self.camera is not None and self.camera.size != (height, width):
            raise FrameError(
                f'{self}: the image has {width}x{height} px, but its camera calibration is for '
                f'{self.camera.width}x{self.camera.height} px'
            )

    def __str__(self) -> str:
        """Name the frame in messages."""
        seconds, nanoseconds = divmod(self.stamp_ns, 10**9)
        return f'frame {self.frame_id!r} at {seconds}.{nanoseconds:09d} s'
