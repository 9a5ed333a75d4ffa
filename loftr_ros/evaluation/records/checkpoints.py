"""Objects of this package in JSON and npz: a checkpoint is data, and reading it runs no code of it.

An object of a class of this package is stored as its attributes, whatever its `__init__` does. What
several objects share is shared again when it is read.
"""

from __future__ import annotations

import enum
import functools
import importlib
import json
import sys
import time
import zipfile
from collections import Counter, OrderedDict, defaultdict, deque
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PACKAGE = 'loftr_ros.'
CONTAINERS: dict[str, Callable[..., Any]] = {
    one.__name__: one for one in (list, tuple, set, frozenset, dict, OrderedDict, Counter)
}
CLOCKS = {one.__name__: one for one in (time.perf_counter, time.monotonic)}
FACTORIES: dict[str, Callable[[], Any]] = {one.__name__: one for one in (list, dict, set, int)}
STRUCTURE = 'structure'


class CheckpointError(ValueError):
    """A checkpoint cannot be written or read; the message says why."""


def write_checkpoint(path: Path, value: object, known: Mapping[str, object]) -> None:
    """Write an object.

    Args:
        path: File of the checkpoint.
        value: The object.
        known: Objects that are not stored, by name: those of the reader take their places.

    Raises:
        CheckpointError: If an object is of a class that cannot be stored.

    """
    encoder = _Encoder(known)
    structure = json.dumps(encoder.encode(value))
    arrays: dict[str, Any] = {f'a{number}': array for number, array in enumerate(encoder.arrays)}
    arrays[STRUCTURE] = np.frombuffer(structure.encode(), np.uint8)
    with path.open('wb') as file:
        np.savez(file, **arrays)


def read_checkpoint(path: Path, known: Mapping[str, object]) -> Any:  # noqa: ANN401 - of any type
    """Read what `write_checkpoint` wrote.

    Raises:
        CheckpointError: If the file is damaged, or asks for a class of another package.

    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            structure = json.loads(stored[STRUCTURE].tobytes().decode())
            return _Decoder(stored, known, _modules(known)).decode(structure)
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, ImportError, OSError) as error:
        raise CheckpointError(f'{type(error).__name__}: {error}') from error
    except (zipfile.BadZipFile, EOFError, RecursionError, IndexError) as error:
        raise CheckpointError(f'{type(error).__name__}: {error}') from error


class _Encoder:
    def __init__(self, known: Mapping[str, object]) -> None:
        self.arrays: list[np.ndarray[Any, Any]] = []
        self._known = {id(value): name for name, value in known.items()}
        self._modules = _modules(known)
        # Objects are kept, so that no other gets the id of one that is gone.
        self._seen: dict[int, tuple[int, object]] = {}

    def encode(self, value: Any) -> Any:  # noqa: ANN401 - one case each
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, enum.Enum):
            return {'enum': _name(type(value)), 'value': self.encode(value.value)}
        if isinstance(value, np.generic):
            return {'scalar': self._array(np.asarray(value))}
        if isinstance(value, (int, float)):
            return value
        if id(value) in self._known:
            return {'known': self._known[id(value)]}
        if id(value) in self._seen:
            return {'ref': self._seen[id(value)][0]}
        number = len(self._seen)
        self._seen[id(value)] = number, value
        return {'id': number, **self._object(value)}

    def _object(self, value: Any) -> dict[str, Any]:  # noqa: ANN401
        kind = type(value)
        if isinstance(value, np.ndarray):
            return {'array': self._array(value)}
        if kind.__module__ == 'torch' and kind.__name__ == 'Tensor':
            return self._tensor(value)
        if kind.__name__ in CONTAINERS and CONTAINERS[kind.__name__] is kind:
            entries = value.items() if isinstance(value, dict) else value
            return {'container': kind.__name__, 'items': [self.encode(one) for one in entries]}
        if kind is defaultdict:
            entries = [self.encode(one) for one in value.items()]
            return {'defaultdict': value.default_factory.__name__, 'items': entries}
        if kind is deque:
            return {'deque': value.maxlen, 'items': [self.encode(one) for one in value]}
        if kind is type(self._object):  # a bound method
            owner = self.encode(value.__self__)
            return {'method': value.__name__, 'of': owner}
        if any(value is clock for clock in CLOCKS.values()):
            return {'clock': value.__name__}
        if kind is type(_name):
            return {'function': self._function(value)}
        if not _is_own(kind.__module__, self._modules):
            raise CheckpointError(f'{_name(kind)} cannot be stored')
        if isinstance(value, tuple):
            return {'named': _name(kind), 'items': [self.encode(one) for one in value]}
        fields = {name: self.encode(one) for name, one in vars(value).items()}
        return {'class': _name(kind), 'fields': fields}

    def _function(self, value: Any) -> str:  # noqa: ANN401 - a function
        name = _name(value)
        try:
            found = _found(name, self._modules)
        except AttributeError as error:
            raise CheckpointError(f'{name} cannot be stored') from error
        if found is not value:
            raise CheckpointError(f'{name} cannot be stored')
        return name

    def _array(self, value: np.ndarray[Any, Any]) -> int:
        if value.dtype.hasobject:
            raise CheckpointError(f'an array of {value.dtype} cannot be stored')
        self.arrays.append(value)
        return len(self.arrays) - 1

    def _tensor(self, value: Any) -> dict[str, Any]:  # noqa: ANN401 - torch is not imported here
        import torch

        plain = value.detach().cpu().contiguous()
        numbers = plain.view(torch.int16) if plain.dtype is torch.bfloat16 else plain
        dtype = str(value.dtype).removeprefix('torch.')
        return {'tensor': self._array(numbers.numpy()), 'dtype': dtype, 'device': str(value.device)}


class _Decoder:
    def __init__(
        self,
        stored: Any,  # noqa: ANN401 - an npz file
        known: Mapping[str, object],
        modules: set[str],
    ) -> None:
        self._stored = stored
        self._known = known
        self._modules = modules
        self._made: dict[int, Any] = {}

    def decode(self, node: Any) -> Any:  # noqa: ANN401 - one case each
        if not isinstance(node, dict):
            return node
        if 'enum' in node:
            return self._class(node['enum'], enum.Enum)(self.decode(node['value']))
        if 'scalar' in node:
            return self._stored[f'a{node["scalar"]}'][()]
        if 'known' in node:
            return self._known[node['known']]
        if 'ref' in node:
            return self._made[node['ref']]
        if 'class' in node:
            return self._instance(node)
        if node.get('container') in {'list', 'dict', 'OrderedDict', 'Counter', 'set'}:
            return self._filled(node, CONTAINERS[node['container']]())
        if 'defaultdict' in node:
            return self._filled(node, defaultdict(FACTORIES[node['defaultdict']]))
        if 'deque' in node:
            return self._filled(node, deque(maxlen=node['deque']))
        value = self._immutable(node)
        self._made[node['id']] = value
        return value

    def _instance(self, node: dict[str, Any]) -> Any:  # noqa: ANN401 - of the class of the node
        kind = self._class(node['class'], object)
        value = object.__new__(kind)
        self._made[node['id']] = value
        vars(value).update({name: self.decode(one) for name, one in node['fields'].items()})
        return value

    def _filled(self, node: dict[str, Any], value: Any) -> Any:  # noqa: ANN401 - the same value
        self._made[node['id']] = value
        items = (self.decode(one) for one in node['items'])
        if isinstance(value, dict):
            for key, entry in items:
                value[key] = entry
        elif isinstance(value, set):
            value.update(items)
        else:
            value.extend(items)
        return value

    def _immutable(self, node: dict[str, Any]) -> Any:  # noqa: ANN401 - of the kind of the node
        if 'array' in node:
            return self._stored[f'a{node["array"]}']
        if 'tensor' in node:
            return self._tensor(node)
        if 'clock' in node:
            return CLOCKS[node['clock']]
        if 'method' in node:
            return getattr(self.decode(node['of']), node['method'])
        if 'function' in node:
            return self._function(node['function'])
        items = [self.decode(one) for one in node['items']]
        if 'named' in node:
            return tuple.__new__(self._class(node['named'], tuple), items)
        return {'tuple': tuple, 'frozenset': frozenset}[node['container']](items)

    def _tensor(self, node: dict[str, Any]) -> Any:  # noqa: ANN401 - torch is not imported here
        import torch

        value = torch.from_numpy(np.array(self._stored[f'a{node["tensor"]}']))
        if node['dtype'] == 'bfloat16':
            value = value.view(torch.bfloat16)
        return value.to(torch.device(node['device']))

    def _class(self, name: str, base: type[Any]) -> type[Any]:
        value = _found(name, self._modules)
        if not (isinstance(value, type) and issubclass(value, base)):
            raise CheckpointError(f'{name} is no class of its kind')
        return value

    def _function(self, name: str) -> Any:  # noqa: ANN401 - a function of this package
        value = _found(name, self._modules)
        if not callable(value) or isinstance(value, type):
            raise CheckpointError(f'{name} is no function')
        return value


def _modules(known: Mapping[str, object]) -> set[str]:
    """Return the modules of objects that are not stored, whose classes may be stored as well."""
    return {kind.__module__ for value in known.values() for kind in type(value).__mro__} - {
        'builtins'
    }


def _is_own(module: str, modules: set[str]) -> bool:
    return module.startswith(PACKAGE) or module in modules


def _name(value: Any) -> str:  # noqa: ANN401 - a class or function
    return f'{value.__module__}:{value.__qualname__}'


def _found(name: str, modules: set[str]) -> Any:  # noqa: ANN401 - what the name stands for
    """Find a class or function of this package by its name."""
    module, _, path = name.partition(':')
    if not _is_own(module, modules):
        raise CheckpointError(f'{name} is not of this package')
    loaded = sys.modules.get(module) or importlib.import_module(module)
    value = functools.reduce(getattr, path.split('.'), loaded)
    if getattr(value, '__module__', '') != module:
        raise CheckpointError(f'{name} is not of this package')
    return value
