"""Textures made from random numbers alone: noise of several scales, with tiles, bars and spots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def procedural_texture(size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One grey texture uint8 (size, size) that is rich at every scale."""
    values = np.zeros((size, size), np.float32)
    for octave in range(2, int(np.log2(size)) + 1):
        cells = rng.random((2**octave, 2**octave), np.float32) - 0.5
        values += cv2.resize(cells, (size, size), interpolation=cv2.INTER_CUBIC) / octave
    values = 128 + 90 * values / np.abs(values).max()
    canvas = np.clip(values, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(20, 60))):
        _draw_shape(canvas, rng)
    return np.asarray(cv2.GaussianBlur(canvas, (3, 3), 0), np.uint8)


def _draw_shape(canvas: NDArray[np.uint8], rng: np.random.Generator) -> None:
    size = canvas.shape[0]
    x, y = (int(v) for v in rng.integers(0, size, 2))
    width, height = (int(v) for v in rng.integers(size // 40, size // 6, 2))
    grey = int(rng.integers(10, 246))
    if rng.random() < 0.5:
        corners = cv2.boxPoints(((x, y), (width, height), float(rng.uniform(0, 90))))
        cv2.fillPoly(canvas, [corners.astype(np.int32)], grey)
    else:
        cv2.circle(canvas, (x, y), min(width, height) // 2, grey, -1, cv2.LINE_AA)
