"""Pairs of a real sequence with depth and poses: the user's own camera as the teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor

from loftr_ros.rendering.planes import PinholeCameras
from loftr_ros.training.pairs import TrainingPairs, label_cells
from loftr_ros.training.photometric import degrade

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from loftr_ros.matching.config import LoFTRConfig

DEPTH_TOLERANCE = 0.05
"""Relative: surfaces that lie further apart hide each other. Depth cameras err by 1 to 3 %."""
OVERLAP = (0.25, 0.97)
PROBES = (12, 16)


@dataclass(frozen=True, eq=False)
class PosedFrame:
    """An undistorted image with depth and pose.

    Attributes:
        image: uint8 (H, W), grey.
        depth: float32 (H, W), m along the optical axis, NaN where unknown.
        matrix: float64 (3, 3), intrinsics in px.
        world_T_camera: float64 (4, 4), pose of the optical frame.
    """

    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    matrix: NDArray[np.float64]
    world_T_camera: NDArray[np.float64]


@dataclass(frozen=True)
class DepthPair:
    """B pairs of posed views with depth.

    Attributes:
        depth0: float32 (B, H, W), m; 0 where unknown.
        depth1: float32 (B, H, W).
        camera0: Reference cameras.
        camera1: Query cameras.
    """

    depth0: Tensor
    depth1: Tensor
    camera0: PinholeCameras
    camera1: PinholeCameras

    def select(self, index: Tensor) -> DepthPair:
        """Truth of the pairs (M,), repeated at will."""
        cameras = self.camera0.select(index), self.camera1.select(index)
        return DepthPair(self.depth0[index], self.depth1[index], *cameras)

    def transfer(self, pixels: Tensor, *, back: bool = False) -> tuple[Tensor, Tensor]:
        """Lift pixels by their depth, project them, and ask the other view's depth.

        Points whose depth is unknown in either view have no truth: NaN, and not seen.
        """
        depths, cameras = (self.depth0, self.depth1), (self.camera0, self.camera1)
        source, target = (1, 0) if back else (0, 1)
        depth = nearest_depth(depths[source], pixels)
        points = lift(cameras[source], pixels, depth)
        projected, expected = cameras[target].project(points)
        found = nearest_depth(depths[target], projected)
        same = (expected - found).abs() < DEPTH_TOLERANCE * found
        height, width = self.depth0.shape[-2:]
        inside = (
            (projected > -0.5) & (projected < projected.new_tensor([width, height]) - 0.5)
        ).all(-1)
        known = (depth > 0) & (expected > 0) & ((found > 0) | ~inside)
        return torch.where(known[..., None], projected, torch.nan), known & same


def nearest_depth(depth: Tensor, pixels: Tensor) -> Tensor:
    """Depth (B, N) at the pixels (B, N, 2) of images (B, H, W); 0 outside.

    The nearest pixel, as a mean over an edge would be the depth of nothing.
    """
    height, width = depth.shape[-2:]
    x, y = pixels.nan_to_num(-1e6).clamp(-1e6, 1e6).round().long().unbind(-1)
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    index = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
    return depth.flatten(1).gather(1, index) * inside


def lift(cameras: PinholeCameras, pixels: Tensor, depth: Tensor) -> Tensor:
    """World points (B, N, 3) of pixels (B, N, 2) at a depth (B, N)."""
    homogeneous = torch.cat([pixels, torch.ones_like(pixels[..., :1])], -1)
    rays = homogeneous @ torch.linalg.inv(cameras.matrix).transpose(1, 2)
    rotation, centre = cameras.world_T_camera[:, :3, :3], cameras.world_T_camera[:, None, :3, 3]
    return (rays * depth[..., None]) @ rotation.transpose(1, 2) + centre


class SequencePairs:
    """Random pairs of one sequence's frames that see enough of the same."""

    def __init__(
        self,
        frames: Sequence[PosedFrame],
        config: LoFTRConfig,
        size: tuple[int, int],
        generator: torch.Generator,
        *,
        degraded: bool = True,
        overlap: tuple[float, float] = OVERLAP,
    ) -> None:
        """Put the frames on the generator's device, at the size (H, W) of training.

        Args:
            frames: Of one sequence, or of one reconstruction.
            config: Of the network that learns from them.
            size: Height and width of the images, px.
            generator: Draws the pairs.
            degraded: Whether the images are degraded as a camera does it.
            overlap: Least and greatest share of its view that a frame sees of another's.

        Raises:
            ValueError: No two frames see enough of the same surfaces.
        """
        self.config = config
        self.size = size
        self.generator = generator
        self.degraded = degraded
        self.overlap = overlap
        fitted = [fit_frame(frame, size) for frame in frames]
        device = generator.device
        self.images = _stack([frame.image for frame in fitted], device)
        self.depths = _stack([np.nan_to_num(frame.depth) for frame in fitted], device)
        # Positions relative to the first camera keep their digits in float32.
        origin = fitted[0].world_T_camera[:3, 3] if fitted else np.zeros(3)
        poses = [_moved(frame.world_T_camera, -origin) for frame in fitted]
        matrices = _stack([frame.matrix for frame in fitted], device).float()
        self.cameras = PinholeCameras(matrices, _stack(poses, device).float())
        self.pairs = self._overlapping()

    def truth(self, first: Tensor, second: Tensor) -> DepthPair:
        """What is known about pairs of frames (B,), (B,)."""
        cameras = self.cameras.select(first), self.cameras.select(second)
        return DepthPair(self.depths[first], self.depths[second], *cameras)

    def draw(self, count: int) -> TrainingPairs:
        """Draw pairs of frames, degrade the images where wanted, label the cells."""
        device = self.generator.device
        chosen = torch.randint(len(self.pairs), (count,), generator=self.generator, device=device)
        first, second = self.pairs[chosen].unbind(1)
        images = self.images[torch.cat([first, second])][:, None].float() / 255
        if self.degraded:
            images = degrade(images, self.generator)
        truth = self.truth(first, second)
        labels = label_cells(truth, self.config, self.size)
        return TrainingPairs(images[:count], images[count:], labels, truth)

    def _overlapping(self) -> Tensor:
        """Ordered pairs of frames (P, 2) that share enough of their views, if possible not all."""
        count = len(self.images)
        everyone = torch.arange(count, device=self.generator.device)
        shares = [self._overlap(everyone[number], everyone) for number in range(count)]
        share = torch.stack(shares) if shares else torch.zeros(0, 0, 2)
        both = torch.minimum(share, share.transpose(0, 1))
        enough = (both[..., 0] >= self.overlap[0]).fill_diagonal_(False)
        # Views that hardly differ teach little: they are taken only where there are no others.
        differing = enough & (both[..., 1] <= self.overlap[1])
        pairs = torch.nonzero(differing if differing.any() else enough)
        if not len(pairs):
            raise ValueError(
                f'no two of the {count} frames see {self.overlap[0]:.0%} of the same surfaces: '
                'check depth scale, intrinsics and poses'
            )
        return pairs

    def _overlap(self, first: Tensor, others: Tensor) -> Tensor:
        """Shares (N, 2) of the first frame's probes that other frames see, of all and of known."""
        height, width = self.size
        y, x = (torch.linspace(0.04, 0.96, n, device=others.device) for n in PROBES)
        probes = torch.stack(torch.meshgrid(x * (width - 1), y * (height - 1), indexing='xy'), -1)
        truth = self.truth(first.expand(len(others)), others)
        places, seen = truth.transfer(probes.view(1, -1, 2).expand(len(others), -1, -1))
        count = seen.sum(dim=1)
        known = (~places.isnan().any(-1)).sum(dim=1).clamp(min=1)
        return torch.stack([count / seen.shape[1], count / known], dim=-1)


def fit_frame(frame: PosedFrame, size: tuple[int, int]) -> PosedFrame:
    """Crop a frame around its centre to the aspect of the size (H, W) and resize it to that."""
    height, width = frame.image.shape
    ratio = min(height / size[0], width / size[1])
    rows, columns = round(size[0] * ratio), round(size[1] * ratio)
    top, left = (height - rows) // 2, (width - columns) // 2
    window = slice(top, top + rows), slice(left, left + columns)
    shape = size[1], size[0]
    image = cv2.resize(frame.image[window], shape, interpolation=cv2.INTER_AREA)
    depth = cv2.resize(frame.depth[window], shape, interpolation=cv2.INTER_NEAREST_EXACT)
    scale = np.array([size[1] / columns, size[0] / rows])
    matrix = frame.matrix.copy()
    matrix[:2, 2] = (matrix[:2, 2] - (left, top) + 0.5) * scale - 0.5
    matrix[[0, 1], [0, 1]] *= scale
    return PosedFrame(
        np.asarray(image, np.uint8), np.asarray(depth, np.float32), matrix, frame.world_T_camera
    )


def _moved(pose: NDArray[np.float64], offset: NDArray[np.float64]) -> NDArray[np.float64]:
    moved = pose.copy()
    moved[:3, 3] += offset
    return moved


def _stack(arrays: list[NDArray[Any]], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(arrays)).to(device) if arrays else torch.zeros(0)
