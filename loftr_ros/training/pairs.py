"""Training pairs with their ground-truth matches, made on the training device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from loftr_ros.matching.config import LoFTRConfig
from loftr_ros.matching.fine_matching import cell_centres
from loftr_ros.rendering.planes import render

from .photometric import degrade

if TYPE_CHECKING:
    from loftr_ros.rendering.planes import PinholeCameras
    from loftr_ros.rendering.textures import TextureBank

    from .scenes import SceneSampler


@dataclass(frozen=True)
class Labels:
    """Ground-truth coarse matches of a batch of pairs.

    Attributes:
        batch: (M,) int64, pair of each match.
        cells0: (M,) int64, row-major cell of image 0.
        cells1: (M,) int64, row-major cell of image 1.
        offset: (M, 2) float32, true position minus centre of ``cells1``, px.
    """

    batch: Tensor
    cells0: Tensor
    cells1: Tensor
    offset: Tensor


class PairTruth(Protocol):
    """What is known about the two views of B pairs, wherever they come from."""

    @property
    def camera0(self) -> PinholeCameras:
        """Reference cameras."""

    @property
    def camera1(self) -> PinholeCameras:
        """Query cameras."""

    def select(self, index: Tensor) -> PairTruth:
        """Truth of the pairs (M,), repeated at will."""

    def transfer(self, pixels: Tensor, *, back: bool = False) -> tuple[Tensor, Tensor]:
        """Where surface points of one view appear in the other.

        Args:
            pixels: (B, N, 2) in image 0; in image 1 where ``back`` is set.
            back: From image 1 to image 0.

        Returns:
            Pixels (B, N, 2) in the other image, also outside of it, and (B, N) bool: whether they
            are known and not occluded there.
        """


@dataclass(frozen=True)
class TrainingPairs:
    """A batch of image pairs and where their cells correspond.

    Attributes:
        images0: float32 (B, 1, H, W) in [0, 1].
        images1: float32 (B, 1, H, W) in [0, 1].
        labels: The matches that the network should find.
        truth: From which any other truth can be derived.
    """

    images0: Tensor
    images1: Tensor
    labels: Labels
    truth: PairTruth


class PairSource(Protocol):
    """Where training pairs come from."""

    def draw(self, count: int) -> TrainingPairs:
        """Draw pairs; the same source gives the same pairs in the same order."""


@dataclass(frozen=True)
class RenderedPairs:
    """Pairs of rendered views of random scenes.

    Attributes:
        sampler: Draws the scenes.
        bank: Their textures.
        config: Of the network that learns from them.
        size: Height and width of the images.
    """

    sampler: SceneSampler
    bank: TextureBank
    config: LoFTRConfig
    size: tuple[int, int]

    def draw(self, count: int) -> TrainingPairs:
        """Draw scenes, render both views, degrade the images, label the cells."""
        pair = self.sampler.sample(count, self.size)
        images0, _ = render(pair.scene, pair.camera0, self.size, self.bank)
        images1, _ = render(pair.scene, pair.camera1, self.size, self.bank)
        images = degrade(torch.cat([images0, images1]), self.sampler.generator)
        labels = label_cells(pair, self.config, self.size)
        return TrainingPairs(images[:count], images[count:], labels, pair)


class MixedPairs:
    """Batches from one of two sources in turn, at random."""

    def __init__(
        self, first: PairSource, second: PairSource, share: float, generator: torch.Generator
    ) -> None:
        self.sources = first, second
        self.share = share
        self.generator = generator

    def draw(self, count: int) -> TrainingPairs:
        """Draw a batch from the second source with the probability ``share``."""
        number = torch.rand((), generator=self.generator, device=self.generator.device)
        return self.sources[int(number < self.share)].draw(count)


def label_cells(truth: PairTruth, config: LoFTRConfig, size: tuple[int, int]) -> Labels:
    """Cells whose centres project nearest to each other's, both ways (supplement of the paper)."""
    stride = config.resolution[0]
    rows, columns = -(-size[0] // stride), -(-size[1] // stride)
    poses = truth.camera0.world_T_camera
    own = torch.arange(rows * columns, device=poses.device)
    centres = cell_centres(config, own, columns).expand(len(poses), -1, -1)
    there, seen0 = truth.transfer(centres)
    back, seen1 = truth.transfer(centres, back=True)
    cells1, valid0 = nearest_cells(config, there, seen0, rows, columns)
    cells0, valid1 = nearest_cells(config, back, seen1, rows, columns)
    mutual = (cells0.gather(1, cells1) == own) & valid0 & valid1.gather(1, cells1)
    index, matched0 = torch.nonzero(mutual, as_tuple=True)
    matched1 = cells1[index, matched0]
    offset = there[index, matched0] - cell_centres(config, matched1, columns)
    return Labels(index, matched0, matched1, offset)


def nearest_cells(
    config: LoFTRConfig, points: Tensor, seen: Tensor, rows: int, columns: int
) -> tuple[Tensor, Tensor]:
    """Cell (B, N) nearest to points (B, N, 2) and whether it is on the grid and the point seen."""
    cells = ((points - config.cell_offset) / config.resolution[0]).round().nan_to_num(-1)
    x, y = cells.clamp(-1, 1e6).long().unbind(-1)
    valid = seen & (x >= 0) & (y >= 0) & (x < columns) & (y < rows)
    return torch.where(valid, y * columns + x, torch.zeros_like(x)), valid
