"""COLMAP models against the documented format and against pycolmap."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

from loftr_ros.data.colmap import has_model, read_model

if TYPE_CHECKING:
    from pathlib import Path

CAMERAS = '# cameras\n1 OPENCV 640 480 500 510 320 240 0.1 -0.2 0.001 0.002\n'
IMAGES = (
    '# images\n'
    # A rotation by 90 degrees about z; the camera stands at (2, -1, 0).
    f'1 {np.sqrt(0.5)} 0 0 {np.sqrt(0.5)} -1 -2 0 1 b.jpg\n'
    '10.5 20.5 7 100 200 -1 30.5 40.5 9\n'
    '2 1 0 0 0 0 0 0 1 a.jpg\n'
    '\n'
)
POINTS = '7 1 2 3 255 0 0 0.5 1 0 2 0\n9 4 5 6 0 0 0 0.5 1 2\n'


def write(folder: Path, cameras: str = CAMERAS, images: str = IMAGES, points: str = POINTS) -> Path:
    contents = {'cameras': cameras, 'images': images, 'points3D': points}
    for name, text in contents.items():
        (folder / f'{name}.txt').write_text(text)
    return folder


def test_pixel_centres_are_at_integers(tmp_path: Path) -> None:
    model = read_model(write(tmp_path))

    camera = model.cameras[1]
    assert camera.matrix.tolist() == [[500, 0, 319.5], [0, 510, 239.5], [0, 0, 1]]
    assert model.images[1].pixels.tolist() == [[10, 20], [30, 40]]


def test_distortion_is_in_the_order_of_opencv(tmp_path: Path) -> None:
    camera = read_model(write(tmp_path)).cameras[1]

    assert camera.distortion_model == 'plumb_bob'
    assert camera.distortion.tolist() == [0.1, -0.2, 0.001, 0.002, 0]


def test_poses_are_those_of_the_cameras_in_the_world(tmp_path: Path) -> None:
    first, second = read_model(write(tmp_path)).images

    assert (first.name, second.name) == ('a.jpg', 'b.jpg')
    expected = [[0, 1, 0, 2], [-1, 0, 0, -1], [0, 0, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(second.world_T_camera, expected, atol=1e-12)


def test_observations_of_no_point_are_left_out(tmp_path: Path) -> None:
    first, second = read_model(write(tmp_path)).images

    assert first.points.tolist() == []
    assert second.points.tolist() == [7, 9]


@pytest.mark.parametrize(
    ('changed', 'problem'),
    [
        ({'cameras': '1 FOV 640 480 500 500 320 240 0.5'}, 'FOV is not supported'),
        ({'cameras': '1 PINHOLE 640 480 500'}, '4 parameters, not 1'),
        ({'cameras': '1 PINHOLE 640'}, 'cameras.txt: not enough values'),
        ({'cameras': '1 PINHOLE 640 480 nan 1 2 3'}, 'cameras.txt: a PINHOLE camera'),
        ({'images': '1 0 0 0 0 0 0 0 1 a.jpg\n\n'}, 'the pose of a.jpg is no pose'),
        ({'images': '1 1 0 0 0 0 0 0 5 a.jpg\n\n'}, 'a.jpg has camera 5'),
        ({'images': '1 1 0 0 0 0 0 0 1 a.jpg\n1 2 3 4\n'}, 'images.txt: cannot reshape'),
        ({'points': '7 1 2 3'}, 'a point'),
        ({'points': '7 1 2 x 0 0 0 1'}, 'points3D.txt: could not convert'),
    ],
)
def test_a_damaged_model_is_refused_with_the_reason(
    tmp_path: Path, changed: dict[str, str], problem: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(problem) if problem != 'a point' else 'lacks'):
        read_model(write(tmp_path, **changed))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / 'points3D.txt').unlink()

    assert not has_model(tmp_path)
    with pytest.raises(ValueError, match='no COLMAP model'):
        read_model(tmp_path)


def test_a_binary_model_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'cameras.bin').write_bytes(struct.pack('<QiiQQ3d', 1, 1, 0, 64, 48, 50, 32, 24))
    (tmp_path / 'images.bin').write_bytes(struct.pack('<Qi7d', 1, 1, 1, 0, 0, 0, 0, 0, 0))
    (tmp_path / 'points3D.bin').write_bytes(struct.pack('<Q', 0))

    with pytest.raises(ValueError, match=r'images\.bin: the file is damaged or cut off'):
        read_model(tmp_path)


@pytest.mark.parametrize('binary', [False, True])
def test_what_pycolmap_writes_is_read(tmp_path: Path, binary: bool) -> None:
    pycolmap = pytest.importorskip('pycolmap', reason='pycolmap is not installed')
    options = pycolmap.SyntheticDatasetOptions(num_frames_per_rig=4, num_points3D=30)
    truth = pycolmap.synthesize_dataset(options)
    (truth.write_binary if binary else truth.write_text)(tmp_path)

    model = read_model(tmp_path)

    assert len(model.images) == truth.num_reg_images() > 0
    assert len(model.points) == 30
    images = {image.name: image for image in truth.images.values()}
    for image in model.images:
        expected = images[image.name].cam_from_world().inverse().matrix()
        np.testing.assert_allclose(image.world_T_camera[:3], expected, atol=1e-9)
        observed = [p for p in images[image.name].points2D if p.has_point3D()]
        np.testing.assert_allclose(image.pixels, [p.xy - 0.5 for p in observed], atol=1e-9)
        assert image.points.tolist() == [p.point3D_id for p in observed]
