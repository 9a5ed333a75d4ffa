"""One file that says what a training run is: YAML or JSON with the fields of `TrainOptions`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import yaml

from loftr_ros.plain_yaml import YamlError, read_yaml
from loftr_ros.training.options import TrainOptions

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_options(file: Path | None, given: Mapping[str, Any]) -> TrainOptions:
    """Options of a configuration file and of the command line, which goes first.

    Args:
        file: YAML or JSON; its relative paths start from its folder. None for no file.
        given: Fields of `TrainOptions` that were given otherwise.

    Raises:
        ValueError: The file cannot be read, a key is unknown, a value is of another type or out of
            range; says which.
    """
    values: dict[str, Any] = {'photographs': None, 'output': Path('training')}
    return TrainOptions(**values | ({} if file is None else _read_file(file)) | dict(given))


def write_options(options: TrainOptions, file: Path) -> None:
    """Write a configuration file that `read_options` reads back, with absolute paths."""
    values = {name: _plain(value) for name, value in asdict(options).items()}
    file.write_text(yaml.safe_dump(values, sort_keys=False), encoding='utf-8')


def _read_file(file: Path) -> dict[str, Any]:
    try:
        # JSON is YAML, too.
        content = read_yaml(file.read_text(encoding='utf-8'))
    except YamlError as error:
        raise ValueError(f'{file}: neither YAML nor JSON: {error}') from error
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f'{file}: the configuration cannot be read ({error})') from error
    if not isinstance(content, dict):
        raise ValueError(  # noqa: TRY004 - the file is wrong, not the caller
            f'{file}: expected "name: value" lines, one for each option'
        )
    types = get_type_hints(TrainOptions)
    unknown = [str(key) for key in content if key not in types]
    if unknown:
        raise ValueError(f'{file}: unknown {", ".join(unknown)}; there are {", ".join(types)}')
    folder = file.parent
    return {key: _value(file, key, value, types[key], folder) for key, value in content.items()}


def _value(file: Path, key: str, value: Any, expected: Any, folder: Path) -> Any:  # noqa: ANN401
    """Convert a plain value to a field's type, or say why not."""
    allowed = get_args(expected) or (expected,)
    if type(None) in allowed and value is None:
        return None
    if expected in (tuple[str, ...], tuple[Path, ...]):
        items = value if isinstance(value, list) else [value]
        return tuple(_value(file, key, item, allowed[0], folder) for item in items)
    if Path in allowed and isinstance(value, str):
        return folder / Path(value).expanduser()
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    kinds = tuple(kind for kind in allowed if isinstance(kind, type))
    if isinstance(value, kinds) and isinstance(value, bool) == (bool in kinds):
        return value
    names = ' or '.join(kind.__name__ for kind in kinds if kind is not type(None))
    raise ValueError(f'{file}: {key} is {value!r}, expected {names}')


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value.expanduser().resolve()) if isinstance(value, Path) else value
