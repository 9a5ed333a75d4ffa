"""Images of ideal cameras made from those of real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from loftr_ros.geometry import Camera

if TYPE_CHECKING:
    from numpy.typing import NDArray


def ideal_camera(camera: Camera) -> Camera:
    """Return the camera of the same size and matrix without distortion."""
    return Camera(camera.width, camera.height, camera.matrix)


def maps_to_ideal(
    camera: Camera, camera_R_ideal: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return where each pixel of the ideal camera lies in the real image, for `cv2.remap`.

    Args:
        camera: The real camera.
        camera_R_ideal: (3, 3), how the ideal camera is rotated; None for not at all.

    Returns:
        x and y, float32 (H, W), px; far outside the image where the real camera sees nothing.

    """
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    pixels = np.column_stack([x.ravel(), y.ravel()]).astype(np.float64)
    rays = ideal_camera(camera).normalize(pixels)
    rays = np.column_stack([rays, np.ones(len(rays))])
    if camera_R_ideal is not None:
        rays = rays @ camera_R_ideal.T
    places = np.nan_to_num(camera.project(rays), nan=-1e4).astype(np.float32)
    return places[:, 0].reshape(camera.size), places[:, 1].reshape(camera.size)
