"""The folder that an export writes: three graphs, and a file that says what they are."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from loftr_ros.matching.config import EfficientConfig, LoFTRConfig, config_from_dict
from loftr_ros.matching.errors import WeightsError

MANIFEST = 'loftr.json'
LAYOUT = 1
"""Counts up when graphs take or give something else."""

EXTERNAL = b'\x08location'
"""Key of the file that a tensor of a graph is in, where it is not in the graph itself."""

ENCODER, COARSE, FINE = STAGES = ('encoder', 'coarse', 'fine')


@dataclass(frozen=True)
class Manifest:
    """What is known of exported graphs.

    Attributes:
        weights_name: Name of the weights that were exported.
        weights_hash: SHA-256 of their file.
        config: Of the network: also calibration, thresholds and geometry that no graph holds.
        size: Width and height of the only image the encoder takes, px; None for any.
        opset: Of the graphs.
        hashes: SHA-256 of each graph by the name of its stage.
    """

    weights_name: str
    weights_hash: str
    config: LoFTRConfig | EfficientConfig
    size: tuple[int, int] | None
    opset: int
    hashes: dict[str, str]


def graph_path(folder: Path, stage: str) -> Path:
    """File of a stage's graph."""
    return folder / f'{stage}.onnx'


def engine_folder(folder: Path) -> Path:
    """Where TensorRT keeps what it makes of the graphs."""
    return folder / 'tensorrt'


def graph_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each graph in the folder."""
    return {
        stage: hashlib.sha256(graph_path(folder, stage).read_bytes()).hexdigest()
        for stage in STAGES
    }


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Make the folder an export; its graphs are already there."""
    content = {'layout': LAYOUT, **asdict(manifest), 'config': manifest.config.to_dict()}
    text = json.dumps(content, indent=1) + '\n'
    (folder / MANIFEST).write_text(text, encoding='utf-8')


def is_export(path: Path) -> bool:
    """Whether a path is a folder that an export wrote."""
    return (path / MANIFEST).is_file()


def read_manifest(folder: Path) -> Manifest:
    """Read what an export says of itself, and verify that its graphs are those it wrote.

    Raises:
        WeightsError: No export, one of another layout, or files that are missing or not its own.
    """
    if not is_export(folder):
        raise WeightsError(
            f'{folder}: no folder that `loftr-ros export --output FOLDER` wrote (no {MANIFEST})'
        )
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding='utf-8'))
        manifest = _manifest(content)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        reason = f'lacks {error}' if isinstance(error, KeyError) else str(error)
        raise WeightsError(f'{folder / MANIFEST}: not readable ({reason}): export again') from error
    _check_files(folder, manifest)
    return manifest


def _manifest(content: object) -> Manifest:
    if not isinstance(content, dict):
        raise TypeError('no JSON object')
    if content['layout'] != LAYOUT:
        raise ValueError(f'layout {content["layout"]!r}, this version reads {LAYOUT}')
    size = content['size']
    if size is not None:
        width, height = map(int, size)
        size = (width, height)
    return Manifest(
        weights_name=str(content['weights_name']),
        weights_hash=str(content['weights_hash']),
        config=config_from_dict(dict(content['config'])),
        size=size,
        opset=int(content['opset']),
        hashes={stage: str(content['hashes'][stage]) for stage in STAGES},
    )


def _check_files(folder: Path, manifest: Manifest) -> None:
    missing = [stage for stage in STAGES if not graph_path(folder, stage).is_file()]
    if missing:
        names = ', '.join(graph_path(folder, stage).name for stage in missing)
        raise WeightsError(f'{folder}: lacks {names}: copy the whole folder, or export again')
    external = [stage for stage in STAGES if EXTERNAL in graph_path(folder, stage).read_bytes()]
    if external:
        names = ', '.join(graph_path(folder, stage).name for stage in external)
        raise WeightsError(
            f'{folder}: {names}: weights in files beside the graph, which no hash covers: export '
            'again, or save the graph with its weights in it'
        )
    found = graph_hashes(folder)
    other = [stage for stage in STAGES if found[stage] != manifest.hashes[stage]]
    if other:
        names = ', '.join(graph_path(folder, stage).name for stage in other)
        raise WeightsError(
            f'{folder}: {names}: damaged, or of another export (SHA-256 differs from {MANIFEST}): '
            'copy the whole folder, or export again'
        )
