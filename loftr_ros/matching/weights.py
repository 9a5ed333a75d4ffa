"""Weights by name or file: found or downloaded, verified, and matched with their configuration."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from loftr_ros.matching.catalogue import CONFIGURATIONS, OFFICIAL, Checkpoint, cache_folder
from loftr_ros.matching.config import EFFICIENT, EfficientConfig, LoFTRConfig, config_from_dict
from loftr_ros.matching.download import download
from loftr_ros.matching.efficient import EfficientLoFTR
from loftr_ros.matching.efficient_names import TRANSFORMERS, from_transformers
from loftr_ros.matching.errors import WeightsError
from loftr_ros.matching.network import LoFTR
from loftr_ros.matching.safetensors_file import read_safetensors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

FOREIGN = {
    b'version https://git-lfs': 'a Git LFS pointer, not the weights: fetch them by `git lfs pull`',
    b'<!doctype html': 'a web page, not the weights: download the file itself',
    b'<html': 'a web page, not the weights: download the file itself',
}
CLASS = re.compile(r'GLOBAL ([\w.]+)')
LARGEST_NUMBER = 10_000
"""In a configuration; those of real networks stay far below."""

Network = LoFTR | EfficientLoFTR
Config = LoFTRConfig | EfficientConfig

UNSTATED = (
    'their publisher states no licence for them, so that using them may need his permission; if '
    'you accept that, fetch them by `loftr-ros weights --download {name} --accept-licence` (in '
    'Python: accept_licence=True)'
)


@dataclass(frozen=True)
class LoadedWeights:
    """A network ready for inference and where it came from.

    Attributes:
        network: `LoFTR` or `EfficientLoFTR`, in evaluation mode, on the CPU, in float32.
        name: As the user gave it: a name, or the file's stem.
        sha256: Of the file.
    """

    network: Any
    name: str
    sha256: str


def load_weights(
    weights: str | Path, configuration: str | None = None, *, accept_licence: bool = False
) -> LoadedWeights:
    """Load weights by name or from a file.

    Args:
        weights: ``lite``, ``outdoor``, ``indoor``, ``efficient``, ``anything``, or the path of a
            .safetensors file (also in the layout of transformers) or of a
            checkpoint in the official layout.
        configuration: A name; needed only for a checkpoint of LoFTR that is neither an official one
            nor carries its configuration.
        accept_licence: Download weights whose licence is not stated.

    Raises:
        WeightsError: No such weights, a damaged or unsafe file, or keys that do not fit; says
            which.
    """
    path = find_weights(weights, accept_licence=accept_licence)
    content = path.read_bytes()
    tensors, config = _read(path, content)
    if configuration is not None:
        config = _named_configuration(configuration)
    elif str(weights) in OFFICIAL:
        config = CONFIGURATIONS[str(weights)]
    if config is None:
        raise WeightsError(
            f'{path}: the file does not say which configuration its weights belong to; '
            f'give one of {", ".join(CONFIGURATIONS)} (matcher.configuration)'
        )
    expected = _expected(path, config)
    if isinstance(config, EfficientConfig):
        tensors = _with_counters(from_transformers(tensors, config), expected)
    _check_keys(path, tensors, expected)
    network = network_of(config)
    network.load_state_dict(tensors)
    name = weights if weights in CONFIGURATIONS else path.stem
    return LoadedWeights(network.eval(), str(name), hashlib.sha256(content).hexdigest())


def network_of(config: Config) -> Network:
    """Network of whatever family, with random weights."""
    return EfficientLoFTR(config) if isinstance(config, EfficientConfig) else LoFTR(config)


def save_weights(network: Network, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file in float16 that carries its configuration.

    Raises:
        WeightsError: The library is not installed, which only writing needs.
    """
    try:
        from safetensors.torch import save_file
    except ImportError as error:
        raise WeightsError('to write weights takes safetensors: pip install safetensors') from error
    state = network.state_dict()
    tensors = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    contiguous = {key: value.contiguous() for key, value in tensors.items()}
    config = json.dumps(network.config.to_dict())
    save_file(contiguous, path, {'loftr_config': config, **(metadata or {})})


def find_weights(weights: str | Path, *, accept_licence: bool = False) -> Path:
    """File of a name (downloaded into the cache if need be) or of a path.

    Raises:
        WeightsError: Neither a known name nor a file, the download failed, or asks for a licence to
            be accepted.
    """
    if weights == 'lite':
        return Path(str(files('loftr_ros') / 'weights' / 'lite.safetensors'))
    if weights in OFFICIAL:
        return _cached(str(weights), accept_licence)
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
    """How many pairs weights were trained on, as given to `save_weights`; None if unknown.

    Raises:
        WeightsError: As `find_weights`.
    """
    path = find_weights(weights)
    if path.suffix != '.safetensors':
        return None
    _, metadata = read_safetensors(path)
    pairs = metadata.get('training_pairs', '')
    return int(pairs) if pairs.isdecimal() else None


def git_blob_id(content: bytes) -> str:
    """SHA-1 that git gives to a file of this content."""
    header = f'blob {len(content)}\0'.encode()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def _cached(name: str, accept_licence: bool) -> Path:
    checkpoint = OFFICIAL[name]
    path = cache_folder() / checkpoint.file_name
    if not path.is_file():
        if not checkpoint.licence and not accept_licence:
            raise WeightsError(f"weights '{name}': " + UNSTATED.format(name=name))
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(checkpoint, path)
    if problem := cached_problem(checkpoint):
        raise WeightsError(f'{path}: {problem}; delete it to download it again')
    return path


def _download(checkpoint: Checkpoint, path: Path) -> None:
    """Take the file from the first place that delivers it."""

    def is_genuine(content: bytes) -> bool:
        return not checkpoint.blob_id or git_blob_id(content) == checkpoint.blob_id

    urls = (checkpoint.url, *checkpoint.mirrors)
    download(urls, path, is_genuine, 2 * checkpoint.megabytes * 10**6)
    if not checkpoint.blob_id:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        first_hash(path).write_text(f'{digest}  {path.name}\n', encoding='ascii')


def first_hash(path: Path) -> Path:
    """File that holds the SHA-256 of a first download, as `sha256sum -c` takes it."""
    return path.with_name(path.name + '.sha256')


def cached_problem(checkpoint: Checkpoint) -> str:
    """What is wrong with the cached file of weights, or nothing."""
    path = cache_folder() / checkpoint.file_name
    content = path.read_bytes()
    if checkpoint.blob_id:
        genuine = git_blob_id(content) == checkpoint.blob_id
        official = f'not the official {path.name} (git blob id {checkpoint.blob_id})'
        return '' if genuine else official
    if not first_hash(path).is_file():  # put there by hand
        return ''
    known = first_hash(path).read_text(encoding='ascii').split()[0]
    changed = hashlib.sha256(content).hexdigest() != known
    return f'has changed since it was downloaded (SHA-256 was {known})' if changed else ''


def _read(path: Path, content: bytes) -> tuple[dict[str, Tensor], Config | None]:
    start = content[:64].lstrip().lower()
    for mark, problem in FOREIGN.items():
        if start.startswith(mark):
            raise WeightsError(f'{path}: {problem}')
    try:
        if path.suffix == '.safetensors':
            return _read_safetensors(path)
        return _read_checkpoint(path, content)
    except WeightsError:
        raise
    except Exception as error:  # damaged files raise what the reader in question happens to raise
        if found := CLASS.search(str(error)):
            raise WeightsError(
                f'{path}: the checkpoint holds the Python class {found[1]} besides the weights: '
                'loading it could run its code. Where you trust it, save its weights alone: '
                "torch.save({'state_dict': checkpoint['state_dict']}, file)"
            ) from error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f'{path}: not a readable weights file ({reason})') from error


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Config | None]:
    tensors, metadata = read_safetensors(path)
    floats = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    if 'loftr_config' not in metadata:
        return floats, _configuration_of(floats)
    try:
        return floats, config_from_dict(json.loads(metadata['loftr_config']))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f'{path}: bad configuration in the metadata: {error}') from error


def _read_checkpoint(path: Path, content: bytes) -> tuple[dict[str, Tensor], Config | None]:
    """Official layout: weights under ``state_dict``, keys with or without ``matcher.``."""
    loaded: Any = torch.load(path, map_location='cpu', weights_only=True)
    state = loaded.get('state_dict', loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise WeightsError(f'{path}: no state dict of tensors in the checkpoint')
    tensors = {str(key).removeprefix('matcher.'): value for key, value in state.items()}
    blob_id = git_blob_id(content)
    config = next((CONFIGURATIONS[n] for n, c in OFFICIAL.items() if c.blob_id == blob_id), None)
    return tensors, config or _configuration_of(tensors)


def _configuration_of(tensors: dict[str, Tensor]) -> Config | None:
    """EfficientLoFTR's, if the names say so: all its weights have one layout."""
    its_own = (TRANSFORMERS, 'loftr_coarse.layers.0.aggregate')
    return EFFICIENT if any(name.startswith(its_own) for name in tensors) else None


def _expected(path: Path, config: Config) -> dict[str, Tensor]:
    """Return the tensors that a network needs, without memory for them, whatever their size.

    Raises:
        WeightsError: The configuration makes no network.
    """
    largest = max(_numbers(config.to_dict()), default=0)
    if largest > LARGEST_NUMBER:
        raise WeightsError(f'{path}: {largest:g} in the configuration is too large for a network')
    try:
        with torch.device('meta'):
            return dict(network_of(config).state_dict())
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        reason = f'{error}'.partition('\n')[0]
        raise WeightsError(f'{path}: its configuration makes no network ({reason})') from error


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, (int, float)):
        yield abs(value)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, dict):
        yield from _numbers(list(value.values()))


def _with_counters(tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add the batches that norms have seen, which some layouts leave out and none needs."""
    counters = (name for name in expected if name.endswith('num_batches_tracked'))
    return {name: torch.tensor(0) for name in counters} | tensors


def _named_configuration(name: str) -> Config:
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
    kinds = {
        f'{key} of {str(found[key].dtype).removeprefix("torch.")}'
        for key in set(found) & set(expected)
        if found[key].is_floating_point() != expected[key].is_floating_point()
    }
    if kinds:
        problems.append(f'other types: {some(kinds)}')
    if shapes:
        problems.append(f'other shapes: {some(shapes)}')
    if problems:
        raise WeightsError(f'{path}: weights do not fit the configuration: {"; ".join(problems)}')
    not_finite = {k for k, v in found.items() if v.is_floating_point() and not v.isfinite().all()}
    if not_finite:
        raise WeightsError(f'{path}: weights with NaN or infinite values: {some(not_finite)}')
