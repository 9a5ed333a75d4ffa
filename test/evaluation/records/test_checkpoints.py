"""A checkpoint is data: what is read is what was written, and no code of the file is run."""

from __future__ import annotations

import enum
import json
import pickle
from collections import Counter, deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from loftr_ros.codecs.stamps import Order, StampOrder
from loftr_ros.evaluation.records.checkpoints import (
    STRUCTURE,
    CheckpointError,
    read_checkpoint,
    write_checkpoint,
)
from loftr_ros.geometry import Camera


def round_trip(path: Path, value: object, **known: object) -> Any:  # noqa: ANN401
    write_checkpoint(path / 'x.npz', value, known)
    return read_checkpoint(path / 'x.npz', known)


@pytest.mark.parametrize(
    'value',
    [
        None,
        True,
        3,
        float('inf'),
        'text',
        [1, (2, 3), {4}, {5: 'a', (6, 7): 'b'}],
        Counter({1: 2}),
        deque([1, 2], maxlen=3),
        Order.JUMPED,
        np.float32(0.5),
        StampOrder(last_ns=5),
    ],
)
def test_values_come_back_equal_and_of_their_type(tmp_path: Path, value: object) -> None:
    back = round_trip(tmp_path, value)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16, torch.int64])
def test_tensors_come_back_bit_by_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.arange(6).reshape(2, 3).to(dtype)
    back = round_trip(tmp_path, tensor)
    assert back.dtype is dtype
    assert torch.equal(back, tensor)


def test_arrays_and_frozen_objects_come_back(tmp_path: Path) -> None:
    camera = Camera(64, 48, np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]))
    back = round_trip(tmp_path, camera)
    assert back.size == camera.size
    assert np.array_equal(back.matrix, camera.matrix)


def test_what_is_shared_is_shared_again_even_in_circles(tmp_path: Path) -> None:
    ring: list[Any] = [StampOrder()]
    ring += [ring[0], ring]
    back = round_trip(tmp_path, ring)
    assert back[0] is back[1]
    assert back[2] is back


def test_known_objects_take_the_place_of_what_is_not_stored(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / 'x.npz', [one := StampOrder(), one.check], {'matcher': one})
    other = StampOrder(patience=9)
    first, method = read_checkpoint(tmp_path / 'x.npz', {'matcher': other})
    assert first is other
    assert method.__self__ is other


class Foreign(enum.Enum):
    ONE = 1


@pytest.mark.parametrize('value', [Path('/etc'), np.array([Path('/')], object), lambda: 0])
def test_what_cannot_be_stored_is_named(tmp_path: Path, value: object) -> None:
    with pytest.raises(CheckpointError, match=r'cannot be stored|not of this package'):
        round_trip(tmp_path, [value])


@pytest.mark.parametrize(
    'node',
    [
        {'id': 0, 'class': 'subprocess:Popen', 'fields': {}},
        {'id': 0, 'function': 'os:system'},
        {'id': 0, 'function': 'loftr_ros.evaluation.replay.command:os.system'},
        {'id': 0, 'class': 'loftr_ros.evaluation.replay.command:Path', 'fields': {}},
        {'id': 0, 'named': 'loftr_ros.codecs.stamps:StampOrder', 'items': []},
        {'enum': 'loftr_ros.codecs.stamps:Order', 'value': 'none'},
        {'id': 0, 'container': 'eval', 'items': []},
        {'id': 0, 'array': 7},
        {'ref': 3},
        {'known': 'nobody'},
    ],
)
def test_a_file_that_asks_for_anything_else_is_refused(
    tmp_path: Path, node: dict[str, object]
) -> None:
    data = np.frombuffer(json.dumps(node).encode(), np.uint8)
    arrays: dict[str, Any] = {STRUCTURE: data}
    np.savez(tmp_path / 'x.npz', **arrays)
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / 'x.npz', {})


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ('the pickle was run',))


@pytest.mark.parametrize('data', [b'', b'nothing', b'PK\x03\x04', pickle.dumps(Bomb())])
def test_damaged_files_and_pickles_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / 'x.npz').write_bytes(data)
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / 'x.npz', {})
