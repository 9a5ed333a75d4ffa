"""Random scenes of textured planes with two cameras that look at the same place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from loftr_ros.rendering.planes import PinholeCameras, PlaneScene, transfer

PLANES = 12
ZOOMED = 0.35
"""Share of the pairs whose cameras differ in focal length."""
ROLLED = 0.3
"""Share of the pairs whose query camera is rolled by up to ``ROLL`` rad beside the usual."""
ROLL = math.pi
ZOOM_OCTAVES = 1.5
SWUNG = 0.3
"""Share of the query cameras that look aside by up to a third of the view: no cell stays."""
SWING = 0.22
PLAIN = 0.2
"""Share of the surfaces that hardly have a texture."""


@dataclass(frozen=True)
class ScenePair:
    """B scenes, each with two cameras.

    Attributes:
        scene: The planes.
        camera0: Reference cameras.
        camera1: Query cameras.
    """

    scene: PlaneScene
    camera0: PinholeCameras
    camera1: PinholeCameras

    def select(self, index: Tensor) -> ScenePair:
        """Pairs (M,), repeated at will."""
        cameras = self.camera0.select(index), self.camera1.select(index)
        return ScenePair(self.scene.select(index), *cameras)

    def transfer(self, pixels: Tensor, *, back: bool = False) -> tuple[Tensor, Tensor]:
        """Where surface points of one view appear in the other, exactly; see `PairTruth`."""
        cameras = (self.camera1, self.camera0) if back else (self.camera0, self.camera1)
        return transfer(self.scene, *cameras, pixels)


class SceneSampler:
    """Draws scenes: a single plane, planes at several depths, or a room with boards in it."""

    def __init__(self, textures: int, generator: torch.Generator) -> None:
        self.textures = textures
        self.generator = generator
        self.device = generator.device

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform numbers on the sampler's device."""
        random = torch.rand(shape, generator=self.generator, device=self.device)
        return low + (high - low) * random

    def normal(self, scale: float, *shape: int) -> Tensor:
        """Centred normal numbers on the sampler's device."""
        return torch.randn(shape, generator=self.generator, device=self.device) * scale

    def chance(self, probability: float, *shape: int) -> Tensor:
        """Bool, true with the given probability."""
        return self.uniform(0, 1, *shape) < probability

    def sample(self, batch: int, size: tuple[int, int]) -> ScenePair:
        """Draw a batch for images of (height, width)."""
        kind = self.uniform(0, 1, batch)
        room = (kind < 0.4)[:, None, None]
        boards = (kind < 0.75).float()
        walls = torch.where(room[..., None], self._room(batch), self._backdrop(batch))
        quads = self._boards(batch, PLANES - walls.shape[1], boards)
        planes = torch.cat([walls, quads], dim=1)
        scene = self._paint(planes)
        camera0, camera1 = self._cameras(batch, size, room[:, 0, 0])
        return ScenePair(scene, camera0, camera1)

    def _backdrop(self, batch: int) -> Tensor:
        """A tilted plane in front and a far one behind, (B, 6, 3, 3) of rows u, v, origin."""
        planes = torch.zeros(batch, 6, 3, 3, device=self.device)
        near = self._tilted(batch, 1, self.uniform(0.8, 1.3, batch, 1), 2.6, 0.6)
        far = self._tilted(batch, 1, self.uniform(2.0, 6.0, batch, 1), 5.0, 0.2)
        planes[:, :1], planes[:, 1:2] = near, far
        return planes

    def _boards(self, batch: int, count: int, share: Tensor) -> Tensor:
        """Small tilted planes at random depths, each present with a probability per scene."""
        depth = self.uniform(0.35, 1.1, batch, count)
        boards = self._tilted(batch, count, depth, 0.6, 0.8)
        shift = self.normal(0.35, batch, count, 3) * depth[..., None]
        boards[:, :, 2] += shift * torch.tensor([1.0, 0.7, 0.2], device=self.device)
        present = self.uniform(0, 1, batch, count) < 0.55 * share[:, None]
        return boards * present[..., None, None]

    def _tilted(self, batch: int, count: int, depth: Tensor, size: float, tilt: float) -> Tensor:
        """Planes centred on the optical axis, (B, P, 3, 3) of rows u, v, origin."""
        rotation = self.rotations(self.normal(tilt * 0.6, batch, count, 3))
        width = self.uniform(0.6, 1.5, batch, count) * size * depth
        height = width * self.uniform(0.5, 1.1, batch, count)
        u, v = rotation[..., 0] * width[..., None], rotation[..., 1] * height[..., None]
        origin = -0.5 * (u + v)
        origin[..., 2] += depth
        return torch.stack([u, v, origin], dim=-2)

    def _room(self, batch: int) -> Tensor:
        """Inner walls of a box around the camera, (B, 6, 3, 3) of rows u, v, origin."""
        low = -self.uniform(0.25, 1.2, batch, 3)
        high = self.uniform(0.25, 1.2, batch, 3)
        high[:, 2] = self.uniform(0.7, 3.0, batch)
        extent = torch.diag_embed(high - low)
        planes = torch.zeros(batch, 6, 3, 3, device=self.device)
        for axis in range(3):
            first, second = (axis + 1) % 3, (axis + 2) % 3
            for side in range(2):
                wall = planes[:, 2 * axis + side]
                wall[:, 0], wall[:, 1], wall[:, 2] = extent[:, first], extent[:, second], low
                wall[:, 2, axis] = (low, high)[side][:, axis]
        return planes

    def _paint(self, planes: Tensor) -> PlaneScene:
        """Textures, repeated tiles and untextured surfaces for planes (B, P, 3, 3)."""
        batch, count = planes.shape[:2]
        index = torch.randint(
            self.textures, (batch, count), generator=self.generator, device=self.device
        )
        tiled = self.chance(0.12, batch, count)
        repeat = torch.where(tiled, self.uniform(2, 5, batch, count).round(), 1.0)
        plain = self.chance(PLAIN, batch, count)
        contrast = torch.where(plain, 0.12, self.uniform(0.6, 1.2, batch, count))
        brightness = self.uniform(0.35, 0.65, batch, count)
        return PlaneScene(
            u=planes[:, :, 0],
            v=planes[:, :, 1],
            origin=planes[:, :, 2],
            texture=index,
            repeat=repeat[..., None].expand(-1, -1, 2),
            contrast=contrast,
            brightness=brightness,
        )

    def _cameras(
        self, batch: int, size: tuple[int, int], inside: Tensor
    ) -> tuple[PinholeCameras, PinholeCameras]:
        """A camera near the origin and one moved and rotated towards the same point."""
        height, width = size
        focal = self.uniform(0.65, 1.3, batch) * max(width, height)
        matrix = torch.eye(3, device=self.device).repeat(batch, 1, 1)
        matrix[:, 0, 0] = matrix[:, 1, 1] = focal
        matrix[:, 0, 2] = (width - 1) / 2
        matrix[:, 1, 2] = (height - 1) / 2
        first = torch.eye(4, device=self.device).repeat(batch, 1, 1)
        first[:, :3, :3] = self.rotations(self.normal(0.12, batch, 3))
        reach = torch.where(inside, 0.2, 0.45)[:, None]
        amount = self.uniform(0, 1, batch, 1) ** 1.5
        second = torch.eye(4, device=self.device).repeat(batch, 1, 1)
        second[:, :3, 3] = (self.normal(1.0, batch, 3) * reach * amount).clamp(-0.55, 0.55)
        second[:, :3, :3] = self._towards(second[:, :3, 3], first, amount)
        return PinholeCameras(matrix, first), PinholeCameras(self._zoomed(matrix), second)

    def _zoomed(self, matrix: Tensor) -> Tensor:
        """Camera matrices (B, 3, 3) with another focal length, 0.35 to 2.8 times, for some."""
        batch = len(matrix)
        zoom = 2 ** self.uniform(-ZOOM_OCTAVES, ZOOM_OCTAVES, batch)
        zoom = torch.where(self.chance(ZOOMED, batch), zoom, 1.0)
        scale = torch.stack([zoom, zoom, torch.ones_like(zoom)], dim=1)
        return torch.cat([matrix[:, :, :2] * scale[:, :, None], matrix[:, :, 2:]], dim=2)

    def _towards(self, position: Tensor, first: Tensor, amount: Tensor) -> Tensor:
        """Rotation of a camera that keeps most of the first one's view, (B, 3, 3)."""
        batch = len(position)
        target = first[:, :3, 2] * self.uniform(0.7, 1.3, batch, 1)
        direction = torch.nn.functional.normalize(target - position, dim=1)
        axis = torch.linalg.cross(first[:, :3, 2], direction)
        sine = axis.norm(dim=1, keepdim=True).clamp(min=1e-9)
        cosine = (first[:, :3, 2] * direction).sum(1, keepdim=True)
        towards = self.rotations(axis / sine * torch.atan2(sine, cosine))
        roll_scale = torch.where(self.chance(0.25, batch, 1), 0.45, 0.12)
        jitter = self.normal(1.0, batch, 3) * (0.3 + amount)
        jitter = jitter * torch.cat(
            [torch.full((batch, 2), 0.09, device=self.device), roll_scale], 1
        )
        swing = self.chance(SWUNG, batch, 1) * self.uniform(-SWING, SWING, batch, 2)
        jitter[:, :2] += swing
        rolled = self.chance(ROLLED, batch) * self.uniform(-ROLL, ROLL, batch)
        roll = torch.stack([torch.zeros_like(rolled), torch.zeros_like(rolled), rolled], 1)
        return towards @ first[:, :3, :3] @ self.rotations(jitter) @ self.rotations(roll)

    def rotations(self, vectors: Tensor) -> Tensor:
        """Rotation matrices (..., 3, 3) of rotation vectors (..., 3)."""
        x, y, z = vectors.unbind(-1)
        zero = torch.zeros_like(x)
        skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
        return torch.linalg.matrix_exp(skew)
