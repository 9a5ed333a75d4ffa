"""The figures of a training run, as a table on disk and, if wanted, for TensorBoard."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOSSES = ('coarse_loss', 'fine_loss')
STEPS = ('step', 'pairs', 'minutes')
RATES = ('learning_rate', 'pairs_per_second')


class ScalarWriter(Protocol):
    """What is used of TensorBoard's writer."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> object:
        """Note one figure."""

    def flush(self) -> object:
        """Write what is noted."""


class ProgressLog:
    """Rows of figures; a resumed run goes on with the table that is there."""

    def __init__(self, folder: Path, *, tensorboard: bool = False) -> None:
        """Open the log.

        Raises:
            ValueError: TensorBoard is wanted and not installed.
        """
        self.table = folder / 'progress.csv'
        self._writer = _tensorboard(folder / 'tensorboard') if tensorboard else None

    def append(self, row: Mapping[str, float]) -> None:
        """Add a row; columns that the table lacks are added to it."""
        append_row(self.table, row)
        if self._writer is not None:
            for name, value in row.items():
                if name not in STEPS:
                    self._writer.add_scalar(f'{_group(name)}/{name}', value, int(row['step']))
            self._writer.flush()


def append_row(table: Path, row: Mapping[str, float]) -> None:
    """Append to a CSV file with a header; the file is made anew where it lacks a column."""
    rows: list[dict[str, str]] = []
    columns: list[str] = []
    if table.exists():
        with table.open(newline='') as stream:
            reader = csv.DictReader(stream)
            rows, columns = list(reader), list(reader.fieldnames or [])
    missing = [name for name in row if name not in columns]
    if missing:
        partial = table.with_suffix('.partial')
        with partial.open('w', newline='') as stream:
            writer = csv.DictWriter(stream, [*columns, *missing])
            writer.writeheader()
            writer.writerows(rows)
        partial.replace(table)
    with table.open('a', newline='') as stream:
        csv.DictWriter(stream, [*columns, *missing]).writerow(row)


def read_rows(table: Path) -> list[dict[str, float]]:
    """Read a progress table; figures that a row lacks are left out of it.

    Raises:
        ValueError: There is no such table, or it is none.
    """
    try:
        with table.open(newline='') as stream:
            rows = [
                {name: float(text) for name, text in row.items() if text}
                for row in csv.DictReader(stream)
            ]
    except OSError as error:
        raise ValueError(f'{table}: cannot be read ({error.strerror})') from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f'{table}: not a table of numbers ({error})') from error
    if not rows or not all('pairs' in row and 'step' in row for row in rows):
        raise ValueError(f"{table}: no rows with 'step' and 'pairs': not the table of a training")
    return rows


def _group(name: str) -> str:
    if name in LOSSES:
        return 'training'
    return 'speed' if name in RATES else 'validation'


def _tensorboard(folder: Path) -> ScalarWriter:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(
            'TensorBoard is not installed: pip install tensorboard, or train without it; '
            'progress.csv has the same figures'
        ) from error
    writer: ScalarWriter = SummaryWriter(str(folder))
    return writer
