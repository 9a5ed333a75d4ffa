"""Images of a folder are listed in the order in which they were taken."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loftr_ros.data.errors import DatasetError
from loftr_ros.data.files import list_images, natural_order


def names_of(folder: Path, *names: str) -> list[str]:
    for name in names:
        (folder / name).touch()
    return [file.name for file in list_images(folder)]


def test_numbers_count(tmp_path: Path) -> None:
    names = ['0.png', '1.png', '2.png', '10.png', '11.png', '100.png']
    assert names_of(tmp_path, *sorted(names)) == names


def test_numbers_count_within_names(tmp_path: Path) -> None:
    names = ['left_2_a9.jpg', 'left_2_a10.jpg', 'left_10_a1.jpg', 'right_1_a1.jpg']
    assert names_of(tmp_path, *sorted(names)) == names


def test_files_that_an_operating_system_leaves_are_no_images(tmp_path: Path) -> None:
    assert names_of(tmp_path, '._1.png', '.2.png', '3.png', 'Thumbs.db') == ['3.png']
    (tmp_path / '3.png').unlink()
    with pytest.raises(DatasetError, match='there are no images'):
        list_images(tmp_path)


@given(st.lists(st.integers(0, 10**25), unique=True))
def test_any_numbers_are_in_their_order(numbers: list[int]) -> None:
    names = sorted((f'{number}.png' for number in numbers), key=natural_order)
    assert names == [f'{number}.png' for number in sorted(numbers)]
