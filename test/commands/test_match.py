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

    options = ['--try-rotations', '--max-pixels', '40000', '--mask0', paths[2], '-o', paths[3]]
    assert main(['match', *paths[:2], *options]) == 0

    printed = capsys.readouterr()
    assert 'query rotated by 270 degrees' in printed.out
    assert (
        'images of 256x200 px are matched at 225x176 px, as max_pixels is 40000 px' in printed.err
    )
    assert 'images of 200x256 px are matched at 176x225 px' in printed.err
    assert main(['match', *paths[:2], '--mask1', paths[0] + 'x', '-o', paths[3]]) == 1
    assert 'loftr-ros match: mask1: ' in capsys.readouterr().err
