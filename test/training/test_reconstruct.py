"""COLMAP models that are made of photographs, from a room with known poses."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from loftr_ros.cli import main
from loftr_ros.rendering.room import render_room_sequence
from loftr_ros.training.colmap import read_model
from loftr_ros.training.reconstruct import reconstruct
from loftr_ros.training.reconstructions import read_reconstructions

if TYPE_CHECKING:
    from pathlib import Path

FRAMES = 8


@pytest.fixture(scope='module')
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('hall')
    for number, view in enumerate(render_room_sequence(FRAMES, 320, 240, rate_hz=2.0)):
        cv2.imwrite(str(folder / f'{number}.png'), view.image)
    return folder


def test_a_rendered_room_is_reconstructed(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('pycolmap', reason='pycolmap is not installed')
    scene = tmp_path / 'hall'

    limits = ['--features', '1000', '--threads', '1']
    assert main(['reconstruct', str(photographs), '-o', str(scene), *limits]) == 0

    printed = capsys.readouterr().out
    assert f'{scene / "sparse" / "0"}: ' in printed
    found, *_ = read_reconstructions(scene)
    assert found.scene == 'hall'
    assert len(found.frames) >= FRAMES - 2
    # Directions between the cameras are those of the path, up to one rotation.
    truth = [view.world_T_camera for view in render_room_sequence(FRAMES, 320, 240, rate_hz=2.0)]
    images = read_model(scene / 'sparse' / '0').images
    ours = [np.linalg.inv(images[0].world_T_camera) @ one.world_T_camera for one in images]
    known = [int(one.name.removesuffix('.png')) for one in images]
    theirs = [np.linalg.inv(truth[known[0]]) @ truth[number] for number in known]
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        angle = np.arccos(np.clip((np.trace(a[:3, :3].T @ b[:3, :3]) - 1) / 2, -1, 1))
        assert np.degrees(angle) < 2
    with pytest.raises(ValueError, match='there is a model already'):
        reconstruct(photographs, scene)


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
        reconstruct(tmp_path, tmp_path / 'out', threads=1)
    assert not (tmp_path / 'out' / 'sparse').exists()


def test_a_missing_pycolmap_is_explained(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'pycolmap', None)

    with pytest.raises(ValueError, match='pip install pycolmap'):
        reconstruct(photographs, tmp_path / 'out')
