"""Datasets whose frames carry depth or the view of the right camera."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from loftr_ros.data.datasets import open_sequence
from loftr_ros.data.errors import DatasetError
from loftr_ros.data.images import read_image
from loftr_ros.data.sequences import GroundTruthSequence, InputOptions, RefusedFrame

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def euroc_stereo(euroc: Path) -> Path:
    """The sequence with cam1, 0.1 m to the right of cam0, which lacks the last image."""
    left, right = euroc / 'mav0' / 'cam0', euroc / 'mav0' / 'cam1'
    shutil.copytree(left, right)
    text = (right / 'sensor.yaml').read_text()
    (right / 'sensor.yaml').write_text(
        text.replace('[0, 0, 1, 0.5, -1, 0, 0, 0,', '[0, 0, 1, 0.5, -1, 0, 0, -0.1,')
    )
    lines = (right / 'data.csv').read_text().splitlines()
    (right / 'data.csv').write_text('\n'.join(lines[:-1]))
    return euroc


def test_frames_carry_nothing_unless_asked(kitti: Path, sevenscenes: Path) -> None:
    assert {truth.frame.mode for truth in open_sequence(kitti)} == {'mono'}
    assert {truth.frame.mode for truth in open_sequence(sevenscenes)} == {'mono'}


def test_kitti_gives_the_right_view_at_its_baseline(kitti: Path) -> None:
    for index, truth in enumerate(open_sequence(kitti, mode='stereo')):
        right = truth.frame.right
        assert right is not None
        np.testing.assert_array_equal(
            right.image, read_image(kitti / 'image_1' / f'{index:06d}.png')
        )
        np.testing.assert_allclose(right.left_T_right[:3, 3], [0.5, 0, 0])
        np.testing.assert_allclose(right.left_T_right[:3, :3], np.eye(3))
        truth.frame.check()


def test_euroc_gives_the_right_view_by_stamp_and_extrinsics(euroc_stereo: Path) -> None:
    frames = [truth.frame for truth in open_sequence(euroc_stereo, mode='stereo')]
    assert [frame.mode for frame in frames] == ['stereo', 'stereo', 'mono']
    assert frames[0].right is not None
    np.testing.assert_allclose(frames[0].right.left_T_right[:3, 3], [0.1, 0, 0], atol=1e-12)
    assert frames[0].right.camera.distortion_model == 'plumb_bob'


def test_sevenscenes_and_tum_give_depth(sevenscenes: Path, tum: Path) -> None:
    first = next(iter(open_sequence(sevenscenes, mode='rgbd'))).frame
    assert first.depth is not None
    np.testing.assert_allclose(first.depth, 1.5)
    frames = [truth.frame for truth in open_sequence(tum, mode='rgbd')]
    assert [frame.mode for frame in frames] == ['mono', 'rgbd', 'rgbd']
    assert frames[1].depth is not None
    assert np.isnan(frames[1].depth[0]).all()
    np.testing.assert_allclose(frames[1].depth[1:], 2.0)


def test_a_mode_that_a_dataset_cannot_give_is_refused(
    kitti: Path, sevenscenes: Path, euroc: Path
) -> None:
    with pytest.raises(DatasetError, match='there are no depth images'):
        open_sequence(kitti, mode='rgbd')
    with pytest.raises(DatasetError, match='sevenscenes has no right camera'):
        open_sequence(sevenscenes, mode='stereo')
    with pytest.raises(DatasetError, match=r'cam1/sensor\.yaml: the file cannot be read'):
        open_sequence(euroc, mode='stereo')
    with pytest.raises(DatasetError, match='there are no images to the right of image_1'):
        open_sequence(kitti, camera='image_1', mode='stereo')
    with pytest.raises(DatasetError, match="The left one is 'cam0'"):
        open_sequence(euroc, camera='cam1', mode='stereo')
    with pytest.raises(ValueError, match='mode must be one of mono, stereo, rgbd'):
        open_sequence(kitti, mode='lidar')


def test_right_images_that_do_not_fit_are_refused(kitti: Path, sevenscenes: Path) -> None:
    (kitti / 'image_1' / '000002.png').unlink()
    with pytest.raises(DatasetError, match='there are 2 images, but 3 left ones'):
        open_sequence(kitti, mode='stereo')
    shutil.copy(sevenscenes / 'frame-000000.color.png', kitti / 'image_1' / '000002.png')
    with pytest.raises(DatasetError, match='640x480 px, but the calibration is for 64x48'):
        list(open_sequence(kitti, mode='stereo'))


def test_without_images_to_the_right_there_is_no_stereo(kitti: Path) -> None:
    shutil.rmtree(kitti / 'image_1')
    with pytest.raises(DatasetError, match='there are no images to the right of image_0'):
        open_sequence(kitti, mode='stereo')


def test_right_images_may_come_a_little_late(euroc_stereo: Path) -> None:
    file = euroc_stereo / 'mav0' / 'cam1' / 'data.csv'
    rows = [line.split(',') for line in file.read_text().splitlines()[1:]]
    text = '\n'.join(f'{int(stamp) + 15_000_000},{name}' for stamp, name in rows)
    file.write_text(f'#timestamp,filename\n{text}\n')
    late = InputOptions(slop_ns=20_000_000)
    found = [item.frame.right is not None for item in open_stereo(euroc_stereo, late)]
    assert found == [True, True, False]
    items = list(open_stereo(euroc_stereo, InputOptions(slop_ns=10_000_000)))
    assert not any(item.frame.right for item in items)
    assert [item.apart_ns for item in items] == [15_000_000, 15_000_000, 35_000_000]


def open_stereo(path: Path, options: InputOptions) -> GroundTruthSequence:
    return open_sequence(path, mode='stereo', options=options)


def test_depth_may_come_as_late_as_is_allowed(tum: Path) -> None:
    counts = [
        sum(
            item.frame.depth is not None
            for item in open_sequence(tum, mode='rgbd', options=InputOptions(slop_ns=slop_ns))
        )
        for slop_ns in (4_000_000, 10_000_000, 20_000_000)
    ]
    assert counts == [0, 1, 2]


def test_files_that_were_not_copied_cost_themselves_alone(euroc: Path) -> None:
    data = euroc / 'mav0' / 'cam0' / 'data'
    first, second, _ = sorted(data.iterdir())
    first.unlink()
    second.write_bytes(second.read_bytes()[:200])
    items = list(open_sequence(euroc).items())
    refused = [item for item in items if isinstance(item, RefusedFrame)]
    assert len(items) == 3
    assert [item.stamp_ns for item in refused] == [int(first.stem), int(second.stem)]
    assert f'{first}: the image cannot be read (No such file' in refused[0].reason
    assert f'{second}: the image is truncated' in refused[1].reason
    with pytest.raises(DatasetError, match='No such file'):
        list(open_sequence(euroc))


def test_the_size_is_that_of_the_first_image_that_can_be_read(tum: Path) -> None:
    for file in sorted((tum / 'rgb').iterdir())[:1]:
        file.unlink()
    sequence = open_sequence(tum)
    assert sequence.camera is not None
    assert sequence.camera.size == (480, 640)
    assert [isinstance(item, RefusedFrame) for item in sequence.items()] == [True, False, False]
