"""A furnished room seen by a moving camera: images with exact poses and depth, from a seed.

The world follows REP 103 (x forward, y left, z up); cameras are optical frames (z forward).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from loftr_ros.rendering.planes import PinholeCameras, PlaneScene, render
from loftr_ros.rendering.procedural import procedural_texture
from loftr_ros.rendering.textures import TextureBank

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

ROOM_LOW = np.array([-4.0, -3.0, 0.0])
ROOM_HIGH = np.array([4.0, 3.0, 2.8])
TEXTURE_SIZE = 512
NOISE = 2.0
# Columns: the optical axes x (right), y (down), z (forward) in a body that looks along x.
BODY_R_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True)
class RenderedView:
    """One frame of the sequence.

    Attributes:
        stamp_ns: Time, ns.
        image: uint8 (H, W), grey.
        depth: float32 (H, W), m along the optical axis.
        matrix: float64 (3, 3), intrinsics in px.
        world_T_camera: float64 (4, 4).
    """

    stamp_ns: int
    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    matrix: NDArray[np.float64]
    world_T_camera: NDArray[np.float64]


def render_room_sequence(
    frames: int,
    *,
    width: int = 640,
    height: int = 480,
    seed: int = 0,
    rate_hz: float = 10.0,
    path: Callable[[float], NDArray[np.float64]] | None = None,
    textures: int = 12,
) -> Iterator[RenderedView]:
    """Walk through the room, one frame at a time; the same arguments, the same frames.

    Args:
        frames: Number of frames.
        width: Of the images, px.
        height: Of the images, px.
        seed: Of furniture, textures and noise.
        rate_hz: Frames in a second of their stamps.
        path: Returns the pose of the camera in the room (4, 4) at a time, s, of which a frame is a
            tenth whatever its stamp; `camera_pose` by default.
        textures: Number of textures that walls and furniture share.

    Raises:
        ValueError: There is nothing to render.
    """
    if min(frames, width, height, textures) < 1:
        raise ValueError(f'cannot render {frames} frames of {width} x {height}')
    rng = np.random.default_rng(seed)
    scene, bank = _furnish(rng, textures)
    path = path or camera_pose
    matrix = np.array(
        [[0.8 * width, 0, (width - 1) / 2], [0, 0.8 * width, (height - 1) / 2], [0, 0, 1]]
    )
    for number in range(frames):
        world_T_camera = path(number * 0.1)
        cameras = PinholeCameras(
            torch.from_numpy(matrix).float()[None], torch.from_numpy(world_T_camera).float()[None]
        )
        grey, depth = render(scene, cameras, (height, width), bank)
        noisy = grey[0, 0].numpy() * 255 + rng.normal(0, NOISE, (height, width))
        yield RenderedView(
            stamp_ns=1_000_000_000 + round(number * 1e9 / rate_hz),
            image=np.clip(noisy, 0, 255).astype(np.uint8),
            depth=depth[0].numpy(),
            matrix=matrix,
            world_T_camera=world_T_camera,
        )


def camera_pose(seconds: float) -> NDArray[np.float64]:
    """Pose of the camera (4, 4) in the room: a slow closed loop that looks around a little."""
    phase = 2 * np.pi * seconds / 20.0
    position = np.array(
        [-1.2 - 1.2 * np.cos(phase), 0.9 * np.sin(phase), 1.4 + 0.12 * np.sin(2 * phase)]
    )
    yaw, pitch = 0.35 * np.sin(phase + 0.6), 0.06 * np.sin(2 * phase)
    rotation = _rotation_z(yaw) @ _rotation_y(pitch) @ BODY_R_OPTICAL
    return np.block([[rotation, position[:, None]], [np.zeros(3), np.ones(1)]])


def _rotation_z(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def _rotation_y(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1.0, 0], [-s, 0, c]])


def _furnish(rng: np.random.Generator, variety: int) -> tuple[PlaneScene, TextureBank]:
    """Walls, floor and ceiling, and boxes that stand and hang in the room."""
    faces = _box_faces(ROOM_LOW, ROOM_HIGH)
    for _ in range(7):
        side = rng.uniform(0.3, 0.9, 3)
        low = rng.uniform([0.8, -2.6, 0.0], [3.4, 1.8, 1.6])
        low[2] = rng.choice([0.0, low[2]])
        faces += _box_faces(low, low + side)
    planes = np.array(faces, np.float32)[None]
    count = planes.shape[1]
    textures = np.stack([procedural_texture(TEXTURE_SIZE, rng) for _ in range(variety)])
    scene = PlaneScene(
        u=torch.from_numpy(planes[:, :, 0]),
        v=torch.from_numpy(planes[:, :, 1]),
        origin=torch.from_numpy(planes[:, :, 2]),
        texture=torch.from_numpy(rng.integers(0, len(textures), (1, count))),
        repeat=torch.ones(1, count, 2),
        contrast=torch.full((1, count), 0.9),
        brightness=torch.from_numpy(rng.uniform(0.4, 0.6, (1, count)).astype(np.float32)),
    )
    return scene, TextureBank.build(torch.from_numpy(textures))


def _box_faces(
    low: NDArray[np.float64], high: NDArray[np.float64]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]:
    """Six faces, each as edges u and v and a corner."""
    extent = np.diag(high - low)
    faces = []
    for axis in range(3):
        u, v = extent[(axis + 1) % 3], extent[(axis + 2) % 3]
        faces.append((u, v, low))
        faces.append((u, v, low + extent[axis]))
    return faces
