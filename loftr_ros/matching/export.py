"""Export of the network's stages as ONNX graphs.

Three graphs hold all weights. What stands between them stays in torch: the positional encoding,
which is computed once for each size; the matching of coarse cells, whose blocks bound the memory at
any size, where a graph would need the whole confidence matrix; and the gathering of windows.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from loftr_ros.matching.efficient import EfficientLoFTR
from loftr_ros.matching.efficient_export import Stage
from loftr_ros.matching.efficient_export import stages as efficient_stages
from loftr_ros.matching.errors import WeightsError
from loftr_ros.matching.fine_matching import expected_offset
from loftr_ros.matching.onnx_folder import (
    COARSE,
    ENCODER,
    FINE,
    MANIFEST,
    Manifest,
    engine_folder,
    graph_hashes,
    graph_path,
    write_manifest,
)
from loftr_ros.matching.weights import load_weights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loftr_ros.matching.network import LoFTR

OPSETS = range(18, 24)
"""The exporter of torch writes no older one; newer ones are not in today's TensorRT."""

LARGEST_SIDE = 2**14
MOST_TOKENS = 2**20


class Encoder(nn.Module):
    """Backbone: image (1, 1, H, W) to coarse (1, C_c, H_c, W_c) and fine (1, H_f, W_f, C_f)."""

    def __init__(self, network: LoFTR) -> None:
        super().__init__()
        self.backbone = network.backbone

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Channels of the fine map come last, so that windows are gathered as they lie."""
        coarse, fine = self.backbone(image)
        return coarse, fine.permute(0, 2, 3, 1).contiguous()


class Coarse(nn.Module):
    """Coarse transformer on tokens (1, L, C_c), (1, S, C_c) with masks (1, L), (1, S) bool."""

    def __init__(self, network: LoFTR) -> None:
        super().__init__()
        self.transformer = network.loftr_coarse

    def forward(
        self, tokens0: Tensor, tokens1: Tensor, mask0: Tensor, mask1: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tokens conditioned on both images, in the same shapes."""
        transformed: tuple[Tensor, Tensor] = self.transformer(tokens0, tokens1, mask0, mask1)
        return transformed


class Fine(nn.Module):
    """Patches (M, w * w, C_f) and coarse features (M, C_c) to offset (M, 2) and deviation (M,)."""

    def __init__(self, network: LoFTR) -> None:
        super().__init__()
        self.preprocess = network.fine_preprocess
        self.transformer = network.loftr_fine

    def forward(
        self, patches0: Tensor, patches1: Tensor, coarse0: Tensor, coarse1: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Offset and deviation in units of the window's half side."""
        windows0 = self.preprocess.merge(patches0, coarse0)
        windows1 = self.preprocess.merge(patches1, coarse1)
        fine = expected_offset(*self.transformer(windows0, windows1))
        return fine.offset, fine.deviation


def export(
    weights: str | Path,
    folder: Path,
    *,
    configuration: str | None = None,
    size: tuple[int, int] | None = None,
    opset: int = OPSETS[0],
) -> Manifest:
    """Write the graphs of weights into a folder that backend onnxruntime takes.

    Args:
        weights: As :func:`load_weights` takes them.
        folder: Made if need be; an export in it is overwritten.
        configuration: As :func:`load_weights` takes it.
        size: Width and height of all images as they are matched, px; None for any size.
        opset: Of the graphs.

    Raises:
        WeightsError: The weights cannot be used, or the packages to export are missing.
        ValueError: The size or the opset cannot be had.
    """
    require_onnx()
    if opset not in OPSETS:
        raise ValueError(f'opset must be {OPSETS[0]} to {OPSETS[-1]}, not {opset}')
    loaded = load_weights(weights, configuration)
    network = loaded.network
    padded = None if size is None else _padded(size, network.config.size_multiple)
    folder.mkdir(parents=True, exist_ok=True)
    # Until all graphs are there the folder is no export.
    (folder / MANIFEST).unlink(missing_ok=True)
    # TensorRT does not see that the graphs are others.
    shutil.rmtree(engine_folder(folder), ignore_errors=True)
    with torch.inference_mode(), _quietly():
        if isinstance(network, EfficientLoFTR):
            network.fold_batch_norms()
            stages = efficient_stages(network, padded)
        else:
            stages = _stages(network, padded)
        for stage, (module, inputs, shapes, outputs) in stages.items():
            _export(module.eval(), inputs, shapes, outputs, graph_path(folder, stage), opset)
    manifest = Manifest(
        loaded.name,
        loaded.sha256,
        network.config,
        padded,
        opset,
        graph_hashes(folder),
    )
    write_manifest(folder, manifest)
    return manifest


def require_onnx() -> None:
    """Check that the packages of the extra ``onnx`` are installed.

    Raises:
        WeightsError: They are not; says how to get them.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise WeightsError(
            f"an export needs the package {error.name}: pip install 'loftr_ros[onnx]'"
        ) from error


def _padded(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Size of whole coarse cells, as images are padded to."""
    if not all(stride <= side <= LARGEST_SIDE for side in size):
        raise ValueError(
            f'size {size[0]}x{size[1]}: each side must be {stride} to {LARGEST_SIDE} px'
        )
    width, height = (-(-side // stride) * stride for side in size)
    return width, height


Shapes = dict[str, dict[int, Any]]


def _stages(network: LoFTR, size: tuple[int, int] | None) -> dict[str, Stage]:
    """For each stage its module, example inputs, their dimensions that vary, and output names."""
    config = network.config
    width, height = size or (10 * config.resolution[0], 6 * config.resolution[0])
    cells = (height // config.resolution[0]) * (width // config.resolution[0])
    # Examples of unlike lengths: the exporter would take equal ones for the same.
    lengths = (cells, cells if size else cells + 1)
    tokens = {
        f'tokens{image}': torch.zeros(1, length, config.coarse_dim)
        for image, length in enumerate(lengths)
    }
    masks = {
        f'mask{image}': torch.ones(1, length, dtype=torch.bool)
        for image, length in enumerate(lengths)
    }
    # One tensor given twice would become one input.
    windows = {
        f'{name}{image}': torch.zeros(shape)
        for name, shape in (
            ('patches', (3, config.fine_window**2, config.fine_dim)),
            ('coarse', (3, config.coarse_dim)),
        )
        for image in (0, 1)
    }
    vary_image, vary_tokens = ({}, {}) if size else _varying(config.resolution[0])
    count = torch.export.Dim('matches', max=MOST_TOKENS)
    vary_windows = {name: {0: count} for name in windows}
    image = torch.zeros(1, 1, height, width)
    return {
        ENCODER: (Encoder(network), {'image': image}, vary_image, ['coarse', 'fine']),
        COARSE: (
            Coarse(network),
            tokens | masks,
            vary_tokens,
            ['transformed0', 'transformed1'],
        ),
        FINE: (Fine(network), windows, vary_windows, ['offset', 'deviation']),
    }


def _varying(stride: int) -> tuple[Shapes, Shapes]:
    rows, columns = (
        torch.export.Dim(name, max=LARGEST_SIDE // stride) for name in ('rows', 'columns')
    )
    lengths = [torch.export.Dim(f'cells{image}', max=MOST_TOKENS) for image in (0, 1)]
    tokens = {
        f'{name}{image}': {1: lengths[image]} for name in ('tokens', 'mask') for image in (0, 1)
    }
    return {'image': {2: stride * rows, 3: stride * columns}}, tokens


def _export(
    module: nn.Module,
    inputs: dict[str, Tensor],
    shapes: Shapes,
    outputs: list[str],
    path: Path,
    opset: int,
) -> None:
    torch.onnx.export(
        module,
        kwargs=inputs,
        f=path,
        input_names=list(inputs),
        output_names=outputs,
        dynamic_shapes=shapes or None,
        opset_version=opset,
        external_data=False,
        dynamo=True,
        verbose=False,
    )


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep to itself what the exporter says of its own progress and of other packages."""
    loggers = [logging.getLogger(name) for name in ('torch.onnx', 'onnxscript', 'onnx_ir')]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter('ignore')
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
