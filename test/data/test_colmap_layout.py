"""COLMAP workspaces as datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from loftr_ros.data.datasets import DatasetError, find_layout, open_sequence
from loftr_ros.evaluation.matchers.pairs import find_pair_sets

if TYPE_CHECKING:
    from pathlib import Path


def workspace(folder: Path, cameras: str, count: int = 3, model: str = 'sparse') -> Path:
    (folder / 'images').mkdir(parents=True)
    (folder / model).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(folder / 'images' / f'{number}.png'), np.full((48, 64), 90, np.uint8))
    lines = [f'{n + 1} 1 0 0 0 {-0.1 * n} 0 0 {1 + n % 2} {n}.png\n\n' for n in range(count)]
    (folder / model / 'images.txt').write_text('# images\n' + ''.join(reversed(lines)))
    (folder / model / 'cameras.txt').write_text(cameras)
    (folder / model / 'points3D.txt').write_text('')
    return folder


SAME = '1 PINHOLE 64 48 50 51 32 24\n2 PINHOLE 64 48 50 51 32 24\n'
OTHER = '1 PINHOLE 64 48 50 51 32 24\n2 SIMPLE_RADIAL 64 48 60 30 20 0.1\n'


@pytest.mark.parametrize('model', ['sparse', 'sparse/0', '.'])
def test_images_come_in_the_order_of_their_names_with_their_poses(
    tmp_path: Path, model: str
) -> None:
    sequence = open_sequence(workspace(tmp_path / 'scene', SAME, model=model))
    assert sequence.layout == 'colmap'
    poses = [frame.world_T_camera for frame in sequence]
    assert [pose[0, 3] for pose in poses if pose is not None] == pytest.approx([0.0, 0.1, 0.2])
    assert sequence.camera is not None
    # COLMAP counts pixels from the corner of the first one.
    np.testing.assert_allclose(sequence.camera.matrix[:2, 2], [31.5, 23.5])


def test_each_image_has_the_camera_of_its_own(tmp_path: Path) -> None:
    sequence = open_sequence(workspace(tmp_path / 'scene', OTHER))
    assert sequence.camera is None
    cameras = [frame.frame.camera for frame in sequence]
    assert [camera.matrix[0, 0] for camera in cameras if camera is not None] == [50, 60, 50]
    assert cameras[1] is not None
    assert cameras[1].distortion_model == 'plumb_bob'


def test_each_image_makes_pairs_with_the_next_four(tmp_path: Path) -> None:
    workspace(tmp_path / 'scene', SAME, count=7)
    (pairs,) = find_pair_sets(tmp_path)
    found = {(pair.reference, pair.query) for pair in pairs.pairs}  # type: ignore[union-attr]
    assert found == {(a, b) for a in range(7) for b in range(a + 1, min(a + 5, 7))}


@pytest.mark.parametrize(
    ('file', 'text', 'message'),
    [
        ('cameras.txt', '1 PINHOLE 64 48 50\n', 'parameters'),
        ('cameras.txt', '1 THIN_PRISM 64 48 50\n', 'not supported'),
        ('cameras.txt', '2 PINHOLE 64 48 50 51 32 24\n', 'camera 1: no such camera'),
        ('images.txt', '', 'no image'),
        ('images.txt', '1 1 0 0\n', 'damaged|expected|unpack|not enough'),
    ],
)
def test_what_is_malformed_is_named(tmp_path: Path, file: str, text: str, message: str) -> None:
    folder = workspace(tmp_path / 'scene', SAME)
    (folder / 'sparse' / file).write_text(text)
    with pytest.raises(DatasetError, match=message):
        open_sequence(folder)


def test_a_folder_without_a_model_has_another_layout(tmp_path: Path) -> None:
    folder = workspace(tmp_path / 'scene', SAME)
    (folder / 'sparse' / 'points3D.txt').unlink()
    assert find_layout(folder) is None
