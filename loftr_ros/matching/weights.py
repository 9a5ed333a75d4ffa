"""Weights by name or file: found or downloaded, verified, and matched with their configuration."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .config import INDOOR, LITE, OUTDOOR, LoFTRConfig
from .download import download
from .errors import WeightsError
from .network import LoFTR

if TYPE_CHECKING:
    from torch import Tensor

CONFIGURATIONS = {'lite': LITE, 'outdoor': OUTDOOR, 'indoor': INDOOR}


@dataclass(frozen=True)
class Checkpoint:
    """A public weights file.

    Attributes:
        file_name: As the authors named it.
        blob_id: Git's SHA-1 of the file.
        url: Where it can be downloaded.
    """

    file_name: str
    blob_id: str
    url: str


_MIRROR = 'https://raw.githubusercontent.com/MACILLAS/LoFTR/master/weights/'
OFFICIAL = {
    'outdoor': Checkpoint(
        'outdoor_ds.ckpt',
        'a8c45b0ab725f933c45f001effae25f22a4574dd',
        _MIRROR + 'outdoor_ds.ckpt',
    ),
    'indoor': Checkpoint(
        'indoor_ds_new.ckpt',
        'e7cb02c2c629d50e24ec9ecacf4981904979907b',
        _MIRROR + 'indoor_ds_new.ckpt',
    ),
}


@dataclass(frozen=True)
class LoadedWeights:
    """A network ready for inference and where it came from.

    Attributes:
        network: In evaluation mode, on the CPU, in float32.
        name: As the user gave it: a name, or the file's stem.
        sha256: Of the file.
    """

    network: LoFTR
    name: str
    sha256: str


def load_weights(weights: str | Path, configuration: str | None = None) -> LoadedWeights:
    """Load weights by name (``lite``, ``outdoor``, ``indoor``) or from a file.

    Args:
        weights: Name, or path of a .safetensors file or of a checkpoint in the official layout.
        configuration: ``lite``, ``outdoor`` or ``indoor``; needed only for a checkpoint that is
            neither an official one nor carries its configuration.

    Raises:
        WeightsError: No such weights, a damaged or unsafe file, or keys that do not fit; says
            which.
    """
    path = find_weights(weights)
    content = path.read_bytes()
    tensors, config = _read(path, content)
    if configuration is not None:
        config = _named_configuration(configuration)
    if config is None:
        raise WeightsError(
            f'{path}: the file does not say which configuration its weights belong to; '
            f'give one of {", ".join(CONFIGURATIONS)}'
        )
    network = LoFTR(config)
    _check_keys(path, tensors, network.state_dict())
    network.load_state_dict(tensors)
    name = weights if weights in CONFIGURATIONS else path.stem
    return LoadedWeights(network.eval(), str(name), hashlib.sha256(content).hexdigest())


def save_weights(network: LoFTR, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file in float16 that carries its configuration."""
    state = network.state_dict()
    tensors = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    contiguous = {key: value.contiguous() for key, value in tensors.items()}
    config = json.dumps(network.config.to_dict())
    save_file(contiguous, path, {'loftr_config': config, **(metadata or {})})


def find_weights(weights: str | Path) -> Path:
    """File of a name (downloaded into the cache if need be) or of a path.

    Raises:
        WeightsError: Neither a known name nor a file, or the download failed.
    """
    if weights == 'lite':
        return Path(str(files('loftr_ros') / 'weights' / 'lite.safetensors'))
    if weights in OFFICIAL:
        return _cached(OFFICIAL[str(weights)])
    path = Path(weights).expanduser()
    if path.is_dir():
        raise WeightsError(
            f'{path}: a folder; one that `loftr-ros export` wrote needs backend onnxruntime'
        )
    if not path.is_file():
        names = ', '.join(CONFIGURATIONS)
        raise WeightsError(f"no weights '{weights}': neither one of {names} nor an existing file")
    return path


def training_pairs(weights: str | Path) -> int | None:
    """How many pairs weights were trained on, as `save_weights` was told; None if unknown.

    Raises:
        WeightsError: As `find_weights`.
    """
    path = find_weights(weights)
    if path.suffix != '.safetensors':
        return None
    with safe_open(path, framework='pt') as stream:
        pairs = (stream.metadata() or {}).get('training_pairs', '')
    return int(pairs) if pairs.isdecimal() else None


def cache_folder() -> Path:
    """Where downloads are kept: LOFTR_ROS_CACHE, or loftr_ros in the user's cache folder."""
    if 'LOFTR_ROS_CACHE' in os.environ:
        return Path(os.environ['LOFTR_ROS_CACHE'])
    return Path(os.environ.get('XDG_CACHE_HOME', '~/.cache')).expanduser() / 'loftr_ros'


def git_blob_id(content: bytes) -> str:
    """SHA-1 that git gives to a file of this content."""
    header = f'blob {len(content)}\0'.encode()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def _cached(checkpoint: Checkpoint) -> Path:
    path = cache_folder() / checkpoint.file_name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        download(checkpoint.url, path, lambda content: git_blob_id(content) == checkpoint.blob_id)
    if git_blob_id(path.read_bytes()) != checkpoint.blob_id:
        raise WeightsError(
            f'{path}: not the official {checkpoint.file_name} (git blob id {checkpoint.blob_id}); '
            'delete it to download it again'
        )
    return path


def _read(path: Path, content: bytes) -> tuple[dict[str, Tensor], LoFTRConfig | None]:
    try:
        if path.suffix == '.safetensors':
            return _read_safetensors(path)
        return _read_checkpoint(path, content)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f'{path}: not a readable weights file ({reason})') from error


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], LoFTRConfig | None]:
    with safe_open(path, framework='pt') as stream:
        metadata = stream.metadata() or {}
        tensors = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118
    floats = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    if 'loftr_config' not in metadata:
        return floats, None
    try:
        return floats, LoFTRConfig.from_dict(json.loads(metadata['loftr_config']))
    except (ValueError, TypeError) as error:
        raise WeightsError(f'{path}: bad configuration in the metadata: {error}') from error


def _read_checkpoint(path: Path, content: bytes) -> tuple[dict[str, Tensor], LoFTRConfig | None]:
    """Official layout: weights under ``state_dict``, keys with or without ``matcher.``."""
    loaded: Any = torch.load(path, map_location='cpu', weights_only=True)
    state = loaded.get('state_dict', loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise WeightsError(f'{path}: no state dict of tensors in the checkpoint')
    blob_id = git_blob_id(content)
    config = next((CONFIGURATIONS[n] for n, c in OFFICIAL.items() if c.blob_id == blob_id), None)
    return {key.removeprefix('matcher.'): value for key, value in state.items()}, config


def _named_configuration(name: str) -> LoFTRConfig:
    if name not in CONFIGURATIONS:
        names = ', '.join(CONFIGURATIONS)
        raise WeightsError(f"no configuration '{name}': expected one of {names}")
    return CONFIGURATIONS[name]


def _check_keys(path: Path, found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Refuse a state dict that differs, naming up to five keys of each kind."""

    def some(keys: set[str]) -> str:
        listed = sorted(keys)
        more = f' and {len(listed) - 5} more' if len(listed) > 5 else ''
        return ', '.join(listed[:5]) + more

    problems = []
    if missing := set(expected) - set(found):
        problems.append(f'missing {some(missing)}')
    if unexpected := set(found) - set(expected):
        problems.append(f'unexpected {some(unexpected)}')
    shapes = {
        f'{key} {tuple(found[key].shape)} instead of {tuple(expected[key].shape)}'
        for key in set(found) & set(expected)
        if found[key].shape != expected[key].shape
    }
    if shapes:
        problems.append(f'other shapes: {some(shapes)}')
    if problems:
        raise WeightsError(f'{path}: weights do not fit the configuration: {"; ".join(problems)}')
    not_finite = {k for k, v in found.items() if v.is_floating_point() and not v.isfinite().all()}
    if not_finite:
        raise WeightsError(f'{path}: weights with NaN or infinite values: {some(not_finite)}')
