"""Rows of text files: times of any notation, and files that other programs wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from loftr_ros.data.errors import DatasetError
from loftr_ros.data.tables import nanoseconds, read_lines, seconds_to_ns


@pytest.mark.parametrize(
    ('text', 'stamp'),
    [
        ('1341847980.790000123', 1341847980_790000123),
        ('1403638548', 1403638548 * 10**9),
        ('1.403638548e+09', 1403638548 * 10**9),
        ('  12.5 ', 12_500_000_000),
        ('-0.5', -500_000_000),
    ],
)
def test_seconds_keep_their_nanoseconds(text: str, stamp: int) -> None:
    assert seconds_to_ns(text, Path('list'), 1) == stamp


@pytest.mark.parametrize(
    ('text', 'stamp'),
    [
        ('1403638548500000001', 1403638548500000001),
        ('1.403638548500000001e+18', 1403638548500000001),
        ('1.403638548500000000e+18', 1403638548500000000),
    ],
)
def test_nanoseconds_may_be_in_scientific_notation(text: str, stamp: int) -> None:
    assert nanoseconds(text, Path('list'), 1) == stamp


@pytest.mark.parametrize(
    'text', ['', 'now', 'nan', 'inf', '1' * 21, '1e30', '1e999999999', '²', '1' * 10**6]
)
def test_what_is_no_time_is_named_in_short(text: str) -> None:
    with pytest.raises(DatasetError, match=r'line 3 starts with .* no time') as refusal:
        seconds_to_ns(text, Path('list'), 3)
    assert len(str(refusal.value)) < 300


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / 'list.txt'
    file.write_bytes(b'\xef\xbb\xbf# comment\r\n1 2\r\n')
    assert read_lines(file) == [(2, '1 2')]
    file.write_bytes(b'\xef\xbb\xbf1 2\n')
    assert read_lines(file) == [(1, '1 2')]
