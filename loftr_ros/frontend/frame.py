"""One image with its time and its camera, as it enters the frontend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry import Camera
from loftr_ros.geometry.transforms import is_transform
from loftr_ros.texts import shortened


class FrameError(ValueError):
    """A frame cannot be used; the message says which and why."""


@dataclass(frozen=True, eq=False)
class RightView:
    """The image that a second camera, fixed to the first one, took at the same time.

    Attributes:
        image: As in `Frame`.
        camera: Calibration of the image.
        left_T_right: float64 (4, 4), pose of this camera in the first (left) one, m. Of a
            rectified pair it is a translation along x by the baseline.
        mask: As in `Frame`.
    """

    image: npt.NDArray[Any]
    camera: Camera
    left_T_right: npt.NDArray[np.float64]
    mask: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of one camera, and what gives it scale.

    What a frame carries decides how it is used: with `depth` in the mode rgbd, with `right` in the
    mode stereo (depth goes first where there are both), with neither in the mode mono.

    Attributes:
        stamp_ns: Time of the exposure, ns.
        image: (H, W) or (H, W, 1 | 3 | 4) uint8, uint16 or float32 (0..1), colour in RGB order.
        frame_id: Name of the camera's optical frame.
        camera: Calibration of the image; None if unknown, and then no pose is estimated.
        depth: float32 (H, W), m along the optical axis, registered to the image; NaN where
            unknown (zero, negative and infinite values count as unknown too: REP 118).
        right: The view of the right camera of a stereo pair.
        mask: bool (H, W), false where nothing matches: moving objects, the robot itself; None
            where everything may.
        calibration_problem: Why a calibration that came cannot be used; empty otherwise.
    """

    stamp_ns: int
    image: npt.NDArray[Any]
    frame_id: str = ''
    camera: Camera | None = None
    depth: npt.NDArray[np.float32] | None = None
    right: RightView | None = None
    mask: npt.NDArray[np.bool_] | None = None
    calibration_problem: str = ''

    @property
    def mode(self) -> str:
        """The mode in which the frame is used: 'rgbd', 'stereo' or 'mono'."""
        if self.depth is not None:
            return 'rgbd'
        return 'mono' if self.right is None else 'stereo'

    def check(self) -> None:
        """Refuse images that are empty or do not belong to their camera, and wrong depth.

        Raises:
            FrameError: The frame cannot be used.
        """
        self._check_image(self.image, self.camera, 'image')
        self._check_mask(self.mask, self.image, 'mask')
        if self.depth is not None:
            self._check_depth(self.depth)
        if self.right is not None:
            self._check_image(self.right.image, self.right.camera, 'right image')
            self._check_mask(self.right.mask, self.right.image, 'right mask')
            if not is_transform(self.right.left_T_right):
                raise FrameError(f'{self}: left_T_right is no rotation and translation')
            if not np.any(self.right.left_T_right[:3, 3]):
                raise FrameError(f'{self}: the right camera stands in the left one (no baseline)')

    def _check_image(self, image: npt.NDArray[Any], camera: Camera | None, name: str) -> None:
        if not isinstance(image, np.ndarray) or image.ndim not in (2, 3):
            shape = getattr(image, 'shape', type(image).__name__)
            raise FrameError(
                f'{self}: the {name} must be an array (H, W) or (H, W, C), not {shape}'
            )
        height, width = image.shape[:2]
        if not height or not width:
            raise FrameError(f'{self}: the {name} is empty ({width}x{height} px)')
        if camera is not None and camera.size != (height, width):
            raise FrameError(
                f'{self}: the {name} has {width}x{height} px, but its camera calibration is for '
                f'{camera.width}x{camera.height} px'
            )

    def _check_mask(
        self, mask: npt.NDArray[np.bool_] | None, image: npt.NDArray[Any], name: str
    ) -> None:
        if mask is None:
            return
        if mask.dtype != np.bool_ or mask.shape != image.shape[:2]:
            size = 'x'.join(map(str, mask.shape[::-1]))
            raise FrameError(
                f'{self}: the {name} is {mask.dtype} of {size} px, but must be bool of the size of '
                f'its image, {image.shape[1]}x{image.shape[0]} px'
            )

    def _check_depth(self, depth: npt.NDArray[np.float32]) -> None:
        if not isinstance(depth, np.ndarray) or depth.dtype.kind != 'f':
            kind = getattr(depth, 'dtype', type(depth).__name__)
            raise FrameError(f'{self}: the depth must be an array of floats in metres, not {kind}')
        if depth.shape != self.image.shape[:2]:
            raise FrameError(
                f'{self}: the depth has the shape {depth.shape}, but the image '
                f'{self.image.shape[:2]}; depth must be registered to the image'
            )

    def __str__(self) -> str:
        """Name the frame in messages."""
        seconds, nanoseconds = divmod(self.stamp_ns, 10**9)
        return f'frame {shortened(self.frame_id)!r} at {seconds}.{nanoseconds:09d} s'
