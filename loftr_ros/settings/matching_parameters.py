"""The parameters of LoFTR: what computes it, on how large images, and which matches are kept."""

from __future__ import annotations

from dataclasses import dataclass

from loftr_ros.settings.declarations import Change, declare_field


@dataclass(frozen=True)
class MatchingParameters:
    """Values of the parameters of LoFTR; the fields are the declarations."""

    weights: str = declare_field(
        'lite',
        'Weights: lite, outdoor or indoor of LoFTR, efficient or anything of EfficientLoFTR, or '
        'the path of a .safetensors or .ckpt; with backend onnxruntime the folder that '
        '`loftr-ros export` wrote. `loftr-ros weights` lists them.',
    )
    backend: str = declare_field('torch', 'What computes LoFTR.', choices=('torch', 'onnxruntime'))
    providers: str = declare_field(
        'CPUExecutionProvider',
        'Execution providers of backend onnxruntime, separated by commas, the preferred one first.',
    )
    device: str = declare_field(
        'auto', 'Where LoFTR runs: auto, cpu, cuda, or cuda with a number as in cuda:1.'
    )
    precision: str = declare_field(
        'auto',
        'Numbers that LoFTR computes with; auto: float16 on a GPU, float32 on most CPUs.',
        choices=('auto', 'float32', 'tf32', 'float16', 'bfloat16'),
    )
    cuda_graphs: bool = declare_field(
        False, 'Record what a GPU does for each size of images and replay it; costs memory.'
    )
    longer_side: int = declare_field(
        640,
        'Images are matched at this length of the longer side at most, px; 0 for no limit.',
        limits=(0, 8192),
    )
    max_pixels: int = declare_field(
        0,
        'Images are matched at this number of pixels at most; 0 for no limit.',
        limits=(0, 100_000_000),
    )
    max_memory: int = declare_field(
        0,
        'Images are matched as large as a pair of them fits into this memory by an estimate, MB, '
        'besides the 0.4 GB of the process; 0 for no limit.',
        limits=(0, 1_000_000),
    )
    try_rotations: bool = declare_field(
        False,
        'Where an image hardly matches, rotate it by 90, 180 and 270 degrees, and go on with the '
        'rotation that matches: for cameras that roll. Points are those of the image as it came.',
    )
    mask: str = declare_field(
        '',
        'Path of an image of the size of the camera images, 0 where nothing may match, such as '
        'the robot itself in view; of the left camera in mode stereo, of image0 in mode pair. '
        'Empty for none.',
    )
    second_mask: str = declare_field(
        '', 'The same for the right camera in mode stereo, for image1 in mode pair.'
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
