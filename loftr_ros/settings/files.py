"""Parameters of the node as users write them: a ROS parameter file, and NAME:=VALUE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loftr_ros.plain_yaml import YamlError, read_yaml
from loftr_ros.settings.declarations import ParameterError
from loftr_ros.settings.names import name_problem
from loftr_ros.settings.parameters import NodeParameters, parameter_fields
from loftr_ros.texts import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

LONGEST_SOURCE = 400
"""Of a path or an assignment that is named, characters: paths are long, and name the file last."""


def read_parameters(file: Path | None, assignments: Iterable[str]) -> NodeParameters:
    """Return the node's parameters, with the values of a file and then of assignments.

    Raises:
        ParameterError: If the file is missing or no ROS parameter file.
        ValueError: If a parameter is unknown, or has a value that it cannot have.

    """
    values = {} if file is None else _read_file(file)
    for assignment in assignments:
        name, separator, text = assignment.partition(':=')
        if not separator:
            raise ValueError(f'{assignment!r} is no parameter: write NAME:=VALUE')
        values[name] = _load(text, assignment)
    for problem in filter(None, map(name_problem, values)):
        raise ValueError(problem)
    defaults = {name: each.default for name, each in parameter_fields().items()}
    return NodeParameters().with_values(
        {
            name: _typed(name, value, defaults[name])
            for name, value in values.items()
            if name in defaults
        }
    )


def _read_file(path: Path) -> dict[str, Any]:
    """Read a file with one node, whatever its name."""
    try:
        content = _load(path.read_text(encoding='utf-8-sig'), str(path))
    except OSError as error:
        problem = f'the file cannot be read ({error.strerror}). Check the path.'
        raise ParameterError(f'{path}: {problem}') from error
    except UnicodeDecodeError as error:
        raise ParameterError(f'{path}: the file is no YAML ({error}). Correct it.') from error
    nodes: Iterable[Any] = content.values() if isinstance(content, dict) else ()
    found = [node['ros__parameters'] for node in nodes if _has_parameters(node)]
    if len(found) != 1:
        problem = f'the file has the parameters of {len(found)} nodes'
        raise ParameterError(
            f'{path}: {problem}. It must have those of one: see config/loftr.yaml.'
        )
    return dict(_flat(found[0]))


def _flat(values: Mapping[str, Any], group: str = '') -> Iterator[tuple[str, Any]]:
    """Yield names and values; rcl takes both `pose: {min_support: 5}` and `pose.min_support: 5`."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f'{group}{name}.')
        else:
            yield f'{group}{name}', value


def _load(text: str, source: str) -> Any:  # noqa: ANN401 - whatever YAML holds
    """Read YAML.

    Raises:
        ParameterError: If it is none.

    """
    try:
        return read_yaml(text)
    except YamlError as error:
        source = shortened(source, LONGEST_SOURCE)
        raise ParameterError(f'{source}: this is no YAML ({error}). Correct it.') from error


def _has_parameters(node: object) -> bool:
    return isinstance(node, dict) and isinstance(node.get('ros__parameters'), dict)


def _typed(name: str, value: Any, default: Any) -> Any:  # noqa: ANN401 - of any type
    """Bring a value to the type of its default; an integer will do for a number."""
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(default, tuple | list) and isinstance(value, list):
        return type(default)(float(item) if isinstance(item, int) else item for item in value)
    if isinstance(default, str) and value is None:
        return ''
    if type(value) is not type(default):
        raise ValueError(f'{name} must be of type {type(default).__name__}, not {value!r}')
    return value
