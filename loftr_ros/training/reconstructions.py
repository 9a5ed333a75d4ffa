"""Frames of COLMAP models: depth between the points that the images observe."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from scipy.spatial import Delaunay

from loftr_ros.data.colmap import has_model, read_model
from loftr_ros.training.sequences import PosedFrame

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from loftr_ros.data.colmap import ColmapCamera, ColmapImage, ColmapModel

HELD_OUT_SHARE = 0.2
LONGEST_EDGE = 0.1
"""Of the image's longer side: depth is interpolated between points that are closer than this."""
DEPTH_STEP = 1.1
"""Ratio of depths across a triangle beyond which there may be an edge in it."""
STRIDE = 4
"""Depth is computed for every so many pixels, and linear in between."""
FEWEST_POINTS = 20


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """One COLMAP model with its images.

    Attributes:
        scene: Name of the folder; models of one scene are held out together.
        frames: Its images, undistorted, with the depth of its points.
    """

    scene: str
    frames: tuple[PosedFrame, ...]


def find_models(folder: Path) -> list[Path]:
    """Folders of the models of a COLMAP workspace: itself, ``sparse``, or ``sparse/0``, ...

    Raises:
        ValueError: There is none.
    """
    sparse = folder / 'sparse'
    for candidates in ([folder], [sparse], sorted(sparse.glob('*'))):
        models = [path for path in candidates if has_model(path)]
        if models:
            return models
    raise ValueError(
        f'{folder}: no COLMAP model in it, in sparse/ or in sparse/0/ '
        '(cameras, images and points3D, .bin or .txt)'
    )


def read_reconstructions(folder: Path, longer_side: int = 1024) -> list[Reconstruction]:
    """Read all models of a COLMAP workspace, whose images are in ``images`` or beside the model.

    Args:
        folder: The workspace; its name is that of the scene.
        longer_side: Larger images are made smaller, px.

    Raises:
        ValueError: There is no model, it is damaged, or an image is missing.
    """
    images = folder / 'images' if (folder / 'images').is_dir() else folder
    found = []
    for path in find_models(folder):
        model = read_model(path)
        frames = tuple(_frames(model, images, longer_side))
        if len(frames) >= 2:
            found.append(Reconstruction(folder.resolve().name, frames))
    if not found:
        raise ValueError(f'{folder}: no model has two images with {FEWEST_POINTS} points each')
    return found


def split_scenes(scenes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Scenes to learn from and those held out: a fifth, those whose names have the least SHA-1.

    With a single scene none is held out.
    """
    ordered = sorted(
        set(scenes), key=lambda name: hashlib.sha1(name.encode(), usedforsecurity=False).digest()
    )
    count = max(round(HELD_OUT_SHARE * len(ordered)), 1) if len(ordered) > 1 else 0
    return sorted(ordered[count:]), sorted(ordered[:count])


def _frames(model: ColmapModel, images: Path, longer_side: int) -> list[PosedFrame]:
    observing = [image for image in model.images if len(image.points) >= FEWEST_POINTS]
    return [_frame(model, image, images, longer_side) for image in observing]


def _frame(model: ColmapModel, image: ColmapImage, images: Path, longer_side: int) -> PosedFrame:
    """Undistort an image, make it smaller if too large, and compute its depth."""
    camera, pose = model.cameras[image.camera], image.world_T_camera
    grey = _read(images / image.name, camera)
    points = np.array([model.points[number] for number in image.points.tolist()])
    depth = (points - pose[:3, 3]) @ pose[:3, 2]
    if camera.distortion_model != 'none':
        grey = np.asarray(cv2.remap(grey, *_maps(camera), cv2.INTER_LINEAR), np.uint8)
    scale = min(1.0, longer_side / max(grey.shape))
    size = round(camera.width * scale), round(camera.height * scale)
    factor = np.array(size) / (camera.width, camera.height)
    if scale < 1:
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
    matrix = camera.matrix.copy()
    matrix[:2, 2] = (matrix[:2, 2] + 0.5) * factor - 0.5
    matrix[[0, 1], [0, 1]] *= factor
    pixels = (_ideal(camera, image.pixels) + 0.5) * factor - 0.5
    dense = interpolate_depth(pixels, depth, (size[1], size[0]))
    return PosedFrame(grey, dense, matrix, pose)


def interpolate_depth(
    pixels: NDArray[np.float64], depth: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Depth between points that are close to each other, in the image and in depth.

    Inverse depth is linear on planes: it is interpolated over the triangles between points, where
    they are small and their corners about equally far away. Elsewhere it is not known.

    Args:
        pixels: (N, 2), where the points are observed.
        depth: (N,), along the optical axis.
        size: Height and width of the image, px.

    Returns:
        float32 (H, W), NaN where not known.
    """
    height, width = size
    unknown = np.full(size, np.nan, np.float32)
    usable = (depth > 0) & np.isfinite(depth) & np.isfinite(pixels).all(axis=1)
    pixels, first = np.unique(pixels[usable].round(3), axis=0, return_index=True)
    inverse = 1 / depth[usable][first]
    if len(pixels) < FEWEST_POINTS or min(np.ptp(pixels, axis=0)) < 1:
        return unknown
    mesh = Delaunay(pixels)
    good = _small_and_flat(pixels[mesh.simplices], inverse[mesh.simplices], max(size))
    rows, columns = -(-height // STRIDE), -(-width // STRIDE)
    x, y = (np.arange(count) * STRIDE + (STRIDE - 1) / 2 for count in (columns, rows))
    places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    triangle = mesh.find_simplex(places)
    known = (triangle >= 0) & good[triangle]
    transform = mesh.transform[triangle[known]]
    two = np.einsum('nij,nj->ni', transform[:, :2], places[known] - transform[:, 2])
    weights = np.column_stack([two, 1 - two.sum(axis=1)])
    values = np.full(len(places), np.nan, np.float32)
    values[known] = (weights * inverse[mesh.simplices[triangle[known]]]).sum(axis=1)
    shape = columns * STRIDE, rows * STRIDE
    whole = cv2.resize(values.reshape(rows, columns), shape, interpolation=cv2.INTER_LINEAR)
    return np.asarray(1 / whole[:height, :width], np.float32)


def _small_and_flat(
    corners: NDArray[np.float64], inverse: NDArray[np.float64], longer_side: int
) -> NDArray[np.bool_]:
    """Whether no edge is likely within triangles (T, 3, 2), by their inverse depths (T, 3)."""
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    flat = inverse.max(axis=1) < DEPTH_STEP * inverse.min(axis=1)
    return np.asarray(flat & (edges < LONGEST_EDGE * longer_side), np.bool_)


def _read(path: Path, camera: ColmapCamera) -> NDArray[np.uint8]:
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
    if grey is None:
        raise ValueError(f'{path}: the image of a COLMAP model is missing or cannot be read')
    if grey.shape != (camera.height, camera.width):
        raise ValueError(
            f'{path}: {grey.shape[1]}x{grey.shape[0]} px, but the model says '
            f'{camera.width}x{camera.height}: give the images that were reconstructed'
        )
    return np.asarray(grey, np.uint8)


def _ideal(camera: ColmapCamera, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixels (N, 2) of the camera without distortion."""
    if camera.distortion_model == 'none' or not len(pixels):
        return pixels
    arguments = pixels[:, None], camera.matrix, camera.distortion
    if camera.distortion_model == 'equidistant':
        moved = cv2.fisheye.undistortPoints(*arguments, P=camera.matrix)
    else:
        moved = cv2.undistortPoints(*arguments, P=camera.matrix)
    return np.asarray(moved[:, 0], np.float64)


def _maps(camera: ColmapCamera) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where each pixel of the camera without distortion lies in the image."""
    size = camera.width, camera.height
    start = cv2.fisheye if camera.distortion_model == 'equidistant' else cv2
    maps = start.initUndistortRectifyMap(
        camera.matrix, camera.distortion, np.eye(3), camera.matrix, size, cv2.CV_32FC1
    )
    return maps[0], maps[1]
