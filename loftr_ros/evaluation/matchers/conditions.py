"""Hard conditions: known degradations of real images, with the truth adapted exactly.

What a lamp or the air does (low light, low contrast, blur) happens to both images of a pair; what
a camera does (zoom, roll) happens to the query alone. All random numbers come from the frame's
index, so that every matcher sees the same images in every run.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from loftr_ros.data.undistortion import ideal_camera, maps_to_ideal
from loftr_ros.evaluation.matchers.resizing import ResizedImage, scale_camera

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from loftr_ros.data.sequences import GroundTruthFrame

BLUR_LENGTH = 15.0
LIGHT = 0.12
ELECTRONS_PER_LEVEL = 4.0
READ_NOISE = 1.5
CONTRAST = 0.15
TILE = 0.2
TILE_LEVELS = 60.0
TILE_CONTRAST = 0.35
ROLL = np.deg2rad(30.0)


@dataclass(frozen=True, eq=False)
class View:
    """An image as a condition leaves it.

    Attributes:
        image: The image with its calibration.
        original_T_view: float64 (4, 4), pose of the view's camera in the original one.

    """

    image: ResizedImage
    original_T_view: NDArray[np.float64]


@dataclass(frozen=True)
class Condition:
    """One condition that makes matching hard.

    Attributes:
        name: For tables and files.
        description: What is done, in one line.
        change: From the resized image, its frame and random numbers to the view.
        query_only: Whether the reference stays as it is.
        needs_depth: Whether only frames with depth can be changed.

    """

    name: str
    description: str
    change: Callable[[ResizedImage, GroundTruthFrame, np.random.Generator], View]
    query_only: bool = False
    needs_depth: bool = False

    def view(
        self, image: ResizedImage, truth: GroundTruthFrame, key: tuple[str, int], query: bool
    ) -> View:
        """Change an image of a pair.

        Args:
            image: The resized image with its calibration.
            truth: The frame that it shows.
            key: Name of the set and index of the frame: the seed.
            query: Whether the image is the query of its pair.

        Raises:
            ValueError: If the condition needs depth and the frame has none.

        """
        if self.query_only and not query:
            return _as_it_is(image)
        if self.needs_depth and truth.depth is None:
            raise ValueError(f'{self.name} needs images with depth, and {key[0]} has none')
        seed = [zlib.crc32(f'{self.name}/{key[0]}'.encode()), key[1]]
        return self.change(image, truth, np.random.default_rng(seed))


def motion_blur(image: ResizedImage, _: GroundTruthFrame, random: np.random.Generator) -> View:
    """Blur along a line of 15 px in a random direction."""
    kernel = line_kernel(BLUR_LENGTH, random.uniform(0, np.pi))
    blurred = cv2.filter2D(image.image, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    return _repainted(image, blurred)


def line_kernel(length: float, angle: float) -> NDArray[np.float64]:
    """Return an odd square kernel, sum 1: a line of the given length (px) through its centre."""
    half = int(np.ceil(length / 2))
    steps = np.arange(-half, half + 1)
    x, y = np.meshgrid(steps, steps)
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    coverage = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1)
    kernel = np.clip(1 - np.abs(across), 0, 1) * coverage
    return np.asarray(kernel / kernel.sum())


def low_light(image: ResizedImage, _: GroundTruthFrame, random: np.random.Generator) -> View:
    """Keep 12 % of the light; add shot noise (4 electrons per grey level) and read noise."""
    electrons = random.poisson(image.image * LIGHT * ELECTRONS_PER_LEVEL)
    dark = electrons / ELECTRONS_PER_LEVEL + random.normal(0, READ_NOISE, image.image.shape)
    return _repainted(image, dark)


def low_contrast(image: ResizedImage, _: GroundTruthFrame, __: np.random.Generator) -> View:
    """Keep 15 % of the contrast around mid-grey, rounded to 8 bits, as in fog."""
    return _repainted(image, 128 + CONTRAST * (image.image - 128.0))


def repetitive_texture(
    image: ResizedImage, truth: GroundTruthFrame, _: np.random.Generator
) -> View:
    """Cover all surfaces with a solid texture that repeats every 20 cm of the world.

    The depth says where in the world a pixel's surface lies, so that the pattern sticks to the
    surfaces in all views. 35 % of the image's own contrast remain.
    """
    if truth.depth is None or truth.world_T_camera is None:
        raise ValueError('a texture in the world needs depth and poses')
    height, width = image.image.shape[:2]
    depth = cv2.resize(truth.depth, (width, height), interpolation=cv2.INTER_NEAREST)
    rays = image.calibration.normalize(_pixels(width, height))
    points = np.column_stack([rays, np.ones(len(rays))]) * depth.reshape(-1, 1)
    pose = truth.world_T_camera
    waves = np.cos(2 * np.pi / TILE * (points @ pose[:3, :3].T + pose[:3, 3])).sum(axis=1)
    pattern = np.nan_to_num(TILE_LEVELS * np.tanh(2 * waves)).reshape(height, width)
    pattern = pattern[..., None] if image.image.ndim == 3 else pattern
    return _repainted(image, 128 + TILE_CONTRAST * (image.image - 128.0) + pattern)


def half_size(image: ResizedImage, _: GroundTruthFrame, __: np.random.Generator) -> View:
    """Shrink the image to half its width and height, so that scales differ by 2."""
    height, width = image.image.shape[:2]
    size = max(width // 2, 1), max(height // 2, 1)
    small = np.asarray(cv2.resize(image.image, size, interpolation=cv2.INTER_AREA), np.uint8)
    scale = image.scale[0] * size[0] / width, image.scale[1] * size[1] / height
    return View(ResizedImage(small, scale, scale_camera(image.calibration, *size)), np.eye(4))


def roll(image: ResizedImage, _: GroundTruthFrame, __: np.random.Generator) -> View:
    """Rotate the camera by 30 degrees about its optical axis.

    The new image is that of an ideal camera, computed ray by ray, so that the pose stays exact
    whatever the lens; what the original did not see is black.
    """
    cosine, sine = np.cos(ROLL), np.sin(ROLL)
    original_T_view = np.eye(4)
    original_T_view[:2, :2] = [[cosine, -sine], [sine, cosine]]
    maps = maps_to_ideal(image.calibration, original_T_view[:3, :3])
    rotated = cv2.remap(image.image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    camera = ideal_camera(image.calibration)
    return View(ResizedImage(np.asarray(rotated, np.uint8), image.scale, camera), original_T_view)


def _as_it_is(image: ResizedImage, *_: object) -> View:
    return View(image, np.eye(4))


def _repainted(image: ResizedImage, values: NDArray[Any]) -> View:
    grey = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return View(ResizedImage(grey, image.scale, image.camera), np.eye(4))


def _pixels(width: int, height: int) -> NDArray[np.float64]:
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.column_stack([x.ravel(), y.ravel()]).astype(np.float64)


CLEAN = Condition('clean', 'images as they are', _as_it_is)
CONDITIONS = {
    condition.name: condition
    for condition in (
        CLEAN,
        Condition('motion_blur', 'both images blurred along a line of 15 px', motion_blur),
        Condition('low_light', 'both images at 12 % of the light, with noise', low_light),
        Condition('low_contrast', 'both images at 15 % of the contrast', low_contrast),
        Condition(
            'repetitive_texture',
            'a pattern of 20 cm period on all surfaces',
            repetitive_texture,
            needs_depth=True,
        ),
        Condition('scale_2', 'query at half the size', half_size, query_only=True),
        Condition('rotation_30', 'query rolled by 30 degrees', roll, query_only=True),
    )
}
