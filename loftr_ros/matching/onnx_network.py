"""Networks with their stages computed by ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from loftr_ros.matching.config import EfficientConfig, LoFTRConfig
from loftr_ros.matching.efficient import EfficientLoFTR
from loftr_ros.matching.errors import WeightsError
from loftr_ros.matching.fine_matching import FineOffsets, window_patches
from loftr_ros.matching.network import FeatureMaps, LoFTR
from loftr_ros.matching.onnx_efficient import OnnxEfficientLoFTR
from loftr_ros.matching.onnx_folder import COARSE, ENCODER, FINE, STAGES, graph_path, read_manifest
from loftr_ros.matching.onnx_providers import (
    TENSORRT,
    chosen_providers,
    load_runtime,
    tensorrt_options,
)
from loftr_ros.matching.onnx_stages import Stages
from loftr_ros.matching.weights import LoadedWeights

if TYPE_CHECKING:
    from pathlib import Path

    from loftr_ros.matching.coarse_matching import CoarseMatches
    from loftr_ros.matching.onnx_folder import Manifest


class OnnxLoFTR(LoFTR):
    """LoFTR that has graphs instead of weights; everything between them is that of LoFTR."""

    def __init__(self, config: LoFTRConfig, stages: Stages) -> None:
        """Compute the stages by graphs."""
        super().__init__(config)
        # The graphs hold the weights: those that LoFTR made are no one's.
        del self.backbone, self.loftr_coarse, self.fine_preprocess, self.loftr_fine
        self._stages = stages
        self.fixed_size = stages.fixed_size

    def encode(
        self,
        images: Tensor,
        mask: Tensor | None = None,
        origin: tuple[int, int] = (0, 0),
        allowed: Tensor | None = None,
    ) -> FeatureMaps:
        """Features of grey images; see :meth:`PairNetwork.encode`.

        Raises:
            ImageError: The graphs are for images of another size.
        """
        self._stages.check_size(images)
        parts = [self._stages.run(ENCODER, image=image[None]) for image in images]
        coarse, fine = (torch.cat(part) for part in zip(*parts, strict=True))
        fine = fine.permute(0, 3, 1, 2)
        maps = FeatureMaps(coarse + self._encoding(coarse, origin), fine, mask)
        return self.with_corners(maps, images, allowed)

    def transform(self, maps0: FeatureMaps, maps1: FeatureMaps) -> tuple[Tensor, Tensor]:
        """Coarse features conditioned on both images; see :meth:`LoFTR.transform`."""
        inputs: dict[str, Tensor] = {}
        for image, maps in enumerate((maps0, maps1)):
            tokens, mask = maps.tokens()
            inputs[f'tokens{image}'] = tokens
            everything = torch.ones(tokens.shape[:2], dtype=torch.bool)
            inputs[f'mask{image}'] = everything if mask is None else mask
        pairs = [
            self._stages.run(
                COARSE, **{name: tensor[pair : pair + 1] for name, tensor in inputs.items()}
            )
            for pair in range(len(maps0.coarse))
        ]
        coarse0, coarse1 = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        return coarse0, coarse1

    def refine(
        self,
        coarse0: Tensor,
        coarse1: Tensor,
        maps0: FeatureMaps,
        maps1: FeatureMaps,
        matches: CoarseMatches,
    ) -> FineOffsets:
        """Where the fine level finds each coarse match inside its window of image 1."""
        if not len(matches.batch):
            return FineOffsets(coarse0.new_empty(0, 2), coarse0.new_empty(0))
        batch, config = matches.batch, self.config
        shape = config.fine_window, config.resolution[0] // config.resolution[1]
        offset, deviation = self._stages.run(
            FINE,
            patches0=window_patches(maps0.fine, batch, matches.cells0, maps0.grid[1], shape),
            patches1=window_patches(maps1.fine, batch, matches.cells1, maps1.grid[1], shape),
            coarse0=coarse0[batch, matches.cells0],
            coarse1=coarse1[batch, matches.cells1],
        )
        return FineOffsets(offset, deviation)


def load_exported(folder: Path, providers: str, *, half: bool = False) -> LoadedWeights:
    """Load what `loftr-ros export` wrote.

    Args:
        folder: Of the export.
        providers: Execution providers by their names in ONNX Runtime, separated by commas; what the
            first cannot compute goes to the next, and in the end to the CPU.
        half: Whether TensorRT may compute in float16.

    Raises:
        WeightsError: No export, a damaged one, or ONNX Runtime is missing or refuses it.
        ValueError: A provider is not there, or only TensorRT takes `half`.
    """
    runtime = load_runtime()
    names = chosen_providers(providers, runtime.get_available_providers())
    if half and TENSORRT not in names:
        raise ValueError(f'float16 on backend onnxruntime is an option of {TENSORRT} alone')
    manifest = read_manifest(folder)
    sessions = {stage: _session(runtime, folder, manifest, stage, names, half) for stage in STAGES}
    stages = Stages(manifest, sessions)
    if isinstance(manifest.config, EfficientConfig):
        network: LoFTR | EfficientLoFTR = OnnxEfficientLoFTR(manifest.config, stages)
    else:
        network = OnnxLoFTR(manifest.config, stages)
    return LoadedWeights(network.eval(), manifest.weights_name, manifest.weights_hash)


def _session(
    runtime: Any,  # noqa: ANN401 - a module that may be missing
    folder: Path,
    manifest: Manifest,
    stage: str,
    names: list[str],
    half: bool,
) -> Any:  # noqa: ANN401
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    # Threads of one graph that wait actively take the cores from torch and the next graph.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    providers = [
        (name, tensorrt_options(manifest, stage, folder, half=half) if name == TENSORRT else {})
        for name in names
    ]
    try:
        session = runtime.InferenceSession(graph_path(folder, stage), options, providers=providers)
    except Exception as error:
        # Its own exceptions share no base but this.
        reason = str(error).partition('\n')[0]
        raise WeightsError(f'{folder}: ONNX Runtime refuses {stage}.onnx: {reason}') from error
    if session.get_providers()[0] != names[0]:
        raise ValueError(
            f'provider {names[0]} did not start: its libraries are missing or do not fit '
            '(ORT_LOG_LEVEL and docs/export.md help)'
        )
    return session
