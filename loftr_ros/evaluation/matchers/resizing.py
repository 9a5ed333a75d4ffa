"""Bring images to the size at which all matchers are compared, with their calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from loftr_ros.geometry import Camera
from loftr_ros.visualization.images import to_display

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ResizedImage:
    """An 8-bit image and how its pixels relate to the original.

    Attributes:
        image: uint8 (H, W) or (H, W, 3), RGB.
        scale: Resized by original pixels along x and y.
        camera: Calibration of the resized image; None if unknown.

    """

    image: NDArray[np.uint8]
    scale: tuple[float, float]
    camera: Camera | None

    @property
    def calibration(self) -> Camera:
        """Calibration of the resized image.

        Raises:
            ValueError: If it is unknown.

        """
        if self.camera is None:
            raise ValueError('the image has no calibration')
        return self.camera

    def to_original(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Bring points (N, 2) to pixels of the original image, by the half-pixel rule."""
        return np.asarray((points + 0.5) / self.scale - 0.5, np.float64)


def resize(image: NDArray[Any], longer_side: int, camera: Camera | None = None) -> ResizedImage:
    """Shrink an image to a longer side, never enlarging it.

    Args:
        image: (H, W) or (H, W, C), of any depth that can be displayed.
        longer_side: Greatest width or height, px.
        camera: Calibration of the image.

    """
    colour = image.ndim == 3 and image.shape[2] > 1
    display = to_display(image) if colour else np.ascontiguousarray(to_display(image)[:, :, 0])
    height, width = image.shape[:2]
    ratio = min(1.0, longer_side / max(height, width))
    size = max(round(width * ratio), 1), max(round(height * ratio), 1)
    scale = size[0] / width, size[1] / height
    if ratio < 1:
        display = np.asarray(cv2.resize(display, size, interpolation=cv2.INTER_AREA), np.uint8)
    return ResizedImage(display, scale, None if camera is None else scale_camera(camera, *size))


def scale_camera(camera: Camera, width: int, height: int) -> Camera:
    """Return the calibration of the image resized to another size, by the half-pixel rule."""
    scale = np.array([width / camera.width, height / camera.height])
    matrix = camera.matrix.copy()
    matrix[:2] *= scale[:, None]
    matrix[:2, 2] += 0.5 * scale - 0.5
    return Camera(width, height, matrix, camera.distortion_model, camera.distortion)
