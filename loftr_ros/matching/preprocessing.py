"""Any image to the grey tensor that the network takes, and pixels back to the original image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor

from loftr_ros.matching.alignment import PATCH_RADIUS
from loftr_ros.matching.errors import ImageError
from loftr_ros.matching.limits import SizeLimits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loftr_ros.matching.config import MatchingConfig

FLOAT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class NetworkInput:
    """An image as the network takes it.

    Attributes:
        image: float32 (1, 1, H, W) in [0, 1]; H and W multiples of what the network asks.
        mask: bool (1, H_c, W_c), false where nothing may match, or None where everything may.
        allowed: bool (1, 1, H, W), where a patch to align sees nothing else; None where every patch
            may be aligned, or none is.
        scale: Network pixels per original pixel along x and y.
        image_size: Height and width of the original image.
    """

    image: Tensor
    mask: Tensor | None
    allowed: Tensor | None
    scale: tuple[float, float]
    image_size: tuple[int, int]


def prepare(
    image: NDArray[Any],
    config: MatchingConfig,
    limits: SizeLimits | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> NetworkInput:
    """Grey, shrunk to what the limits allow, padded to whole coarse cells or tokens.

    Args:
        image: As :func:`to_grey` takes it.
        config: Of the network.
        limits: Of the size; None for none. Images are never enlarged.
        mask: bool (H, W), false where nothing may match; a cell may if more than half of it may.

    Raises:
        ImageError: The image or its mask cannot be used; the text says why.
    """
    grey = to_grey(image)
    height, width = grey.shape
    if mask is not None and (mask.shape != grey.shape or mask.dtype != np.bool_):
        raise ImageError(
            f'mask of {mask.dtype} {mask.shape}: expected bool {grey.shape}, the size of the image'
        )
    rows, columns = (limits or SizeLimits()).fit((height, width), config).size
    if (rows, columns) != (height, width):
        resized = cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA)
        grey = np.asarray(resized, np.float32)
    stride, multiple = config.stride, config.size_multiple
    padding = (-rows % multiple, -columns % multiple)
    padded = np.pad(grey, ((0, padding[0]), (0, padding[1])))
    cells = _valid_cells(padded.shape, (rows, columns), config) if any(padding) else None
    shares = None
    if mask is not None:
        shares = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
        allowed = _allowed_cells(shares, padded.shape, stride)
        cells = allowed if cells is None else cells & allowed
    patches = None
    if cells is not None and config.corner_points:
        patches = _allowed_patches(shares, padded.shape, (rows, columns))
    return NetworkInput(
        image=torch.from_numpy(padded)[None, None],
        mask=cells,
        allowed=patches,
        scale=(columns / width, rows / height),
        image_size=(height, width),
    )


def _valid_cells(padded: tuple[int, ...], size: tuple[int, int], config: MatchingConfig) -> Tensor:
    """Cells whose centre lies on the image, (1, H_c, W_c) bool."""
    stride = config.stride
    rows, columns = (
        np.arange(total // stride) * stride + config.cell_offset <= valid - 0.5
        for total, valid in zip(padded, size, strict=True)
    )
    return torch.from_numpy(rows[:, None] & columns[None, :])[None]


def _allowed_patches(
    shares: NDArray[Any] | None, padded: tuple[int, ...], size: tuple[int, int]
) -> Tensor:
    """Centres of patches that lie on the image and see nothing masked, (1, 1, H, W) bool."""
    allowed = np.zeros(padded, np.uint8)
    allowed[: size[0], : size[1]] = 1 if shares is None else shares > 1 - 1e-3
    kernel = np.ones((2 * PATCH_RADIUS + 1, 2 * PATCH_RADIUS + 1), np.uint8)
    return torch.from_numpy(cv2.erode(allowed, kernel).astype(np.bool_))[None, None]


def _allowed_cells(shares: NDArray[Any], padded: tuple[int, ...], stride: int) -> Tensor:
    """Cells of which more than half of the part on the image is allowed, (1, H_c, W_c) bool."""
    both = np.zeros((2, *padded), np.float32)
    both[0, : shares.shape[0], : shares.shape[1]] = 1
    both[1, : shares.shape[0], : shares.shape[1]] = shares
    blocks = both.reshape(2, padded[0] // stride, stride, padded[1] // stride, stride)
    on_image, allowed = blocks.sum(axis=(2, 4))
    return torch.from_numpy(allowed > 0.5 * on_image)[None]


def to_grey(image: NDArray[Any]) -> NDArray[np.float32]:
    """Grey values in [0, 1].

    Args:
        image: (H, W) or (H, W, 1|3|4) in RGB order. uint8; uint16, stretched between its
            percentiles
            0.5 and 99.5, as sensors of 10 to 14 bits never fill the range; or float in [0, 1].

    Returns:
        float32 (H, W).

    Raises:
        ImageError: Not such an array, empty, or with values that are not finite or out of range.
    """
    if not isinstance(image, np.ndarray):
        raise ImageError(f'an image must be a numpy array, not {type(image).__name__}')
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise ImageError(f'image shape {image.shape}: expected (H, W) or (H, W, 1, 3 or 4)')
    if 0 in image.shape:
        raise ImageError(f'image shape {image.shape}: the image is empty')
    values = _to_unit(image)
    if channels == 1:
        return np.ascontiguousarray(values.reshape(image.shape[:2]))
    code = cv2.COLOR_RGB2GRAY if channels == 3 else cv2.COLOR_RGBA2GRAY
    return np.asarray(cv2.cvtColor(values, code), np.float32)


def _to_unit(image: NDArray[Any]) -> NDArray[np.float32]:
    if image.dtype == np.uint8:
        return image.astype(np.float32) / np.float32(255)
    if image.dtype == np.uint16:
        low, high = np.percentile(image, (0.5, 99.5))
        stretched = (image.astype(np.float32) - low) / max(high - low, 1.0)
        return np.clip(stretched, 0, 1).astype(np.float32)
    if image.dtype not in (np.float16, np.float32, np.float64):
        raise ImageError(f'image type {image.dtype}: expected uint8, uint16 or float in [0, 1]')
    if not np.isfinite(image).all():
        count = int((~np.isfinite(image)).sum())
        raise ImageError(f'{count} of {image.size} values of the float image are NaN or infinite')
    low, high = float(image.min()), float(image.max())
    if low < -FLOAT_TOLERANCE or high > 1 + FLOAT_TOLERANCE:
        raise ImageError(f'float image with values {low:g} to {high:g}: scale it to [0, 1]')
    return np.clip(image, 0, 1).astype(np.float32)


def to_original(points: NDArray[Any], scale: tuple[float, float]) -> NDArray[np.float32]:
    """Network pixels (N, 2) to pixels of the original image, by the half-pixel rule."""
    return ((points + 0.5) / np.asarray(scale) - 0.5).astype(np.float32)


def to_network(points: NDArray[Any], scale: tuple[float, float]) -> NDArray[np.float32]:
    """Pixels (N, 2) of the original image to network pixels: the inverse of `to_original`."""
    return ((points + 0.5) * np.asarray(scale) - 0.5).astype(np.float32)
