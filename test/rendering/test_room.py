import numpy as np
import pytest

from loftr_ros.rendering.room import ROOM_HIGH, ROOM_LOW, camera_pose, render_room_sequence


def test_the_same_seed_renders_the_same_frames() -> None:
    first, second = (list(render_room_sequence(2, width=96, height=64, seed=4)) for _ in range(2))

    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        assert a.stamp_ns == b.stamp_ns


def test_frames_follow_each_other_at_the_asked_rate() -> None:
    stamps = [view.stamp_ns for view in render_room_sequence(3, width=32, height=32, rate_hz=20)]

    assert np.diff(stamps).tolist() == [50_000_000, 50_000_000]


def test_depth_and_pose_agree_between_frames() -> None:
    view, later = list(render_room_sequence(4, width=160, height=120))[::3]
    row, column = 60, 80
    ray = np.linalg.inv(view.matrix) @ [column, row, 1]
    point = view.world_T_camera @ np.append(ray * view.depth[row, column], 1)
    local = np.linalg.inv(later.world_T_camera) @ point
    projected = (later.matrix @ local[:3])[:2] / local[2]
    x, y = np.round(projected).astype(int)

    assert later.depth[y, x] == pytest.approx(local[2], rel=0.02)


def test_every_pixel_sees_a_surface_of_the_room() -> None:
    for view in render_room_sequence(3, width=64, height=48):
        assert view.depth.min() > 0
        assert view.depth.max() < np.linalg.norm(ROOM_HIGH - ROOM_LOW)
        assert view.image.std() > 10


def test_poses_are_rigid_and_look_along_x_with_z_up() -> None:
    for seconds in np.linspace(0, 20, 9):
        rotation = camera_pose(float(seconds))[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
        assert rotation[0, 2] > 0.8
        assert rotation[2, 1] < -0.9


def test_nothing_to_render_is_an_error() -> None:
    with pytest.raises(ValueError, match='0 frames'):
        list(render_room_sequence(0))
