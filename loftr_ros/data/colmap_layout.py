"""COLMAP workspaces as datasets: `images` beside `sparse`, with a model in text or binary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from loftr_ros.data.colmap import ColmapCamera, ColmapModel, has_model, read_model
from loftr_ros.data.errors import DatasetError
from loftr_ros.data.files import natural_order
from loftr_ros.data.sequences import FrameEntry, ImageSequence
from loftr_ros.geometry import Camera

if TYPE_CHECKING:
    from pathlib import Path

LOOKS_FOR = 'sparse/0 or sparse with cameras, images and points3D (.bin or .txt), beside images'
MODEL_FOLDERS = ('sparse/0', 'sparse', '.')
STEP_NS = 10**9
"""Images of a model have no time: they are taken in the order of their names, one a second."""


def is_colmap(path: Path) -> bool:
    """Whether a folder looks like a workspace of COLMAP."""
    return _model_folder(path) is not None


def open_colmap(path: Path, camera: str | None = None) -> ImageSequence:
    """Index the registered images of a model in the order of their names.

    Args:
        path: Folder of the workspace.
        camera: There is no choice: each image has the camera that the model says.

    Raises:
        DatasetError: If a file is missing or malformed, or the model holds no image.

    """
    if camera is not None:
        raise DatasetError(path, f'there is no camera {camera!r}', 'The model names the cameras.')
    folder = _model_folder(path)
    if folder is None:
        raise DatasetError(path, 'there is no model', f'Looked for {LOOKS_FOR}.')
    try:
        model = read_model(folder)
        cameras = {number: _camera(one) for number, one in model.cameras.items()}
    except ValueError as error:
        raise DatasetError(folder, str(error), 'Export the model again.') from error
    entries = _entries(path, folder, model, cameras)
    used = {image.camera for image in model.images}
    first = cameras[next(iter(sorted(used)))]
    same = all(_equal(first, cameras[number]) for number in used)
    return ImageSequence(
        name=path.name, layout='colmap', entries=entries, camera=first if same else None
    )


def _model_folder(path: Path) -> Path | None:
    return next((path / name for name in MODEL_FOLDERS if has_model(path / name)), None)


def _entries(
    path: Path, folder: Path, model: ColmapModel, cameras: dict[int, Camera]
) -> tuple[FrameEntry, ...]:
    if not model.images:
        raise DatasetError(folder, 'the model holds no image', 'Reconstruct it again.')
    root = path / 'images' if (path / 'images').is_dir() else path
    entries = []
    for number, image in enumerate(sorted(model.images, key=lambda one: natural_order(one.name))):
        entries.append(
            FrameEntry(
                stamp_ns=(number + 1) * STEP_NS,
                image_path=root / image.name,
                world_T_camera=image.world_T_camera,
                camera=cameras[image.camera],
            )
        )
    return tuple(entries)


def _camera(camera: ColmapCamera) -> Camera:
    """Convert intrinsics; OpenCV's rational model has eight coefficients, COLMAP's too."""
    return Camera(
        camera.width, camera.height, camera.matrix, camera.distortion_model, camera.distortion
    )


def _equal(one: Camera, other: Camera) -> bool:
    return (
        one.size == other.size
        and one.distortion_model == other.distortion_model
        and np.array_equal(one.matrix, other.matrix)
        and np.array_equal(one.distortion, other.distortion)
    )
