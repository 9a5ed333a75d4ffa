"""A folder of photographs as a bank of grey textures."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import torch

from loftr_ros.rendering.textures import TextureBank

SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp'}


def scene_of(path: Path) -> str:
    """Name shared by photographs of one place; the faces of a cube map differ in their ending."""
    return re.sub(r'_(pos|neg)[xyz]$', '', path.stem)


def split_photographs(
    folder: Path, exclude: tuple[str, ...] = (), validation_share: float = 0.08
) -> tuple[list[Path], list[Path]]:
    """Training and validation files, split by scene so that no place is in both.

    Args:
        folder: Searched recursively for images.
        exclude: Files whose name contains one of these words are left out.
        validation_share: Share of scenes held out.

    Raises:
        ValueError: The folder holds too few photographs.
    """
    files = sorted(p for p in folder.rglob('*') if p.suffix.lower() in SUFFIXES)
    files = [p for p in files if not any(word in p.name for word in exclude)]
    scenes = sorted({scene_of(p) for p in files})
    if len(scenes) < 4:
        raise ValueError(
            f'{folder}: {len(files)} photographs of {len(scenes)} scenes; at least 4 needed'
        )
    every = min(len(scenes), max(2, round(1 / validation_share)))
    held_out = set(scenes[every // 2 :: every])
    training = [p for p in files if scene_of(p) not in held_out]
    return training, [p for p in files if scene_of(p) in held_out]


def load_bank(files: list[Path], size: int = 512) -> TextureBank:
    """Grey textures of size x size; photographs are squeezed, the scenes restore an aspect ratio.

    Raises:
        ValueError: A file cannot be read as an image.
    """
    textures = np.empty((len(files), size, size), np.uint8)
    for index, path in enumerate(files):
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if grey is None:
            raise ValueError(f'{path}: not a readable image')
        textures[index] = cv2.resize(grey, (size, size), interpolation=cv2.INTER_AREA)
    return TextureBank.build(torch.from_numpy(textures))
