"""A folder of photographs as a bank of grey textures."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from loftr_ros.encoded import is_complete
from loftr_ros.rendering.textures import TextureBank

LARGEST_SHARE = 0.1
"""So many files may be damaged before the folder is taken for a broken copy."""
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
    found = (p for p in folder.rglob('*') if p.suffix.lower() in SUFFIXES)
    files = sorted(p for p in found if not p.name.startswith('.'))
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

    Files that cannot be read are left out with a warning.

    Raises:
        ValueError: More than a tenth of the files, or all, cannot be read.
    """
    textures, problems = [], []
    for path in files:
        try:
            grey = _read_grey(path)
        except ValueError as error:  # noqa: PERF203 - hardly ever
            problems.append(str(error))
        else:
            textures.append(cv2.resize(grey, (size, size), interpolation=cv2.INTER_AREA))
    if problems:
        text = f'{len(problems)} of {len(files)} photographs cannot be read, first: {problems[0]}'
        if not textures or len(problems) > LARGEST_SHARE * len(files):
            raise ValueError(f'{text}. Remove them, or copy the folder again')
        warnings.warn(f'{text}; they are left out', stacklevel=2)
    return TextureBank.build(torch.from_numpy(np.stack(textures)))


def _read_grey(path: Path) -> npt.NDArray[np.uint8]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f'{path}: {error.strerror}') from error
    if not is_complete(data):
        raise ValueError(f'{path}: truncated after {len(data)} bytes')
    encoded = np.frombuffer(data, np.uint8)
    grey = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE) if data else None
    if grey is None:
        raise ValueError(f'{path}: not a readable image')
    return np.asarray(grey, np.uint8)
