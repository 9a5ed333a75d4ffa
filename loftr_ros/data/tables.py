"""Read the small text formats of datasets: rows of numbers and lists of files."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from loftr_ros.data.errors import DatasetError
from loftr_ros.texts import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


LARGEST = Decimal(2**63 - 1)
"""The latest time that 64 bits hold, ns."""


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Read the lines that are neither empty nor comments (#), with their line numbers.

    Raises:
        DatasetError: If the file is missing or no text.

    """
    try:
        # Editors on Windows begin a file with a byte order mark, which is no part of its text.
        text = path.read_text(encoding='utf-8-sig')
    except OSError as error:
        problem = f'the file cannot be read ({error.strerror})'
        raise DatasetError(path, problem, 'Check that the dataset is complete.') from error
    except UnicodeDecodeError as error:
        raise DatasetError(path, 'the file is not text', 'Unpack the dataset again.') from error
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(number, line) for number, line in lines if line and not line.startswith('#')]


def parse_numbers(words: Sequence[str], path: Path, number: int) -> NDArray[np.float64]:
    """Convert the words of a line to numbers.

    Raises:
        DatasetError: If one of them is no number.

    """
    try:
        return np.array([float(word) for word in words], np.float64)
    except ValueError as error:
        raise DatasetError(
            path, f'line {number} has a word that is no number ({error})', 'Correct the line.'
        ) from error


def read_table(
    path: Path, columns: Sequence[int], separator: str | None = None
) -> NDArray[np.float64]:
    """Read rows of numbers, each of one of the widths in `columns`.

    Args:
        path: The file.
        columns: Allowed numbers of columns.
        separator: Between columns; None means blanks.

    Returns:
        float64 (N, columns).

    Raises:
        DatasetError: If the file is missing or empty, or a row is short or no row of numbers.

    """
    rows: list[NDArray[np.float64]] = []
    for number, line in read_lines(path):
        row = parse_numbers([word for word in line.split(separator) if word.strip()], path, number)
        width = len(rows[0]) if rows else None
        if row.size not in columns or (width is not None and row.size != width):
            expected = width if width is not None else ' or '.join(map(str, columns))
            raise DatasetError(
                path,
                f'line {number} has {row.size} numbers, expected {expected}',
                'The file may be truncated: complete or remove the line.',
            )
        rows.append(row)
    if not rows:
        raise DatasetError(path, 'the file has no rows', 'Check that the dataset is complete.')
    return np.stack(rows)


def seconds_to_ns(text: str, path: Path, number: int) -> int:
    """Convert decimal seconds to nanoseconds without the rounding of a double.

    Raises:
        DatasetError: If the text is no time.

    """
    return _stamp(text, 9, path, number)


def nanoseconds(text: str, path: Path, number: int) -> int:
    """Convert nanoseconds, also in scientific notation, without the rounding of a double.

    Raises:
        DatasetError: If the text is no time.

    """
    return _stamp(text, 0, path, number)


def _stamp(text: str, shift: int, path: Path, number: int) -> int:
    """Convert a time in units of 10**(shift - 9) s to ns; the rest of a nanosecond is cut off."""
    try:
        value = Decimal(text.strip()).scaleb(shift)
    except ArithmeticError:
        value = Decimal('NaN')
    # The size is asked for first: 1e999999 as an integer would fill the memory.
    if not value.is_finite() or value.adjusted() > LARGEST.adjusted() or abs(value) > LARGEST:
        raise DatasetError(
            path,
            f'line {number} starts with {shortened(text)!r}, which is no time',
            'Correct the line.',
        )
    return int(value)
