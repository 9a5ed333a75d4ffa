"""Tiny datasets, written by each test into its own folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

WIDTH, HEIGHT = 64, 48


def write_image(path: Path, value: int, shape: tuple[int, ...] = (HEIGHT, WIDTH)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(value).integers(0, 255, shape, np.uint8)
    assert cv2.imwrite(str(path), image)


def straight_poses(count: int) -> NDArray[Any]:
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, 2, 3] = np.arange(count)
    return poses


@pytest.fixture
def kitti(tmp_path: Path) -> Path:
    """Three stereo frames in the official layout's names, with named calibration rows."""
    root = tmp_path / 'kitti'
    for index in range(3):
        write_image(root / 'image_0' / f'{index:06d}.png', index)
        write_image(root / 'image_1' / f'{index:06d}.png', index + 10)
    left = '50 0 32 0 0 50 24 0 0 0 1 0'
    right = '50 0 32 -25 0 50 24 0 0 0 1 0'
    (root / 'calib.txt').write_text(f'P0: {left}\nP1: {right}\nTr: {left}\n')
    rows = [' '.join(map(str, pose[:3].ravel())) for pose in straight_poses(3)]
    (root / 'poses.txt').write_text('\n'.join(rows) + '\n')
    return root


@pytest.fixture
def euroc(tmp_path: Path) -> Path:
    """Three frames; the camera looks along the body's x axis, half a metre ahead."""
    root = tmp_path / 'euroc'
    camera, truth = root / 'mav0' / 'cam0', root / 'mav0' / 'state_groundtruth_estimate0'
    truth.mkdir(parents=True)
    stamps = [1_403_638_548_500_000_000 + 50_000_000 * index for index in range(3)]
    for index, stamp in enumerate(stamps):
        write_image(camera / 'data' / f'{stamp}.png', index)
    rows = '\n'.join(f'{stamp},{stamp}.png' for stamp in stamps)
    (camera / 'data.csv').write_text(f'#timestamp [ns],filename\n{rows}\n')
    (camera / 'sensor.yaml').write_text(
        'sensor_type: camera\n'
        'T_BS:\n  cols: 4\n  rows: 4\n'
        '  data: [0, 0, 1, 0.5, -1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 1]\n'
        f'resolution: [{WIDTH}, {HEIGHT}]\ncamera_model: pinhole\n'
        'intrinsics: [50.0, 51.0, 32.0, 24.0]\ndistortion_model: radial-tangential\n'
        'distortion_coefficients: [-0.2, 0.05, 1e-4, 0.0]\n'
    )
    # Samples between the images: the pose at an image is interpolated.
    samples = [(stamps[0] - 5_000_000, 0.0), (stamps[0] + 5_000_000, 1.0)]
    samples += [(stamps[1] - 5_000_000, 2.0), (stamps[1] + 5_000_000, 3.0)]
    rows = '\n'.join(f'{stamp},{x},0,0,1,0,0,0,0,0,0' for stamp, x in samples)
    (truth / 'data.csv').write_text(f'#timestamp, p, q\n{rows}\n')
    return root


@pytest.fixture
def tum(tmp_path: Path) -> Path:
    """A frame before the ground truth, and two with a depth image of 2 m; 640 x 480."""
    root = tmp_path / 'rgbd_dataset_freiburg3_tiny'
    stamps = ['1341847979.500000', '1341847980.795000', '1341847980.815000']
    for index, stamp in enumerate(stamps):
        write_image(root / 'rgb' / f'{stamp}.png', index, (480, 640, 3))
    depth = np.full((480, 640), 10_000, np.uint16)
    depth[0] = 0
    (root / 'depth').mkdir()
    assert cv2.imwrite(str(root / 'depth' / '1341847980.800000.png'), depth)
    (root / 'rgb.txt').write_text(
        '# color images\n' + ''.join(f'{stamp} rgb/{stamp}.png\n' for stamp in stamps)
    )
    (root / 'depth.txt').write_text('1341847980.800000 depth/1341847980.800000.png\n')
    (root / 'groundtruth.txt').write_text(
        '# timestamp tx ty tz qx qy qz qw\n'
        '1341847980.7900 0 0 0 0 0 0 1\n'
        '1341847980.8000 1 0 0 0 0 0 1\n'
        '1341847980.8200 1 2 0 0 0 0.7071068 0.7071068\n'
    )
    return root


@pytest.fixture
def sevenscenes(tmp_path: Path) -> Path:
    """Frames 0, 10 and 20, 640 x 480; the last one has no valid pose."""
    root = tmp_path / 'seq-01'
    for index, number in enumerate((0, 10, 20)):
        stem = f'frame-{number:06d}'
        write_image(root / f'{stem}.color.png', index, (480, 640, 3))
        assert cv2.imwrite(
            str(root / f'{stem}.depth.png'),
            np.full((480, 640), 65535 if index else 1500, np.uint16),
        )
        pose = np.full((4, 4), np.inf) if number == 20 else straight_poses(3)[index]
        np.savetxt(root / f'{stem}.pose.txt', pose)
    return root


@pytest.fixture
def truncate() -> Callable[[Path, float], None]:
    """Cut a file to a share of its length."""

    def cut(path: Path, share: float) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return cut
