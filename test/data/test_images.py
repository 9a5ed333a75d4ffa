"""Images are read whole or not at all."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loftr_ros.data.errors import DatasetError
from loftr_ros.data.images import decode_image, read_depth, read_image

if TYPE_CHECKING:
    from collections.abc import Callable


def noise(channels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 255, (48, 64, channels), np.uint8)


def test_colour_comes_in_rgb_order(tmp_path: Path) -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[:, :, 2] = 200  # red in the order of OpenCV
    cv2.imwrite(str(tmp_path / 'red.png'), image)
    assert read_image(tmp_path / 'red.png')[0, 0].tolist() == [200, 0, 0]


def test_grey_and_16_bit_stay_as_they_are(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'grey.png'), np.full((4, 5), 40_000, np.uint16))
    image = read_image(tmp_path / 'grey.png')
    assert image.shape == (4, 5)
    assert image.dtype == np.uint16


@pytest.mark.parametrize('suffix', ['png', 'jpg'])
@pytest.mark.parametrize('share', [0.0, 0.01, 0.5, 0.95])
def test_a_truncated_image_is_refused(
    tmp_path: Path, truncate: Callable[[Path, float], None], suffix: str, share: float
) -> None:
    path = tmp_path / f'image.{suffix}'
    cv2.imwrite(str(path), noise(3))
    truncate(path, share)
    with pytest.raises(DatasetError) as error:
        read_image(path)
    assert error.value.path == path
    assert error.value.remedy


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r'gone\.png.*cannot be read'):
        read_image(tmp_path / 'gone.png')


starts = st.sampled_from([b'', b'\x89PNG\r\n\x1a\n', b'\xff\xd8\xff\xe0'])


@given(starts, st.binary(max_size=200))
def test_no_bytes_raise_anything_else(start: bytes, data: bytes) -> None:
    with contextlib.suppress(DatasetError):
        decode_image(start + data, Path('noise'))


def test_depth_is_metres_with_nan_where_unknown(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'depth.png'), np.array([[0, 65535, 2500]], np.uint16))
    depth = read_depth(tmp_path / 'depth.png', 1000.0)
    assert np.array_equal(depth, np.array([[np.nan, np.nan, 2.5]], np.float32), equal_nan=True)
    assert depth.dtype == np.float32


def test_a_picture_of_depth_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'depth.png'), noise(3))
    with pytest.raises(DatasetError, match='16 bit'):
        read_depth(tmp_path / 'depth.png', 1000.0)


def test_a_preview_inside_of_half_a_photograph_does_not_make_it_whole(tmp_path: Path) -> None:
    data = cv2.imencode('.jpg', noise(3))[1].tobytes()
    preview = b'\xff\xe1' + (len(data) + 2).to_bytes(2, 'big') + data
    whole = data[:2] + preview + data[2:]
    (tmp_path / 'whole.jpg').write_bytes(whole)
    assert read_image(tmp_path / 'whole.jpg').shape == (48, 64, 3)
    (tmp_path / 'half.jpg').write_bytes(whole[: -len(data) // 2])
    with pytest.raises(DatasetError, match='truncated'):
        read_image(tmp_path / 'half.jpg')


def test_a_git_lfs_pointer_is_named_for_what_it_is(tmp_path: Path) -> None:
    (tmp_path / 'image.png').write_text('version https://git-lfs.github.com/spec/v1\noid sha256:0')
    with pytest.raises(DatasetError, match='Git LFS pointer'):
        read_image(tmp_path / 'image.png')
