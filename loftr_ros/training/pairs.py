"""Training pairs with their ground-truth matches, made on the training device."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from loftr_ros.matching.config import LoFTRConfig
from loftr_ros.matching.fine_matching import cell_centres
from loftr_ros.rendering.planes import PinholeCameras, render
from loftr_ros.training.photometric import degrade

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loftr_ros.rendering.textures import TextureBank
    from loftr_ros.training.scenes import SceneSampler

JOINED_LABELS = 'cells0', 'cells1', 'offset', 'known0', 'known1'


@dataclass(frozen=True)
class Labels:
    """Ground-truth coarse matches of a batch of pairs.

    Attributes:
        batch: (M,) int64, pair of each match.
        cells0: (M,) int64, row-major cell of image 0.
        cells1: (M,) int64, row-major cell of image 1.
        offset: (M, 2) float32, true position minus centre of ``cells1``, px.
        known0: (B, L) bool, cells of image 0 of which it is known what they match, or that they
            match nothing; None where all are. Nothing is learnt from two unknown cells.
        known1: (B, S) bool, the same for image 1.
    """

    batch: Tensor
    cells0: Tensor
    cells1: Tensor
    offset: Tensor
    known0: Tensor | None = None
    known1: Tensor | None = None


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


class JoinedTruth:
    """Truth of pairs that come from different sources, one after the other."""

    def __init__(self, parts: Sequence[PairTruth]) -> None:
        self.parts = tuple(parts)
        self.sizes = [len(part.camera0.matrix) for part in parts]

    @property
    def camera0(self) -> PinholeCameras:
        """Reference cameras."""
        return _cameras([part.camera0 for part in self.parts])

    @property
    def camera1(self) -> PinholeCameras:
        """Query cameras."""
        return _cameras([part.camera1 for part in self.parts])

    def select(self, index: Tensor) -> PairTruth:
        """Truth of the pairs (M,), in rising order, repeated at will."""
        if len(index) > 1 and bool((index.diff() < 0).any()):
            raise ValueError('pairs of joined sources are selected in their order')
        starts = torch.tensor([0, *self.sizes], device=index.device).cumsum(0)
        chosen = [
            part.select(index[(index >= start) & (index < end)] - start)
            for part, start, end in zip(self.parts, starts[:-1], starts[1:], strict=True)
        ]
        return JoinedTruth(chosen)

    def transfer(self, pixels: Tensor, *, back: bool = False) -> tuple[Tensor, Tensor]:
        """Where surface points of one view appear in the other; see `PairTruth`."""
        parts = zip(self.parts, pixels.split(self.sizes), strict=True)
        places, seen = zip(*(part.transfer(some, back=back) for part, some in parts), strict=True)
        return torch.cat(places), torch.cat(seen)


def join_pairs(parts: Sequence[TrainingPairs]) -> TrainingPairs:
    """One batch of several."""
    if len(parts) == 1:
        return parts[0]
    labels = [part.labels for part in parts]
    starts = itertools.accumulate((len(part.images0) for part in parts), initial=0)
    return TrainingPairs(
        torch.cat([part.images0 for part in parts]),
        torch.cat([part.images1 for part in parts]),
        Labels(
            torch.cat([one.batch + start for one, start in zip(labels, starts, strict=False)]),
            *(torch.cat([getattr(one, name) for one in labels]) for name in JOINED_LABELS),
        ),
        JoinedTruth([part.truth for part in parts]),
    )


def _cameras(parts: Sequence[PinholeCameras]) -> PinholeCameras:
    matrices, poses = zip(*((part.matrix, part.world_T_camera) for part in parts), strict=True)
    return PinholeCameras(torch.cat(matrices), torch.cat(poses))


class SharedPairs:
    """Batches of pairs from several sources, each pair from any of them with its share."""

    def __init__(
        self, sources: Sequence[PairSource], shares: Sequence[float], generator: torch.Generator
    ) -> None:
        """Take the sources, and as many shares, whose sum does not matter."""
        self.sources = tuple(sources)
        self.shares = torch.tensor(shares, device=generator.device)
        self.generator = generator

    def draw(self, count: int) -> TrainingPairs:
        """Draw a batch; its pairs are in the order of their sources."""
        chosen = torch.multinomial(self.shares, count, True, generator=self.generator)
        counts = chosen.bincount(minlength=len(self.sources)).tolist()
        parts = zip(self.sources, counts, strict=True)
        return join_pairs([source.draw(number) for source, number in parts if number])


def label_cells(truth: PairTruth, config: LoFTRConfig, size: tuple[int, int]) -> Labels:
    """Cells whose centres project nearest to each other's, mutually (supplement of the paper).

    Where it is not known what the centre of the cell in image 1 sees, that of the nearest
    projection is taken.
    """
    stride = config.resolution[0]
    rows, columns = -(-size[0] // stride), -(-size[1] // stride)
    poses = truth.camera0.world_T_camera
    own = torch.arange(rows * columns, device=poses.device)
    centres = cell_centres(config, own, columns).expand(len(poses), -1, -1)
    there, seen0 = truth.transfer(centres)
    back, seen1 = truth.transfer(centres, back=True)
    cells1, valid0 = nearest_cells(config, there, seen0, rows, columns)
    cells0, valid1 = nearest_cells(config, back, seen1, rows, columns)
    known0, known1 = ~there.isnan().any(-1), ~back.isnan().any(-1)
    offsets = there - cell_centres(config, cells1, columns)
    mutual = (cells0.gather(1, cells1) == own) & valid0 & valid1.gather(1, cells1)
    mutual |= _nearest_projections(offsets, cells1, valid0) & ~known1.gather(1, cells1)
    index, matched0 = torch.nonzero(mutual, as_tuple=True)
    matched1 = cells1[index, matched0]
    # What falls on a cell that cannot decide may be its match.
    known1 = known1 & ~(valid1 & ~known0.gather(1, cells0))
    return Labels(index, matched0, matched1, offsets[index, matched0], known0, known1)


def _nearest_projections(offsets: Tensor, cells1: Tensor, valid: Tensor) -> Tensor:
    """Whether (B, L) cells project nearer to the centre of their partner than all others."""
    distance = offsets.norm(dim=-1).masked_fill(~valid, torch.inf)
    least = torch.full_like(distance, torch.inf).scatter_reduce(1, cells1, distance, 'amin')
    return valid & (distance == least.gather(1, cells1))


def nearest_cells(
    config: LoFTRConfig, points: Tensor, seen: Tensor, rows: int, columns: int
) -> tuple[Tensor, Tensor]:
    """Cell (B, N) nearest to points (B, N, 2) and whether it is on the grid and the point seen."""
    cells = ((points - config.cell_offset) / config.resolution[0]).round().nan_to_num(-1)
    x, y = cells.clamp(-1, 1e6).long().unbind(-1)
    valid = seen & (x >= 0) & (y >= 0) & (x < columns) & (y < rows)
    return torch.where(valid, y * columns + x, torch.zeros_like(x)), valid
