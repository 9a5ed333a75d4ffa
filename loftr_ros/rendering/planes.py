"""Scenes of textured parallelograms, intersected with pixel rays in closed form.

A point of a plane is ``a u + b v + o`` with texture coordinates a, b in [0, 1]. Seen by a camera,
``[a, b, 1] / depth`` is linear in the homogeneous pixel: one 3x3 matrix per plane and view answers
which surface a pixel sees, where on its texture, and how far away, at any sub-pixel position.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from loftr_ros.rendering.textures import TextureBank


@dataclass(frozen=True)
class PinholeCameras:
    """A batch of cameras; x right, y down, z forward (REP 103 optical frame).

    Attributes:
        matrix: float32 (B, 3, 3), intrinsics in px.
        world_T_camera: float32 (B, 4, 4).
    """

    matrix: Tensor
    world_T_camera: Tensor

    def select(self, index: Tensor) -> PinholeCameras:
        """Cameras (M,) of a batch, repeated at will."""
        return PinholeCameras(self.matrix[index], self.world_T_camera[index])

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (B, N, 2) and depths (B, N) of world points (B, N, 3)."""
        rotation, centre = self.world_T_camera[:, :3, :3], self.world_T_camera[:, None, :3, 3]
        local = (points - centre) @ rotation
        depth = local[..., 2]
        pixels = local @ self.matrix.transpose(1, 2)
        return pixels[..., :2] / depth[..., None].clamp(min=1e-6), depth


@dataclass(frozen=True)
class PlaneScene:
    """A batch of scenes, each of P parallelograms in world coordinates.

    Attributes:
        u: float32 (B, P, 3), edge along the texture's x axis; zero where a plane is unused.
        v: float32 (B, P, 3), edge along the texture's y axis.
        origin: float32 (B, P, 3), corner a = b = 0.
        texture: int64 (B, P), index into a bank.
        repeat: float32 (B, P, 2), how often the texture repeats along u and v.
        contrast: float32 (B, P), factor on the texture.
        brightness: float32 (B, P), grey value where the texture is mid-grey.
    """

    u: Tensor
    v: Tensor
    origin: Tensor
    texture: Tensor
    repeat: Tensor
    contrast: Tensor
    brightness: Tensor

    def select(self, index: Tensor) -> PlaneScene:
        """Scenes (M,) of a batch, repeated at will."""
        values = {field.name: getattr(self, field.name)[index] for field in fields(self)}
        return PlaneScene(**values)


@dataclass(frozen=True)
class Surface:
    """What pixels see; all fields have the shape of the pixels.

    Attributes:
        plane: int64, -1 where nothing is hit.
        inverse_depth: float32, 1 / m along the optical axis; 0 where nothing is hit.
        a: float32, texture coordinate along u.
        b: float32, texture coordinate along v.
    """

    plane: Tensor
    inverse_depth: Tensor
    a: Tensor
    b: Tensor


def plane_matrices(scene: PlaneScene, cameras: PinholeCameras) -> Tensor:
    """Matrices A (B, P, 3, 3) with A [x, y, 1] = [a, b, 1] / depth for pixels x, y."""
    rotation, centre = cameras.world_T_camera[:, :3, :3], cameras.world_T_camera[:, None, :3, 3]
    u, v = scene.u @ rotation, scene.v @ rotation
    origin = (scene.origin - centre) @ rotation
    normal = torch.linalg.cross(u, v)
    determinant = (normal * origin).sum(-1)
    usable = determinant.abs() > 1e-9
    rows = torch.stack([torch.linalg.cross(v, origin), torch.linalg.cross(origin, u), normal], -2)
    safe = torch.where(usable, determinant, torch.ones_like(determinant))
    inverse = rows / safe[..., None, None] * usable[..., None, None]
    return inverse @ torch.linalg.inv(cameras.matrix)[:, None]


def intersect(matrices: Tensor, x: Tensor, y: Tensor) -> Surface:
    """The nearest plane at each pixel.

    Args:
        matrices: (B, P, 3, 3) of :func:`plane_matrices`.
        x: (B or 1, ...) pixel columns.
        y: pixel rows, broadcastable against x (a row and a column make an image).
    """
    spread = (-1,) + (1,) * (x.dim() - 1)
    inverse_depth = torch.zeros_like(x + y + matrices[:, 0, 0, 0].view(spread))
    best_a, best_b = inverse_depth, inverse_depth
    plane = torch.full_like(inverse_depth, -1, dtype=torch.int64)
    for number in range(matrices.shape[1]):
        m = [entry.view(spread) for entry in matrices[:, number].flatten(1).unbind(1)]
        depth = (m[6] * x + m[8]) + m[7] * y
        a = (m[0] * x + m[2]) + m[1] * y
        b = (m[3] * x + m[5]) + m[4] * y
        inside = torch.minimum(torch.minimum(a, depth - a), torch.minimum(b, depth - b)) >= 0
        nearer = inside & (depth > inverse_depth)
        inverse_depth = torch.where(nearer, depth, inverse_depth)
        best_a, best_b = torch.where(nearer, a, best_a), torch.where(nearer, b, best_b)
        plane.masked_fill_(nearer, number)
    scale = inverse_depth.clamp(min=1e-9)
    return Surface(plane, inverse_depth, best_a / scale, best_b / scale)


def render(
    scene: PlaneScene, cameras: PinholeCameras, size: tuple[int, int], bank: TextureBank
) -> tuple[Tensor, Tensor]:
    """Grey images (B, 1, H, W), unclipped, and depth (B, H, W), 0 where nothing is seen."""
    height, width = size
    device = scene.u.device
    matrices = plane_matrices(scene, cameras)
    x = torch.arange(width, device=device, dtype=torch.float32)[None, None, :]
    y = torch.arange(height, device=device, dtype=torch.float32)[None, :, None]
    # A processor's cache holds one view at a time; a GPU wants them all at once.
    step = 1 if device.type == 'cpu' else len(matrices)
    images, depths = [], []
    for start in range(0, len(matrices), step):
        part = slice(start, start + step)
        surface = intersect(matrices[part], x, y)
        images.append(_shade(scene, part, matrices[part], surface, bank))
        hit, inverse = surface.plane >= 0, surface.inverse_depth.clamp(min=1e-9)
        depths.append(torch.where(hit, 1.0 / inverse, 0.0))
    return torch.cat(images)[:, None], torch.cat(depths)


def _shade(
    scene: PlaneScene, part: slice, matrices: Tensor, surface: Surface, bank: TextureBank
) -> Tensor:
    """Grey values of what each pixel sees, (B, H, W)."""
    number = surface.plane.clamp(min=0).flatten(1)

    def of_plane(values: Tensor) -> Tensor:
        return values.gather(1, number).view(surface.plane.shape)

    repeat = scene.repeat[part]
    # Texture area under a pixel: the determinant of the homography's Jacobian.
    area = of_plane(torch.linalg.det(matrices).abs() * repeat.prod(dim=-1))
    footprint = (area / surface.inverse_depth.clamp(min=1e-9) ** 3).sqrt()
    a, b = surface.a * of_plane(repeat[..., 0]), surface.b * of_plane(repeat[..., 1])
    grey = bank.sample(of_plane(scene.texture[part]), a, b, footprint)
    contrast, brightness = of_plane(scene.contrast[part]), of_plane(scene.brightness[part])
    return torch.where(surface.plane >= 0, brightness + contrast * (grey - 0.5), 0.5)


def transfer(
    scene: PlaneScene, source: PinholeCameras, target: PinholeCameras, pixels: Tensor
) -> tuple[Tensor, Tensor]:
    """Where surface points seen in one view appear in another.

    Args:
        scene: B scenes.
        source: B cameras.
        target: B cameras.
        pixels: (B, N, 2) in the source.

    Returns:
        Pixels (B, N, 2) in the target and (B, N) bool: hit by the source and not occluded in the
        target (image bounds are the caller's).
    """
    seen = intersect(plane_matrices(scene, source), pixels[..., 0], pixels[..., 1])
    depth = 1.0 / seen.inverse_depth.clamp(min=1e-9)
    homogeneous = torch.cat([pixels, torch.ones_like(pixels[..., :1])], -1)
    rays = homogeneous @ torch.linalg.inv(source.matrix).transpose(1, 2)
    rotation, centre = source.world_T_camera[:, :3, :3], source.world_T_camera[:, None, :3, 3]
    points = (rays * depth[..., None]) @ rotation.transpose(1, 2) + centre
    projected, target_depth = target.project(points)
    front = intersect(plane_matrices(scene, target), projected[..., 0], projected[..., 1])
    unoccluded = front.inverse_depth * target_depth < 1.01
    return projected, (seen.plane >= 0) & (target_depth > 1e-3) & unoccluded
