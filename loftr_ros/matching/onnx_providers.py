"""Execution providers of ONNX Runtime: which there are, and how TensorRT is set up for LoFTR."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loftr_ros.matching.blocks import REFINED_TOGETHER
from loftr_ros.matching.config import EfficientConfig
from loftr_ros.matching.errors import WeightsError
from loftr_ros.matching.onnx_folder import COARSE, ENCODER, engine_folder

if TYPE_CHECKING:
    from pathlib import Path

    from loftr_ros.matching.config import LoFTRConfig
    from loftr_ros.matching.onnx_folder import Manifest

CPU = 'CPUExecutionProvider'
TENSORRT = 'TensorrtExecutionProvider'

Ranges = list[tuple[int, ...]]

PROFILE_SIDES = (128, 640, 1280)
"""Sides of images, px, that engines of an export of any size are made for: least, usual, most."""


def load_runtime() -> Any:  # noqa: ANN401 - a module that may be missing
    """Return the module onnxruntime.

    Raises:
        WeightsError: It is not installed; says how to get it.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise WeightsError(
            "backend onnxruntime needs the package onnxruntime: pip install 'loftr_ros[onnx]'"
        ) from error
    return onnxruntime


def chosen_providers(names: str, available: list[str]) -> list[str]:
    """Names of providers, separated by commas, in their order.

    Raises:
        ValueError: There is none, or this build of ONNX Runtime lacks one.
    """
    chosen = [name.strip() for name in names.split(',') if name.strip()]
    missing = [name for name in chosen if name not in available]
    if missing or not chosen:
        raise ValueError(
            f"providers '{names}': this onnxruntime has {', '.join(available)}; others come with "
            'other builds of it (docs/export.md)'
        )
    return chosen


def tensorrt_options(manifest: Manifest, stage: str, folder: Path, *, half: bool) -> dict[str, str]:
    """Options of the TensorRT provider for the graph of a stage.

    Engines are kept beside the graphs, since making them takes minutes. Without the profile of all
    shapes they would be made anew whenever an input is smaller or larger than any before.

    Args:
        manifest: Of the export.
        stage: Of the graph.
        folder: Of the export.
        half: Whether engines may compute in float16.
    """
    cache = str(engine_folder(folder))
    options = {
        'trt_engine_cache_enable': 'True',
        'trt_engine_cache_path': cache,
        'trt_timing_cache_enable': 'True',
        'trt_timing_cache_path': cache,
        'trt_fp16_enable': str(half),
        # Sums over channels overflow first.
        'trt_layer_norm_fp32_fallback': str(half),
    }
    ranges = _profile(manifest, stage)
    for bound, index in (('min', 0), ('opt', 1), ('max', 2)):
        shapes = [f'{name}:{"x".join(map(str, ranges[name][index]))}' for name in ranges]
        if shapes:
            options[f'trt_profile_{bound}_shapes'] = ','.join(shapes)
    return options


def _profile(manifest: Manifest, stage: str) -> dict[str, Ranges]:
    """Least, usual and greatest shape of each input; nothing where they are all fixed."""
    config = manifest.config
    if stage in (ENCODER, COARSE) and manifest.size is not None:
        return {}
    if stage == ENCODER:
        return {'image': [(1, 1, side, side) for side in PROFILE_SIDES]}
    if isinstance(config, EfficientConfig):
        return _efficient_profile(config, stage) if manifest.size is None else {}
    if stage == COARSE:
        return _coarse_profile(config)
    counts = (1, REFINED_TOGETHER // 2, REFINED_TOGETHER)
    patches: Ranges = [(count, config.fine_window**2, config.fine_dim) for count in counts]
    features: Ranges = [(count, config.coarse_dim) for count in counts]
    return {'patches0': patches, 'patches1': patches, 'coarse0': features, 'coarse1': features}


def _efficient_profile(config: EfficientConfig, stage: str) -> dict[str, Ranges]:
    def maps(stride: int, channels: int) -> Ranges:
        return [(1, channels, side // stride, side // stride) for side in PROFILE_SIDES]

    if stage == COARSE:
        grids = [(1, side // config.stride, side // config.stride) for side in PROFILE_SIDES]
        features: Ranges = [(*grid, config.dims[-1]) for grid in grids]
        masks: Ranges = list(grids)
        return {'map0': features, 'map1': features, 'mask0': masks, 'mask1': masks}
    fine, middle, coarse = config.dims[1:]
    return {'coarse': maps(8, coarse), 'middle': maps(4, middle), 'fine': maps(2, fine)}


def _coarse_profile(config: LoFTRConfig) -> dict[str, Ranges]:
    cells = [(side // config.stride) ** 2 for side in PROFILE_SIDES]
    tokens: Ranges = [(1, count, config.coarse_dim) for count in cells]
    masks: Ranges = [(1, count) for count in cells]
    return {'tokens0': tokens, 'tokens1': tokens, 'mask0': masks, 'mask1': masks}
