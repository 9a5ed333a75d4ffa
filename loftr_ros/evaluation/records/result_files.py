"""JSON files of dataclasses: written whole, and read with errors that name the file and line."""

from __future__ import annotations

import dataclasses
import json
import math
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from loftr_ros.data.errors import DatasetError
from loftr_ros.texts import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

REMEDY = 'Evaluate again, or choose the folder that `loftr-ros evaluate -o` wrote.'

Record = TypeVar('Record')


def write_json(path: Path, values: Any) -> None:  # noqa: ANN401 - whatever JSON holds
    """Write a dataclass or plain values; NaN and infinity become null. Never leaves half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.part')
    text = json.dumps(plain(values), indent=1, allow_nan=False) + '\n'
    with naming(part):
        part.write_text(text, encoding='utf-8')
    part.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Read an object.

    Raises:
        DatasetError: If the file is missing or holds none.

    """
    return _parse(_read_text(path), path, 1)


def write_records(path: Path, records: Iterable[Any]) -> None:
    """Write dataclasses as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path):
        path.write_text(''.join(map(to_line, records)), encoding='utf-8')


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in errors of writing, of which those of a full disk name none."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def to_line(record: Any) -> str:  # noqa: ANN401 - any dataclass
    """Return a dataclass as one line of JSON, in which the fields of its parts stand flat."""
    return json.dumps(dict(_flat(record)), allow_nan=False) + '\n'


def read_records(path: Path, kind: type[Record]) -> list[Record]:
    """Read the JSON lines of a file; a last line without end was cut off and is left out.

    Raises:
        DatasetError: If the file is missing or a line is no such record.

    """
    *lines, _ = _read_text(path).split('\n')
    return [
        from_json(_parse(line, path, number), kind, path) for number, line in enumerate(lines, 1)
    ]


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Convert dataclasses, arrays and tuples to what JSON holds."""
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def from_json(values: Mapping[str, Any], kind: type[Record], path: Path) -> Record:
    """Make a dataclass and its parts of the flat values of a file; lists become tuples.

    A part is a field whose default is made by a dataclass.

    Raises:
        DatasetError: If a value is missing, or one is not known.

    """
    known = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    try:
        return kind(**_with_parts(known, kind))
    except TypeError as error:
        raise DatasetError(path, f'the file does not fit ({error})', REMEDY) from error


def _flat(record: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any dataclass
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            yield from _flat(value)
        else:
            yield field.name, plain(value)


def _with_parts(values: dict[str, Any], kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a dataclass
    """Replace the values that belong to parts by the parts."""
    rest = dict(values)
    for field in dataclasses.fields(kind):
        make: Any = field.default_factory
        if isinstance(make, type) and dataclasses.is_dataclass(make):
            names = {each.name for each in dataclasses.fields(make)} & rest.keys()
            rest[field.name] = make(**{name: rest.pop(name) for name in names})
    return rest


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding='utf-8')
    except OSError as error:
        raise DatasetError(path, f'the file cannot be read ({error.strerror})', REMEDY) from error
    except UnicodeDecodeError as error:
        raise DatasetError(path, 'the file is no text', REMEDY) from error


def _parse(text: str, path: Path, line: int) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = shortened(str(error))
        raise DatasetError(path, f'line {line} is no JSON ({reason})', REMEDY) from error
    if not isinstance(values, dict):
        raise DatasetError(path, f'line {line} is no object', REMEDY)
    return values
