"""Our reader of safetensors reads what the library writes, and refuses what is damaged."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from loftr_ros.matching import safetensors_file
from loftr_ros.matching.safetensors_file import DTYPES, parse_safetensors, read_safetensors
from loftr_ros.matching.weights import find_weights

WITHOUT = """
import sys
sys.modules['safetensors'] = None
from pathlib import Path
from loftr_ros.matching.weights import WeightsError, load_weights, save_weights
print(load_weights('lite').sha256)
try:
    save_weights(load_weights('lite').network, Path('w.safetensors'))
except WeightsError as error:
    print(error)
"""


def test_both_readers_read_the_bundled_weights_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    path = find_weights('lite')
    tensors, metadata = read_safetensors(path)
    monkeypatch.setattr(safetensors_file, '_library', lambda: None)
    ours, our_metadata = read_safetensors(path)
    assert our_metadata == metadata
    assert ours.keys() == tensors.keys()
    assert all(ours[key].dtype == tensors[key].dtype for key in tensors)
    assert all(torch.equal(ours[key], tensors[key]) for key in tensors)


def test_without_the_library_weights_are_loaded_and_writing_names_it(tmp_path: Path) -> None:
    command = [sys.executable, '-c', WITHOUT]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert len(shown.splitlines()[0]) == 64
    assert 'pip install safetensors' in shown


@pytest.mark.parametrize('dtype', DTYPES.values())
def test_every_type_and_shape_comes_back(dtype: torch.dtype) -> None:
    shapes = [(), (0,), (3, 0, 2), (5,), (2, 3, 4)]
    numbers = torch.arange(24, dtype=torch.float64)
    sent = {
        str(shape): numbers[: torch.Size(shape).numel()].reshape(shape).to(dtype).clone()
        for shape in shapes
    }
    found, metadata = parse_safetensors(save(sent, {'name': 'value'}))
    assert metadata == {'name': 'value'}
    assert found.keys() == sent.keys()
    assert all(torch.equal(found[key], sent[key]) for key in sent)


def content(header: object, values: bytes = bytes(8)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, 'little') + text + values


def entry(**changes: object) -> dict[str, object]:
    return {'a': {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 8], **changes}}


@pytest.mark.parametrize(
    'damaged',
    [
        b'',
        b'no weights',
        (10**18).to_bytes(8, 'little') + b'{}',
        content(b'{'),
        content([]),
        content({'a': 1}),
        content({'__metadata__': 3}),
        content(b'{"a":' * 100_000),
        content(entry(dtype='F99')),
        content(entry(shape=[3])),
        content(entry(shape=[-1, -2])),
        content(entry(shape=[10**30])),
        content(entry(shape=[float('inf')])),
        content(entry(data_offsets=[4, 12])),
        content(entry(data_offsets=[-8, 0])),
        content(entry(data_offsets=[0])),
    ],
)
def test_what_is_damaged_is_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match=r'header|bytes of shape|Expecting|unpack'):
        parse_safetensors(damaged)


@given(st.data())
def test_no_bytes_raise_anything_else(data: st.DataObject) -> None:
    whole = bytearray(save({'a': torch.ones(3, 2), 'b': torch.zeros(5, dtype=torch.int64)}))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        whole[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    with contextlib.suppress(ValueError):
        parse_safetensors(bytes(whole[:cut]))
