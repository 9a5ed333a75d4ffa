"""Bring camera images of any kind to 8-bit RGB for display."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERCENTILES = (1.0, 99.0)


def to_display(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert an image to 8-bit RGB.

    16-bit images are stretched between their 1st and 99th percentile, as their useful range is
    unknown; float images within 0..1 are scaled by 255, others stretched. NaN becomes black.

    Args:
        image: (H, W) or (H, W, 1|3|4), uint8, uint16 or floating point, in RGB order.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        ValueError: If the array is not such an image.

    """
    if image.ndim not in {2, 3} or (image.ndim == 3 and image.shape[2] not in {1, 3, 4}):
        msg = f'An image to draw has shape (H, W) or (H, W, 1|3|4), not {image.shape}.'
        raise ValueError(msg)
    if image.dtype != np.uint8:
        image = _to_8bit(image)
    if not image.size:
        return np.zeros((*image.shape[:2], 3), np.uint8)
    if image.ndim == 2 or image.shape[2] == 1:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_GRAY2RGB), np.uint8)
    return np.ascontiguousarray(image[:, :, :3], np.uint8)


def _to_8bit(image: NDArray[Any]) -> NDArray[np.uint8]:
    if image.dtype != np.uint16 and not np.issubdtype(image.dtype, np.floating):
        msg = f'An image to draw is uint8, uint16 or floating point, not {image.dtype}.'
        raise ValueError(msg)
    values = np.nan_to_num(image.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = 0.0, 1.0
    if values.size and (image.dtype == np.uint16 or values.min() < 0 or values.max() > 1):
        low, high = (float(x) for x in np.percentile(values, PERCENTILES))
    scaled = (values - low) * (255.0 / max(high - low, 1e-9))
    return np.asarray(np.clip(scaled, 0, 255) + 0.5, np.uint8)
