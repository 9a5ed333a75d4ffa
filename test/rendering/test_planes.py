import numpy as np
import pytest
import torch

from loftr_ros.rendering.planes import (
    PinholeCameras,
    PlaneScene,
    intersect,
    plane_matrices,
    render,
    transfer,
)
from loftr_ros.rendering.textures import TextureBank

SIZE = (48, 64)
FOCAL = 60.0
MATRIX = torch.tensor([[FOCAL, 0, 31.5], [0, FOCAL, 23.5], [0, 0, 1.0]])


def camera_at(x: float, y: float = 0.0, z: float = 0.0) -> PinholeCameras:
    pose = torch.eye(4)
    pose[:3, 3] = torch.tensor([x, y, z])
    return PinholeCameras(MATRIX[None], pose[None])


def walls(*depths: float, half_widths: tuple[float, ...] = ()) -> PlaneScene:
    """Upright squares facing the camera, centred on its axis."""
    count = len(depths)
    half = torch.tensor(half_widths or (50.0,) * count)
    u, v, origin = torch.zeros(3, 1, count, 3)
    u[0, :, 0] = v[0, :, 1] = 2 * half
    origin[0, :, 0] = origin[0, :, 1] = -half
    origin[0, :, 2] = torch.tensor(depths)
    return PlaneScene(
        u=u,
        v=v,
        origin=origin,
        texture=torch.arange(count)[None],
        repeat=torch.ones(1, count, 2),
        contrast=torch.ones(1, count),
        brightness=torch.full((1, count), 0.5),
    )


def flat_bank(*greys: int) -> TextureBank:
    return TextureBank.build(torch.stack([torch.full((8, 8), g, dtype=torch.uint8) for g in greys]))


def pixels(*points: tuple[float, float]) -> torch.Tensor:
    return torch.tensor([points])


def test_the_nearest_plane_is_seen_at_its_depth() -> None:
    scene = walls(4.0, 2.0, half_widths=(50.0, 0.5))

    image, depth = render(scene, camera_at(0), SIZE, flat_bank(51, 204))

    assert depth[0, 24, 32] == pytest.approx(2.0)
    assert depth[0, 0, 0] == pytest.approx(4.0)
    assert image[0, 0, 24, 32] == pytest.approx(0.8, abs=1e-3)
    assert image[0, 0, 0, 0] == pytest.approx(0.2, abs=1e-3)


def test_pixels_that_see_nothing_have_no_depth() -> None:
    image, depth = render(walls(2.0, half_widths=(0.2,)), camera_at(0), SIZE, flat_bank(0))

    assert depth[0, 0, 0] == 0
    assert image[0, 0, 0, 0] == 0.5


def test_planes_behind_the_camera_are_not_seen() -> None:
    scene = walls(2.0)

    seen = intersect(plane_matrices(scene, camera_at(0, z=3.0)), *pixels((31.5, 23.5)).unbind(-1))

    assert seen.plane.tolist() == [[-1]]


def test_a_sideways_step_moves_a_wall_by_focal_length_times_baseline_over_depth() -> None:
    there, seen = transfer(walls(3.0), camera_at(0), camera_at(0.5), pixels((20.0, 10.0)))

    assert seen.all()
    np.testing.assert_allclose(there[0, 0], [20.0 - FOCAL * 0.5 / 3.0, 10.0], atol=1e-4)


def test_transfer_there_and_back_is_the_identity() -> None:
    scene, first, second = walls(3.0), camera_at(0), camera_at(0.3, -0.2, 0.4)
    points = torch.rand(1, 20, 2) * 40
    there, _ = transfer(scene, first, second, points)
    back, _ = transfer(scene, second, first, there)

    np.testing.assert_allclose(back, points, atol=1e-3)


def test_a_point_hidden_behind_a_nearer_plane_is_occluded() -> None:
    scene = walls(4.0, 2.0, half_widths=(50.0, 0.3))
    # The board covers 9 px around the axis; a step of 0.5 moves it by 15 px, the wall by 7.5.
    left_of_board = pixels((31.5 - 9 - 4, 23.5))

    _, seen_from_here = transfer(scene, camera_at(0), camera_at(0), left_of_board)
    _, seen_from_there = transfer(scene, camera_at(0), camera_at(0.5), left_of_board)

    assert seen_from_here.all()
    assert not seen_from_there.any()


def test_textures_lie_on_planes_as_documented() -> None:
    # A ramp along the texture's x axis becomes a ramp along u.
    ramp = torch.arange(0, 256, 4, dtype=torch.uint8).repeat(64, 1)[None]
    scene = walls(1.0, half_widths=(0.5,))
    image, _ = render(scene, camera_at(0), SIZE, TextureBank.build(ramp))

    row = image[0, 0, 24]
    inside = row[5:60]
    assert (inside[1:] >= inside[:-1] - 1e-6).all()
    assert row[32] == pytest.approx(0.5, abs=0.02)


def test_textures_must_be_square_powers_of_two() -> None:
    with pytest.raises(ValueError, match='power of two'):
        TextureBank.build(torch.zeros(2, 12, 12, dtype=torch.uint8))
