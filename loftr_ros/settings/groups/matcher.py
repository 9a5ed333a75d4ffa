"""The parameters `matcher.*`: what computes LoFTR, on how large images, and what is kept."""

from __future__ import annotations

from dataclasses import dataclass

from loftr_ros.settings.declarations import Change, declare_field


@dataclass(frozen=True)
class MatcherParameters:
    """Values of the parameters `matcher.*`."""

    weights: str = declare_field(
        'lite',
        'Weights: lite, outdoor or indoor of LoFTR, efficient or anything of EfficientLoFTR, or '
        'the path of a .safetensors or .ckpt, or of the folder that `loftr-ros export` wrote, '
        'which ONNX Runtime computes. `loftr-ros weights` lists them.',
        basic=True,
    )
    configuration: str = declare_field(
        '',
        'Configuration of weights that do not carry their own, such as a fine-tuned official '
        'checkpoint: lite, outdoor, indoor or efficient. Empty for that of the file.',
    )
    device: str = declare_field(
        'auto',
        'Where LoFTR runs: auto, cpu, cuda, or cuda with a number as in cuda:1.',
        basic=True,
    )
    longer_side: int = declare_field(
        640,
        'Images are matched at this length of the longer side at most, px; 0 for no limit.',
        limits=(0, 8192),
        basic=True,
    )
    precision: str = declare_field(
        'auto',
        'Numbers that LoFTR computes with; auto: float16 on a GPU, float32 on most CPUs.',
        choices=('auto', 'float32', 'tf32', 'float16', 'bfloat16'),
    )
    providers: str = declare_field(
        'CPUExecutionProvider',
        'Execution providers of ONNX Runtime, separated by commas, the preferred one first.',
    )
    num_threads: int = declare_field(
        0,
        'Threads that torch computes with on a CPU; 0 for its own choice.',
        change=Change.AT_START,
        limits=(0, 256),
    )
    confidence_threshold: float = declare_field(
        0.0,
        'Smallest confidence of a match; 0 for the threshold that belongs to the weights.',
        change=Change.ANY_TIME,
        limits=(0.0, 1.0),
    )
    max_matches: int = declare_field(
        600,
        'Keep only so many matches, the most confident ones; 0 for all. More take longer to refine '
        'and hardly make a pose better.',
        change=Change.ANY_TIME,
        limits=(0, 1_000_000),
    )
    try_views: bool = declare_field(
        False,
        'Where an image hardly matches, rotate it by 90, 180 and 270 degrees and zoom it; match it '
        'once more without the rotation and zoom that its matches show: for cameras that roll, '
        'wide baselines and different lenses. A difficult frame takes up to eight times as long. '
        'Points are those of the image as it came.',
    )
