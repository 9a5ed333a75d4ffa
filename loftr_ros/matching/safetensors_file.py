"""Read weights in the format safetensors, also where its library is not installed."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

LENGTH_BYTES = 8
DTYPES = {
    'BOOL': torch.bool,
    'U8': torch.uint8,
    'I8': torch.int8,
    'I16': torch.int16,
    'I32': torch.int32,
    'I64': torch.int64,
    'F16': torch.float16,
    'BF16': torch.bfloat16,
    'F32': torch.float32,
    'F64': torch.float64,
    'C64': torch.complex64,
}


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a file, in memory of their own, and its metadata.

    Raises:
        Exception: Of the library, ValueError without it: the file is damaged.
    """
    safe_open = _library()
    if safe_open is None:
        return parse_safetensors(path.read_bytes())
    with safe_open(path, framework='pt') as stream:
        metadata = stream.metadata() or {}
        return {key: stream.get_tensor(key) for key in stream.keys()}, metadata  # noqa: SIM118


def _library() -> Any:  # noqa: ANN401 - the class, or None
    try:
        from safetensors import safe_open
    except ImportError:  # no ROS distribution has it
        return None
    return safe_open


def parse_safetensors(content: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of the content of a file.

    It is the length of the header (u64, little endian), the header in JSON, and the values.

    Raises:
        ValueError: The content is damaged.
    """
    end = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], 'little')
    if len(content) < end or end == LENGTH_BYTES:
        raise ValueError('the header is incomplete')
    try:
        header = json.loads(content[LENGTH_BYTES:end])
        metadata = {str(key): str(value) for key, value in header.pop('__metadata__', {}).items()}
        values = memoryview(content)[end:]
        return {name: _tensor(values, entry) for name, entry in header.items()}, metadata
    except (AttributeError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f'the header is damaged ({type(error).__name__})') from error


def _tensor(values: memoryview, entry: dict[str, Any]) -> Tensor:
    dtype, shape = DTYPES[entry['dtype']], [int(length) for length in entry['shape']]
    begin, end = map(int, entry['data_offsets'])
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or not 0 <= begin <= end <= len(values) or end - begin != size:
        raise ValueError(f'{size} bytes of shape {shape} are not at {begin} to {end}')
    if not size:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(values[begin:end]), dtype=dtype).reshape(shape)
