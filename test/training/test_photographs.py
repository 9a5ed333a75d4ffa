from pathlib import Path

import pytest

from loftr_ros.training.photographs import load_bank, split_photographs


def test_no_place_is_in_both_parts(tmp_path: Path) -> None:
    for scene in range(20):
        for face in ('posx', 'negx', 'posz'):
            (tmp_path / f'place{scene}_{face}.jpg').touch()

    training, validation = split_photographs(tmp_path)

    assert len(training) + len(validation) == 60
    assert {p.name.split('_')[0] for p in training}.isdisjoint(
        p.name.split('_')[0] for p in validation
    )


def test_excluded_photographs_are_left_out(photographs: Path) -> None:
    training, validation = split_photographs(photographs, exclude=('p3',))

    assert not any('p3' in p.name for p in training + validation)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='at least 4 needed'):
        split_photographs(tmp_path)


def test_a_damaged_photograph_is_named(tmp_path: Path) -> None:
    (tmp_path / 'broken.jpg').write_bytes(b'nothing')

    with pytest.raises(ValueError, match=r'broken\.jpg'):
        load_bank([tmp_path / 'broken.jpg'])
