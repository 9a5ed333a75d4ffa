"""Configurations: the official LoFTRs, the small one shipped here, and EfficientLoFTR."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from typing_extensions import Self

Stem = Literal['conv7', 'unshuffle']


@dataclass(frozen=True, kw_only=True)
class MatchingConfig:
    """What the networks of both families have in common.

    Attributes:
        temperature: Of the dual softmax (section 3.3 of the LoFTR paper).
        confidence_threshold: theta_c of the paper.
        border_cells: Coarse cells at the image border that never match.
        cell_offset: Pixel coordinate of the centre of cell (0, 0) along each axis, pixel centres at
            integers. The official weights count from the outer corner of the first pixel: -0.5.
        sigma_scale: Factor that makes the heat map's deviation, px, to the power of
            ``sigma_exponent`` the standard deviation of the error, px.
        sigma_exponent: The power; above 1 where heat maps differ less than errors do.
        aligned_points: Points of a coarse cell that are aligned on the images, which the papers do
            not do, at most one in each quarter; 0 keeps the paper's.
        alignment_scale: As ``sigma_scale``, for points that are aligned.
        alignment_exponent: As ``sigma_exponent``.
        confidence_knots: Share of right matches at evenly spaced values of the dual softmax from 0
            to 1, linear in between: what is given out as confidence. Empty gives out the dual
            softmax. Which matches are found does not depend on it.
    """

    family: ClassVar[str]

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
        """Refuse values that make no sense."""
        if not 0 <= self.aligned_points <= 4:
            raise ValueError(f'aligned_points must be from 0 to 4, not {self.aligned_points}')
        knots = self.confidence_knots
        rising = all(a <= b for a, b in pairwise(knots))
        if len(knots) == 1 or not rising or not all(0 <= knot <= 1 for knot in knots):
            raise ValueError(f'confidence_knots must rise within [0, 1], not {knots}')

    @property
    def stride(self) -> int:
        """Px per coarse cell."""
        raise NotImplementedError

    @property
    def size_multiple(self) -> int:
        """Height and width of images are padded to multiples of it, px."""
        return self.stride

    @property
    def maps_per_pixel(self) -> float:
        """Values of all maps of the backbone per pixel."""
        raise NotImplementedError

    @property
    def window_values(self) -> int:
        """Values of one match's window at the fine level."""
        raise NotImplementedError

    @property
    def fine_unit(self) -> float:
        """Unit of offsets at the fine level, px."""
        raise NotImplementedError

    @property
    def corner_points(self) -> int:
        """How many of the best localised pixels of a coarse cell are looked for."""
        return self.aligned_points

    @property
    def score_offset(self) -> float | None:
        """Correlation that stands for a confidence of 0.5; None with the dual softmax."""
        return None

    @property
    def subdivision(self) -> int:
        """Cells of the grid of reference points per coarse cell, along each axis."""
        return 2 if self.aligned_points else 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the metadata of a weights file."""
        return {'family': self.family, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Inverse of :meth:`to_dict` (also after JSON).

        Raises:
            ValueError: Of another family, an unknown key, or an impossible combination.
        """
        family = values.get('family', LoFTRConfig.family)
        if family != cls.family:
            raise ValueError(f"configuration of family '{family}' instead of '{cls.family}'")
        names = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - names - {'family'})
        if unknown:
            raise ValueError(f'unknown configuration keys: {", ".join(unknown)}')
        known = {key: value for key, value in values.items() if key in names}
        tuples = {key: tuple(v) if isinstance(v, list) else v for key, v in known.items()}
        return cls(**tuples)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class LoFTRConfig(MatchingConfig):
    """Everything that fixes LoFTR's weights and the meaning of its output.

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
            trained with an operator-precedence slip (github.com/zju3dv/LoFTR/issues/41), hence tied
            to the weights.
    """

    family = 'loftr'

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

    def __post_init__(self) -> None:
        """Refuse combinations that no network can have."""
        super().__post_init__()
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
        if self.coarse_heads < 1 or self.fine_heads < 1:
            raise ValueError('coarse_heads and fine_heads must be at least 1')
        if self.coarse_dim % (4 * self.coarse_heads) or self.fine_dim % self.fine_heads:
            raise ValueError(
                'dimensions must be divisible by the heads (and by 4 at the coarse level)'
            )

    @property
    def stages(self) -> tuple[int, int]:
        """First and last residual stage; stage n has stride 2**n."""
        return (2 if self.stem == 'unshuffle' else 1), (4 if self.resolution == (16, 4) else 3)

    @property
    def stride(self) -> int:
        """Px per coarse cell."""
        return self.resolution[0]

    @property
    def maps_per_pixel(self) -> float:
        """Values of all maps of the backbone per pixel."""
        stages = range(self.stages[0], self.stages[1] + 1)
        return sum(c / 4**s for s, c in zip(stages, self.block_dims, strict=True))

    @property
    def window_values(self) -> int:
        """Values of one match's window at the fine level."""
        return self.fine_window**2 * self.fine_dim

    @property
    def fine_unit(self) -> float:
        """Half side of a fine window, px."""
        return self.fine_window // 2 * self.resolution[1]


@dataclass(frozen=True, kw_only=True)
class EfficientConfig(MatchingConfig):
    """What may differ between weights of EfficientLoFTR, and the meaning of its output.

    Attributes:
        blocks: RepVGG blocks of each stage; the stages have strides 2, 2, 4 and 8.
        dims: Channels of each stage; the last are those of the transformer.
        layers: Number of (self, cross) layer pairs of the transformer.
        heads: Attention heads.
        aggregation: Coarse cells along each axis that one token of the attention stands for.
        second_stage_dim: Fine channels that the second stage of the refinement compares.
        second_stage_temperature: Of its softmax.
        dual_softmax: Whether coarse matching is normalised; false is the paper's optimized mode,
            in which the correlation itself is compared with ``score_threshold``.
        score_threshold: Correlation at which the optimized mode has a confidence of 0.5.
        fixed_reference: Take one pixel of each cell of the reference, its best localised one,
            whatever the query, as tracks ask for. The paper takes the pixel that matches best.
    """

    family = 'efficient'

    blocks: tuple[int, ...] = (1, 2, 4, 14)
    dims: tuple[int, ...] = (64, 64, 128, 256)
    layers: int = 4
    heads: int = 8
    aggregation: int = 4
    second_stage_dim: int = 8
    second_stage_temperature: float = 10.0
    dual_softmax: bool = True
    score_threshold: float = 20.0
    fixed_reference: bool = True

    def __post_init__(self) -> None:
        """Refuse combinations that no network can have."""
        super().__post_init__()
        if len(self.blocks) != 4 or len(self.dims) != 4:
            raise ValueError(f'blocks and dims need 4 stages, not {self.blocks} and {self.dims}')
        if self.heads < 1:
            raise ValueError('heads must be at least 1')
        if self.dims[-1] % (4 * self.heads):
            raise ValueError(f'{self.dims[-1]} channels cannot be rotated in {self.heads} heads')
        if not 0 < self.second_stage_dim < self.dims[0]:
            raise ValueError(
                f'second_stage_dim must be 1 to {self.dims[0] - 1}, not {self.second_stage_dim}'
            )

    @property
    def stride(self) -> int:
        """Px per coarse cell."""
        return 8

    @property
    def size_multiple(self) -> int:
        """Whole tokens of the attention, px."""
        return self.stride * self.aggregation

    @property
    def maps_per_pixel(self) -> float:
        """Values of all maps of the backbone per pixel."""
        strides = (2, 2, 4, 8)
        return sum(c / s**2 for s, c in zip(strides, self.dims, strict=True))

    @property
    def window_values(self) -> int:
        """Values of one match's correlation of two windows, the most that stands at once."""
        return self.stride**2 * (self.stride + 2) ** 2

    @property
    def fine_unit(self) -> float:
        """The fine map has a cell for each px."""
        return 1.0

    @property
    def corner_points(self) -> int:
        """How many of the best localised pixels of a coarse cell are looked for."""
        return max(self.aligned_points, int(self.fixed_reference))

    @property
    def score_offset(self) -> float | None:
        """Correlation that stands for a confidence of 0.5; None with the dual softmax."""
        return None if self.dual_softmax else self.score_threshold


FAMILIES: dict[str, type[LoFTRConfig | EfficientConfig]] = {
    config.family: config for config in (LoFTRConfig, EfficientConfig)
}


def config_from_dict(values: dict[str, Any]) -> LoFTRConfig | EfficientConfig:
    """Configuration of whatever family; one that names none is LoFTR's.

    Raises:
        ValueError: There is no such family, or see :meth:`MatchingConfig.from_dict`.
    """
    family = values.get('family', LoFTRConfig.family)
    if family not in FAMILIES:
        raise ValueError(f"no family '{family}': expected one of {', '.join(FAMILIES)}")
    return FAMILIES[family].from_dict(values)


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
EFFICIENT = EfficientConfig(aligned_points=1)
ANYTHING = EfficientConfig()
"""Images of different kinds, such as thermal and visible, cannot be aligned on their values."""
