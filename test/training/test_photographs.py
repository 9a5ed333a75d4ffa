from pathlib import Path

import cv2
import numpy as np
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


def photographs_with_half_ones(folder: Path, count: int, broken: int) -> list[Path]:
    """Write photographs, the first `broken` of which are half a JPEG with a preview."""
    rng = np.random.default_rng(0)
    files = []
    for index in range(count):
        file = folder / f'{index}.jpg'
        data = cv2.imencode('.jpg', rng.integers(0, 255, (64, 64), np.uint8))[1].tobytes()
        # A preview in front, as cameras embed one, has an end of its own.
        preview = b'\xff\xe1' + (len(data) + 2).to_bytes(2, 'big') + data
        whole = data[:2] + preview + data[2:]
        file.write_bytes(whole[: len(whole) - len(data) // 2] if index < broken else whole)
        files.append(file)
    return files


def test_half_a_photograph_is_left_out_and_named(tmp_path: Path) -> None:
    files = photographs_with_half_ones(tmp_path, 20, 2)
    with pytest.warns(UserWarning, match=r'2 of 20 photographs .* first: .*0\.jpg: truncated'):
        assert load_bank(files, 32).count == 18


@pytest.mark.parametrize(('count', 'broken'), [(20, 3), (1, 1)])
def test_a_folder_with_many_damaged_photographs_is_refused(
    tmp_path: Path, count: int, broken: int
) -> None:
    files = photographs_with_half_ones(tmp_path, count, broken)
    with pytest.raises(ValueError, match=rf'{broken} of {count} photographs .*0\.jpg'):
        load_bank(files)
