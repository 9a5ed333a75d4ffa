"""Frames with depth: of a depth camera, undistorted, or of a stereo camera."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from loftr_ros.data.depth_frames import match_rectified, read_depth_frames
from loftr_ros.data.errors import DatasetError
from loftr_ros.data.undistortion import ideal_camera, maps_to_ideal
from loftr_ros.geometry import Camera

DATA = Path(
    os.environ.get('LOFTR_ROS_DATA', Path(__file__).resolve().parents[3] / 'shared' / 'data')
)


def noise(width: int, height: int) -> np.ndarray:
    texture = np.random.default_rng(0).integers(0, 255, (height // 3, width // 3), np.uint8)
    return np.asarray(cv2.resize(texture, (width, height), interpolation=cv2.INTER_CUBIC))


def test_frames_of_a_depth_camera_carry_its_depth(tum: Path) -> None:
    frames = read_depth_frames(tum)

    assert len(frames) == 2
    assert frames[0].image.shape == frames[0].depth.shape == (480, 640)
    assert frames[0].image.dtype == np.uint8
    assert np.nanmedian(frames[0].depth) == pytest.approx(2.0)


def test_long_sequences_are_thinned(tum: Path) -> None:
    assert len(read_depth_frames(tum, limit=2)) == 1


@pytest.fixture
def stereo_wall(tmp_path: Path) -> Path:
    """Two stereo frames of a wall at 4 m, in the layout of KITTI: 100 px * 0.5 m / 4 m."""
    root = tmp_path / 'wall'
    texture = noise(400, 120)
    for index in range(2):
        for camera, shift in ((0, 0), (1, 12.5)):
            moved = np.array([[1, 0, -40 - 5.0 * index - shift], [0, 1, 0]])
            image = cv2.warpAffine(texture, moved, (240, 120), flags=cv2.INTER_CUBIC)
            folder = root / f'image_{camera}'
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f'{index:06d}.png'), image)
    (root / 'calib.txt').write_text(
        'P0: 100 0 120 0 0 100 60 0 0 0 1 0\nP1: 100 0 120 -50 0 100 60 0 0 0 1 0\n'
    )
    (root / 'poses.txt').write_text('1 0 0 0 0 1 0 0 0 0 1 0\n1 0 0 0.2 0 1 0 0 0 0 1 0\n')
    return root


def test_stereo_images_give_depth(stereo_wall: Path) -> None:
    frames = read_depth_frames(stereo_wall)

    assert len(frames) == 2
    known = frames[0].depth[np.isfinite(frames[0].depth)]
    assert known.size > 0.5 * frames[0].depth.size
    assert np.median(known) == pytest.approx(4.0, rel=0.02)
    np.testing.assert_allclose(frames[1].world_T_camera[:3, 3], [0.2, 0, 0])
    assert frames[0].matrix[0, 0] == pytest.approx(100, rel=0.01)


def test_disparity_is_unknown_where_the_right_image_ends() -> None:
    texture = noise(300, 90)
    disparity = match_rectified(texture[:, 10:250], texture[:, 20:260])

    assert np.isnan(disparity[:, :8]).all()
    assert np.nanmedian(disparity) == pytest.approx(10, abs=0.3)


def test_a_sequence_without_depth_is_refused(kitti: Path) -> None:
    (kitti / 'poses.txt').unlink()
    with pytest.raises(DatasetError, match=r'no frame has a pose|depth'):
        read_depth_frames(kitti)


def test_an_ideal_image_has_straight_lines() -> None:
    camera = Camera(
        320, 240, np.array([[200.0, 0, 160], [0, 200, 120], [0, 0, 1]]), 'plumb_bob',
        np.array([-0.3, 0.1, 0, 0]),
    )  # fmt: skip
    points = np.array([[x, 0.4, 1.0] for x in np.linspace(-0.5, 0.5, 5)])
    bent = camera.project(points)
    x, y = maps_to_ideal(camera)

    assert np.ptp(bent[:, 1]) > 3
    straight = ideal_camera(camera).project(points).round().astype(int)
    for point, real in zip(straight, bent, strict=True):
        assert np.hypot(x[point[1], point[0]] - real[0], y[point[1], point[0]] - real[1]) < 1


def beginning(path: Path, folder: Path) -> Path:
    """The first two frames of a sequence, so that the others need not be read."""
    for directory in (path, *(child for child in path.iterdir() if child.is_dir())):
        target = folder / directory.relative_to(path)
        target.mkdir(parents=True, exist_ok=True)
        files = sorted(child for child in directory.iterdir() if child.is_file())
        frames = [file for file in files if file.name[-7:-4].isdigit() or 'frame-' in file.name]
        for file in set(files) - set(frames) | set(frames[: 6 if directory == path else 2]):
            (target / file.name).symlink_to(file)
    if (folder / 'poses.txt').exists():
        (folder / 'poses.txt').unlink()
        rows = (path / 'poses.txt').read_text().splitlines(keepends=True)
        (folder / 'poses.txt').write_text(''.join(rows[:2]))
    return folder


@pytest.mark.parametrize('name', ['sevenscenes', 'kitti_stereo'])
def test_real_frames_show_the_same_surfaces_where_their_depth_says(
    tmp_path: Path, name: str
) -> None:
    path = DATA / name
    if not path.is_dir():
        pytest.skip(f'{path} is absent; set LOFTR_ROS_DATA to the folder of real data')
    first, second = read_depth_frames(beginning(path.resolve(), tmp_path / name))
    y, x = np.nonzero(np.isfinite(first.depth))
    chosen = np.random.default_rng(0).permutation(len(x))[:4000]
    pixels = np.column_stack([x, y])[chosen]
    rays = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(first.matrix).T
    points = rays * first.depth[pixels[:, 1], pixels[:, 0]][:, None]
    motion = np.linalg.inv(second.world_T_camera) @ first.world_T_camera
    moved = (points @ motion[:3, :3].T + motion[:3, 3]) @ second.matrix.T
    u, v = (moved[:, :2] / moved[:, 2:]).round().astype(int).T
    height, width = second.image.shape
    inside = (moved[:, 2] > 0.1) & (u >= 0) & (v >= 0) & (u < width) & (v < height)
    grey = first.image[pixels[:, 1], pixels[:, 0]][inside].astype(float)
    there = second.image[v[inside], u[inside]].astype(float)

    warped = np.corrcoef(grey, there)[0, 1]
    unmoved = np.corrcoef(grey, second.image[tuple(pixels[inside].T[::-1])])[0, 1]

    assert inside.mean() > 0.5
    assert warped > 0.8
    assert warped > unmoved + 0.05
