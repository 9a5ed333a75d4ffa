"""COLMAP models that are made of photographs, from a room with known poses."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from loftr_ros.commands.main import main
from loftr_ros.data.colmap import read_model
from loftr_ros.rendering.room import BODY_R_OPTICAL, RenderedView, render_room_sequence
from loftr_ros.training.reconstruct import ReconstructionOptions, reconstruct
from loftr_ros.training.reconstructions import read_reconstructions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

FRAMES = 8
FOCAL = 512.0


def sideways(seconds: float) -> NDArray[np.float64]:
    """Pose of a camera that looks along x and moves 0.35 m from frame to frame."""
    pose = np.eye(4)
    pose[:3, :3] = BODY_R_OPTICAL
    pose[:3, 3] = -2.0, 1.4 - 3.5 * seconds, 1.4 + 0.5 * seconds
    return pose


def views() -> Iterator[RenderedView]:
    return render_room_sequence(FRAMES, width=640, height=480, path=sideways)


@pytest.fixture(scope='module')
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('hall')
    for number, view in enumerate(views()):
        cv2.imwrite(str(folder / f'{number}.png'), view.image)
    return folder


def test_a_rendered_room_is_reconstructed(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('pycolmap', reason='pycolmap is not installed')
    scene = tmp_path / 'hall'

    limits = ['--features', '1000', '--threads', '1', '--focal', str(FOCAL)]
    assert main(['reconstruct', str(photographs), '-o', str(scene), *limits]) == 0

    printed = capsys.readouterr().out
    assert f'{scene / "sparse" / "0"}: ' in printed
    found, *_ = read_reconstructions(scene)
    assert found.scene == 'hall'
    assert len(found.frames) >= FRAMES - 2
    # The camera keeps its direction and moves on a straight line in equal steps.
    images = read_model(scene / 'sparse' / '0').images
    poses = [np.linalg.inv(images[0].world_T_camera) @ one.world_T_camera for one in images]
    for pose in poses:
        assert np.degrees(np.arccos(np.clip((np.trace(pose[:3, :3]) - 1) / 2, -1, 1))) < 1
    numbers = np.array([int(one.name.removesuffix('.png')) for one in images])
    steps = np.diff([pose[:3, 3] for pose in poses], axis=0) / np.diff(numbers)[:, None]
    length = np.linalg.norm(steps.mean(axis=0))
    expected = np.array([3.5, -0.5, 0]) / np.hypot(3.5, 0.5)
    np.testing.assert_allclose(steps / length, np.tile(expected, (len(steps), 1)), atol=0.04)
    with pytest.raises(ValueError, match='there is a model already'):
        reconstruct(photographs, scene)


def test_a_focal_length_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match='must be positive'):
        ReconstructionOptions(focal=0.0)


def test_too_few_photographs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='0 photographs; at least 4 needed'):
        reconstruct(tmp_path, tmp_path / 'out')


def test_photographs_that_do_not_fit_together_give_no_model(tmp_path: Path) -> None:
    pytest.importorskip('pycolmap', reason='pycolmap is not installed')
    rng = np.random.default_rng(0)
    for number in range(4):
        noise = cv2.GaussianBlur(rng.integers(0, 255, (120, 160), np.uint8), (0, 0), 1.5)
        cv2.imwrite(str(tmp_path / f'{number}.png'), noise)

    with pytest.raises(ValueError, match='COLMAP finds no 4 photographs that fit together'):
        reconstruct(tmp_path, tmp_path / 'out', ReconstructionOptions(threads=1))
    assert not (tmp_path / 'out' / 'sparse').exists()


def test_a_missing_pycolmap_is_explained(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'pycolmap', None)

    with pytest.raises(ValueError, match='pip install pycolmap'):
        reconstruct(photographs, tmp_path / 'out')
