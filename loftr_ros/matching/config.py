"""Configurations of LoFTR: the official outdoor and indoor ones and the small one shipped here."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

Stem = Literal['conv7', 'unshuffle']


@dataclass(frozen=True)
class LoFTRConfig:
    """Everything that fixes the network's weights and the meaning of its output.

    Attributes:
        resolution: Strides of the coarse and the fine feature map, px per cell.
        stem: ``conv7`` is the paper's 7x7 convolution of stride 2; ``unshuffle`` folds 4x4 pixels
            into channels, so that nothing is computed at full or half resolution.
        initial_dim: Channels of the stem.
        block_dims: Channels of the residual stages, finest first.
        coarse_dim: Channels of the coarse transformer, equal to the last of ``block_dims``.
        coarse_heads: Attention heads of the coarse transformer.
        coarse_layers: Number of (self, cross) layer pairs at the coarse level.
        fine_dim: Channels of the fine transformer, equal to those of the fine feature map.
        fine_heads: Attention heads of the fine transformer.
        fine_layers: Number of (self, cross) layer pairs at the fine level.
        fine_window: Side w of the fine window, cells.
        position_encoding_fix: Wavelengths as in the paper. The first public checkpoints were
            trained with
            an operator-precedence slip (github.com/zju3dv/LoFTR/issues/41), hence tied to the
            weights.
        temperature: Of the dual softmax (section 3.3 of the paper).
        confidence_threshold: theta_c of the paper.
        border_cells: Coarse cells at the image border that never match.
        cell_offset: Pixel coordinate of the centre of cell (0, 0) along each axis, pixel centres at
            integers. The official weights count from the outer corner of the first pixel: -0.5.
        sigma_scale: Factor that makes the heat map's deviation, px, to the power of
            ``sigma_exponent`` the standard deviation of the error, px.
        sigma_exponent: The power; above 1 where heat maps differ less than errors do.
        aligned_points: Points of a coarse cell that are aligned on the images, which the paper does
            not do, at most one in each quarter; 0 keeps the paper's, the centre of the cell.
        alignment_scale: As ``sigma_scale``, for points that are aligned.
        alignment_exponent: As ``sigma_exponent``.
        confidence_knots: Share of right matches at evenly spaced values of the dual softmax from 0
            to 1, linear in between: what is given out as confidence. Empty gives out the dual
            softmax. Which matches are found does not depend on it.
    """

    resolution: tuple[int, int] = (8, 2)
    stem: Stem = 'conv7'
    initial_dim: int = 128
    block_dims: tuple[int, ...] = (128, 196, 256)
    coarse_dim: int = 256
    coarse_heads: int = 8
    coarse_layers: int = 4
    fine_dim: int = 128
    fine_heads: int = 8
    fine_layers: int = 1
    fine_window: int = 5
    position_encoding_fix: bool = True
    temperature: float = 0.1
    confidence_threshold: float = 0.2
    border_cells: int = 2
    cell_offset: float = -0.5
    sigma_scale: float = 1.0
    sigma_exponent: float = 1.0
    aligned_points: int = 0
    alignment_scale: float = 1.0
    alignment_exponent: float = 1.0
    confidence_knots: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse combinations that no network can have."""
        if self.resolution not in ((8, 2), (16, 4)):
            raise ValueError(f'resolution must be (8, 2) or (16, 4), not {self.resolution}')
        if self.stem not in ('conv7', 'unshuffle'):
            raise ValueError(f"stem must be 'conv7' or 'unshuffle', not {self.stem!r}")
        if self.stem == 'unshuffle' and self.resolution != (16, 4):
            raise ValueError("the 'unshuffle' stem needs resolution (16, 4)")
        if len(self.block_dims) != self.stages[1] - self.stages[0] + 1:
            raise ValueError(
                f'block_dims {self.block_dims} does not fit {self.resolution} {self.stem}'
            )
        if self.coarse_dim != self.block_dims[-1] or self.fine_dim != self.block_dims[-3]:
            raise ValueError(
                'coarse_dim and fine_dim must equal the channels of their feature maps'
            )
        if not 0 <= self.aligned_points <= 4:
            raise ValueError(f'aligned_points must be from 0 to 4, not {self.aligned_points}')
        self._check_knots()
        if self.coarse_dim % (4 * self.coarse_heads) or self.fine_dim % self.fine_heads:
            raise ValueError(
                'dimensions must be divisible by the heads (and by 4 at the coarse level)'
            )

    def _check_knots(self) -> None:
        knots = self.confidence_knots
        rising = all(a <= b for a, b in pairwise(knots))
        if len(knots) == 1 or not rising or not all(0 <= knot <= 1 for knot in knots):
            raise ValueError(f'confidence_knots must rise within [0, 1], not {knots}')

    @property
    def stages(self) -> tuple[int, int]:
        """First and last residual stage; stage n has stride 2**n."""
        return (2 if self.stem == 'unshuffle' else 1), (4 if self.resolution == (16, 4) else 3)

    @property
    def subdivision(self) -> int:
        """Cells of the grid of reference points per coarse cell, along each axis."""
        return 2 if self.aligned_points else 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the metadata of a weights file."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LoFTRConfig:
        """Inverse of :meth:`to_dict` (also after JSON).

        Raises:
            ValueError: A key is unknown or a combination impossible.
        """
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f'unknown configuration keys: {", ".join(unknown)}')
        tuples = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        return cls(**tuples)  # type: ignore[arg-type]


OUTDOOR = LoFTRConfig(position_encoding_fix=False)
INDOOR = LoFTRConfig(position_encoding_fix=True)
LITE = LoFTRConfig(
    resolution=(16, 4),
    stem='unshuffle',
    initial_dim=32,
    block_dims=(32, 64, 96),
    coarse_dim=96,
    coarse_heads=4,
    coarse_layers=3,
    fine_dim=32,
    fine_heads=4,
    border_cells=1,
    cell_offset=1.5,
    aligned_points=3,
)
