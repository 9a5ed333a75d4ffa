"""`loftr-ros match` says what it did with the images."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from loftr_ros.commands.main import main
from loftr_ros.rendering.procedural import procedural_texture


def test_match_says_what_limits_the_images_and_how_the_query_was_rotated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = procedural_texture(256, np.random.default_rng(5))[:200]
    paths = [str(tmp_path / name) for name in ('a.png', 'b.png', 'mask.png', 'matches.png')]
    mask = np.full(picture.shape, 255, np.uint8)
    for path, image in zip(paths, (picture, np.rot90(picture), mask), strict=False):
        assert cv2.imwrite(path, image)

    options = ['--try-views', '--max-pixels', '40000', '--mask0', paths[2], '-o', paths[3]]
    assert main(['match', *paths[:2], *options]) == 0

    printed = capsys.readouterr()
    assert 'query rotated by 270 degrees' in printed.out
    assert (
        'images of 256x200 px are matched at 225x176 px, as max_pixels is 40000 px' in printed.err
    )
    assert 'images of 200x256 px are matched at 176x225 px' in printed.err
    assert main(['match', *paths[:2], '--mask1', paths[0] + 'x', '-o', paths[3]]) == 1
    assert 'loftr-ros match: mask1: ' in capsys.readouterr().err


def test_no_matches_are_a_picture_without_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = procedural_texture(64, np.random.default_rng(5))
    for name, pixels in (('a.png', picture), ('black.png', np.zeros_like(picture))):
        assert cv2.imwrite(str(tmp_path / name), pixels)
    paths = [str(tmp_path / name) for name in ('a.png', 'black.png')]
    assert main(['match', *paths, '--threshold', '0.9', '-o', str(tmp_path / 'o.png')]) == 0
    assert capsys.readouterr().out.startswith('0 matches: ')
    assert cv2.imread(str(tmp_path / 'o.png')) is not None


@pytest.mark.parametrize(
    ('name', 'problem'),
    [
        ('x.unknown', 'no picture can be written as .unknown; try .png'),
        ('x', 'no picture can be written as a name without a suffix'),
        ('nowhere/x.png', 'does its folder exist?'),
    ],
)
def test_a_picture_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, problem: str
) -> None:
    path = str(tmp_path / 'a.png')
    assert cv2.imwrite(path, procedural_texture(64, np.random.default_rng(5)))
    assert main(['match', path, path, '-o', str(tmp_path / name)]) == 1
    assert problem in capsys.readouterr().err
