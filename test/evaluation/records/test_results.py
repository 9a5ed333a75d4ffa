"""The files of a run: what is written is read back, and damage is named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_runs import frame_record

from loftr_ros.data.errors import DatasetError
from loftr_ros.evaluation.records.result_files import from_json, plain, read_records, write_records
from loftr_ros.evaluation.records.results import (
    FrameRecord,
    FrameTimes,
    MatchArrays,
    open_run,
    read_matches,
    write_matches,
)

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
POSES = st.none() | st.tuples(*[st.floats(-1e6, 1e6)] * 7)


@given(
    index=st.integers(0, 10**9),
    stamp_ns=st.integers(0, 2**62),
    reason=st.text(),
    nees=NUMBERS,
    odom_T_base=POSES,
)
def test_records_are_read_back_to_the_last_digit(
    tmp_path_factory: pytest.TempPathFactory, **values: object
) -> None:
    record = frame_record(status='matched', **values)
    path = tmp_path_factory.getbasetemp() / 'frames.jsonl'
    write_records(path, [record, record])
    assert read_records(path, FrameRecord) == [record, record]


def test_the_parts_of_a_record_stand_flat_in_its_line(tmp_path: Path) -> None:
    path = tmp_path / 'frames.jsonl'
    write_records(path, [frame_record(index=1, stamp_ns=2, status='matched', matches=3, nees=4.0)])
    line = json.loads(path.read_text())
    assert len(line) == 31
    assert (line['index'], line['matches'], line['nees'], line['state']) == (1, 3, 4.0, None)


def test_what_is_not_finite_becomes_null() -> None:
    assert plain({'a': np.inf, 'b': np.array([1.0, np.nan])}) == {'a': None, 'b': [1.0, None]}


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / 'timing.jsonl'
    write_records(path, [FrameTimes(index=0, read=0.1, encode=0.2, match=0.3, pose=0.4, total=0.5)])
    with path.open('a') as file:
        file.write('{"index": 1, "re')
    assert [times.index for times in read_records(path, FrameTimes)] == [0]


@pytest.mark.parametrize(
    ('text', 'problem'),
    [
        ('{"index": 0\n', 'line 1 is no JSON'),
        ('[1]\n', 'line 1 is no object'),
        ('[' * 100_000 + '\n', 'line 1 is no JSON'),
        ('{"index": 0}\n', 'does not fit'),
        ('{"index": 0, "stamp_ns": 1, "status": "matched", "speed": 3}\n', 'does not fit.*speed'),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / 'frames.jsonl'
    path.write_text(text)
    with pytest.raises(DatasetError, match=f'frames.jsonl: .*{problem}.*Evaluate again'):
        read_records(path, FrameRecord)


def test_lists_become_tuples(tmp_path: Path) -> None:
    values = {'index': 0, 'stamp_ns': 1, 'status': 'matched', 'covariance': [1.0, None]}
    assert from_json(values, FrameRecord, tmp_path).pose.covariance == (1.0, None)


def arrays(index: int) -> MatchArrays:
    rng = np.random.default_rng(index)
    points = rng.random((2, 5, 2)).astype(np.float32)
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 0] = 200
    return MatchArrays(
        index=index,
        reference_index=index - 1,
        reference_image=image,
        query_image=image,
        reference_points=points[0],
        query_points=points[1],
        confidence=np.ones(5, np.float32),
        sigma=np.ones(5, np.float32),
        inliers=np.array([True, False, True, True, False]),
        track_ids=np.arange(5),
    )


def test_matches_are_read_back_with_their_pictures(tmp_path: Path) -> None:
    write_matches(tmp_path, arrays(7))
    read = read_matches(tmp_path, 7)
    assert read.reference_index == 6
    assert np.array_equal(read.query_points, arrays(7).query_points)
    assert read.inliers.tolist() == [True, False, True, True, False]
    assert abs(int(read.query_image[0, 0, 0]) - 200) < 5
    assert int(read.query_image[0, 0, 2]) < 5


def test_damaged_or_missing_matches_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r'000007.npz: the matches cannot be read'):
        read_matches(tmp_path, 7)
    write_matches(tmp_path, arrays(7))
    (tmp_path / '000007.npz').write_bytes(b'PK')
    with pytest.raises(DatasetError, match=r'000007.npz: the matches cannot be read'):
        read_matches(tmp_path, 7)


def test_a_folder_without_results_and_another_version_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r'run.json: the file cannot be read'):
        open_run(tmp_path)
    (tmp_path / 'run.json').write_text('{"format": 99}')
    with pytest.raises(DatasetError, match='have format 99, this version reads 1'):
        open_run(tmp_path)
