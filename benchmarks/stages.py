"""Time, operations and speed of the full model's stages, beside the ceiling of the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from timing import gflop_of, milliseconds_of

from loftr_ros.matching.coarse_matching import CoarseMatches, inner_cells, mutual_matches
from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.precision import PRECISIONS, computing
from loftr_ros.matching.transformer import pointwise

Image = NDArray[np.uint8]
Work = Callable[[], object]
CEILING = 'ceiling'


@dataclass(frozen=True)
class Stage:
    """What a stage takes.

    Attributes:
        stage: Its name; those that begin with ``ceiling`` are large matrix products.
        device: ``cpu`` or ``cuda``.
        precision: Numbers it computes with.
        size: Of the images, px, as in ``640x480``.
        milliseconds: Of each run.
        gflop: Operations, 10^9.
    """

    stage: str
    device: str
    precision: str
    size: str
    milliseconds: list[float]
    gflop: float

    @property
    def gflop_per_s(self) -> float:
        """Speed in the median run."""
        return 1e3 * self.gflop / float(np.median(self.milliseconds))


def measure_stages(
    weights: Path, threshold: float, images: tuple[Image, Image], device: str, precision: str
) -> list[Stage]:
    """Run each stage of the full model by itself."""
    matcher = Matcher(
        weights,
        longer_side=None,
        device=device,
        precision=precision,
        confidence_threshold=threshold,
    )
    size = f'{images[0].shape[1]}x{images[0].shape[0]}'
    with torch.inference_mode(), computing(PRECISIONS[precision], torch.device(device)):
        return [
            Stage(name, device, precision, size, milliseconds_of(work, 5, device), gflop_of(work))
            for name, work in _stages(matcher, threshold, images).items()
        ]


def _stages(matcher: Matcher, threshold: float, images: tuple[Image, Image]) -> dict[str, Work]:
    network = matcher.network
    maps0, maps1 = (matcher.encode(image).maps for image in images)
    coarse0, coarse1 = network.transform(maps0, maps1)
    inner = inner_cells(maps0.grid, network.config.border_cells, None, coarse0.device)
    temperature = network.config.temperature

    def match() -> CoarseMatches:
        return mutual_matches(coarse0, coarse1, temperature, threshold, (inner, inner))

    cells = match()
    windows = network.fine_windows(coarse0, coarse1, maps0, maps1, cells)
    large = torch.randn(4096, 2048, device=coarse0.device)
    return {
        f'{CEILING}: matrix product': lambda: large @ large.T,
        f'{CEILING}: the same as a 1x1 convolution': lambda: pointwise(large, large),
        'backbone, one image': lambda: matcher.encode(images[1]),
        'coarse transformer': lambda: network.transform(maps0, maps1),
        'coarse matching': match,
        'fine windows': lambda: network.fine_windows(coarse0, coarse1, maps0, maps1, cells),
        'fine transformer': lambda: network.loftr_fine(*windows),
    }


def stage_table(stages: Sequence[Stage]) -> Table:
    """Stages of one device and precision side by side."""
    first = stages[0]
    table = Table(title=f'Stages of the full model: {first.device}, {first.precision}')
    for name in ('stage', 'size', 'ms', 'p10-p90', 'GFLOP', 'GFLOP/s', 'of the ceiling'):
        table.add_column(name, justify='left' if name in ('stage', 'size') else 'right')
    ceiling = max(stage.gflop_per_s for stage in stages if stage.stage.startswith(CEILING))
    for stage in stages:
        low, median, high = np.percentile(stage.milliseconds, (10, 50, 90))
        digits = 0 if first.device == 'cpu' else 2
        table.add_row(
            stage.stage,
            stage.size,
            f'{median:.{digits}f}',
            f'{low:.{digits}f}-{high:.{digits}f}',
            f'{stage.gflop:.0f}',
            f'{stage.gflop_per_s:.0f}',
            f'{stage.gflop_per_s / ceiling:.2f}',
        )
    return table
