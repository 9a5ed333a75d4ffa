"""COLMAP models of folders of photographs, which training pairs are made from."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from loftr_ros.data.colmap import import_pycolmap
from loftr_ros.training.photographs import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence

FEWEST_IMAGES = 4
"""Smaller models are not written: they hold hardly a pair that consecutive images do not."""


@dataclass(frozen=True)
class ReconstructionOptions:
    """How COLMAP reconstructs.

    Attributes:
        features: Greatest number of each photograph; the time of matching grows with its square.
        focal: Focal length of all photographs, px; None where unknown: it is estimated, which takes
            wide views of the scene.
        threads: Of COLMAP; -1 takes all cores. One thread gives the same model again.
    """

    features: int = 4096
    focal: float | None = None
    threads: int = -1

    def __post_init__(self) -> None:
        """Refuse what COLMAP cannot work with.

        Raises:
            ValueError: Says which and what is expected.
        """
        if self.features < 1 or (self.focal is not None and not self.focal > 0):
            raise ValueError('features and focal must be positive')


def reconstruct(
    images: Path, output: Path, options: ReconstructionOptions = ReconstructionOptions()
) -> list[int]:
    """Reconstruct a folder of photographs with COLMAP, from RootSIFT.

    Photographs of the same size share one camera with one radial coefficient. The output has the
    layout of a COLMAP workspace: ``sparse/0``, ``sparse/1``, ... and a link ``images``.

    Args:
        images: Folder of photographs; folders within are not searched.
        output: Folder of the models, made anew.
        options: How COLMAP reconstructs.

    Returns:
        Number of registered images of each model, the largest first.

    Raises:
        ValueError: pycolmap is missing, there are too few photographs, the output has models
            already, or COLMAP finds none.
    """
    names = sorted(path.name for path in images.glob('*') if path.suffix.lower() in SUFFIXES)
    if len(names) < FEWEST_IMAGES:
        raise ValueError(f'{images}: {len(names)} photographs; at least {FEWEST_IMAGES} needed')
    sparse = output / 'sparse'
    if sparse.exists():
        raise ValueError(f'{sparse}: there is a model already; choose another folder')
    pycolmap = import_pycolmap()
    pycolmap.set_random_seed(0)
    with tempfile.TemporaryDirectory() as temporary:
        database = Path(temporary) / 'database.db'
        _extract(pycolmap, database, images, names, options)
        matching = pycolmap.FeatureMatchingOptions(num_threads=options.threads, use_gpu=False)
        pycolmap.match_exhaustive(database, matching)
        mapping = pycolmap.IncrementalPipelineOptions()
        mapping.num_threads = mapping.mapper.num_threads = options.threads
        mapping.min_model_size = FEWEST_IMAGES
        mapping.random_seed = mapping.mapper.random_seed = mapping.triangulation.random_seed = 0
        models = pycolmap.incremental_mapping(database, images, temporary, mapping)
    found = sorted(models.values(), key=lambda model: -model.num_reg_images())
    found = [model for model in found if model.num_reg_images() >= FEWEST_IMAGES]
    if not found:
        raise ValueError(f'{images}: COLMAP finds no {FEWEST_IMAGES} photographs that fit together')
    for number, model in enumerate(found):
        folder = sparse / str(number)
        folder.mkdir(parents=True)
        model.write(folder)
    link = output / 'images'
    if not link.exists():
        link.symlink_to(images.resolve(), target_is_directory=True)
    return [model.num_reg_images() for model in found]


def _extract(
    pycolmap: Any,  # noqa: ANN401 - an optional package
    database: Path,
    images: Path,
    names: Sequence[str],
    options: ReconstructionOptions,
) -> None:
    """Detect features; photographs of one size share a camera."""
    extraction = pycolmap.FeatureExtractionOptions(num_threads=options.threads, use_gpu=False)
    extraction.sift.max_num_features = options.features
    sized = sorted((_size(images / name), name) for name in names)
    for (height, width), group in itertools.groupby(sized, key=lambda pair: pair[0]):
        reader = pycolmap.ImageReaderOptions(camera_model='SIMPLE_RADIAL')
        if options.focal is not None:
            reader.camera_params = f'{options.focal},{width / 2},{height / 2},0'
        chosen = [name for _, name in group]
        mode = pycolmap.CameraMode.SINGLE
        pycolmap.extract_features(database, images, chosen, mode, reader, extraction)


def _size(path: Path) -> tuple[int, int]:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ValueError(f'{path}: not a readable image')
    return image.shape[0], image.shape[1]
