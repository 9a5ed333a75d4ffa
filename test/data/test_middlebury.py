"""Middlebury: coded disparities become pixels, 0 becomes unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from loftr_ros.data.errors import DatasetError
from loftr_ros.data.middlebury import is_middlebury, open_middlebury

if TYPE_CHECKING:
    from pathlib import Path


def write_pair(folder: Path, names: tuple[str, str, str], width: int) -> None:
    folder.mkdir(exist_ok=True)
    for name in names[:2]:
        cv2.imwrite(str(folder / name), np.zeros((10, width, 3), np.uint8))
    disparity = np.full((10, width), 120, np.uint8)
    disparity[0] = 0
    cv2.imwrite(str(folder / names[2]), disparity)


@pytest.mark.parametrize(
    ('names', 'width', 'disparity'),
    [
        (('im2.png', 'im6.png', 'disp2.png'), 450, 30),
        (('view1.png', 'view5.png', 'disp1.png'), 1342, 120),
        (('view1.png', 'view5.png', 'disp1.png'), 671, 60),
        (('view1.png', 'view5.png', 'disp1.png'), 447, 40),
    ],
)
def test_disparities_fit_the_size_of_the_images(
    tmp_path: Path, names: tuple[str, str, str], width: int, disparity: float
) -> None:
    write_pair(tmp_path, names, width)
    assert is_middlebury(tmp_path)
    pair = open_middlebury(tmp_path)
    assert np.isnan(pair.disparity[0]).all()
    assert np.allclose(pair.disparity[1:], disparity)


def test_a_folder_without_a_pair_is_refused(tmp_path: Path) -> None:
    assert not is_middlebury(tmp_path)
    with pytest.raises(DatasetError, match='no stereo pair'):
        open_middlebury(tmp_path)


def test_disparities_of_another_size_are_refused(tmp_path: Path) -> None:
    write_pair(tmp_path, ('im2.png', 'im6.png', 'disp2.png'), 450)
    cv2.imwrite(str(tmp_path / 'disp2.png'), np.zeros((5, 5), np.uint8))
    with pytest.raises(DatasetError, match='shapes'):
        open_middlebury(tmp_path)
